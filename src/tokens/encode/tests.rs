use super::*;
use crate::corpus::CorpusOptions;
use crate::tokens::{OpenOptions, TokenCorpus, TokensError, TrainOptions, train_bpe};
use std::fs;
use std::path::{Path, PathBuf};

struct Setup {
    dir: tempfile::TempDir,
    input: PathBuf,
    tokenizer: Tokenizer,
}

fn setup(n_documents: usize) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.jsonl");
    let text = |i: usize| format!("document {i} says {}", "salt and water ".repeat(i % 17));
    let lines = (0..n_documents).map(|i| format!("{{\"text\":\"{}\"}}\n", text(i)));
    fs::write(&input, lines.collect::<String>() + "{\"text\":\"  \"}\n").unwrap();
    let options = TrainOptions {
        vocab_size: 300,
        special_tokens: vec!["<e>".into()],
        max_text_bytes: 100_000,
    };
    let json = train_bpe(&mut documents(&input), &options, |_| {})
        .unwrap()
        .json;
    let tokenizer = Tokenizer::from_bytes(json.as_bytes(), Path::new("t")).unwrap();
    Setup {
        dir,
        input,
        tokenizer,
    }
}

fn documents(input: &Path) -> Documents {
    Documents::open(vec![input.to_path_buf()], CorpusOptions::default()).unwrap()
}

impl Setup {
    fn output(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn encode(&self, name: &str, n_threads: usize, overwrite: bool) -> Result<(), TokensError> {
        let options = EncodeOptions {
            bos: Some(1),
            eod: Some(0),
            n_threads,
        };
        let output = self.output(name);
        let mut writer =
            CorpusWriter::create(&output, &self.tokenizer, Some(1), Some(0), overwrite)?;
        let go_on = |_: &EncodeProgress| ControlFlow::Continue(());
        let input = documents(&self.input);
        let tally = encode_documents(input, &self.tokenizer, &options, &mut writer, go_on)?;
        writer.finish(tally).map(|_| ())
    }

    fn files(&self, name: &str) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(self.output(name))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries
            .map(|path| (path.file_name().unwrap().into(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }
}

#[test]
fn documents_come_in_order_with_their_ids_around_them() {
    let setup = setup(9000);
    setup.encode("out", 2, false).unwrap();
    let corpus = TokenCorpus::open(&setup.output("out"), &OpenOptions::default()).unwrap();
    let json = corpus.corpus_json().unwrap();
    assert_eq!((corpus.n_documents(), json.n_empty_documents), (9000, 1));
    assert_eq!(json.tokenizer_fingerprint, setup.tokenizer.fingerprint());
    for doc in [0, 1, 4095, 4096, 8999] {
        let start = corpus.document_start(doc);
        let mut ids = vec![0; (corpus.document_start(doc + 1) - start) as usize];
        corpus.copy_tokens(start, &mut ids);
        assert_eq!((ids[0], ids[ids.len() - 1]), (1, 0));
        let text = setup.tokenizer.decode(&ids[1..ids.len() - 1]);
        assert!(text.starts_with(&format!("document {doc} says ")), "{text}");
    }
}

#[test]
fn the_bytes_are_the_same_for_any_number_of_threads() {
    let setup = setup(5000);
    setup.encode("one", 1, false).unwrap();
    setup.encode("three", 3, false).unwrap();
    assert_eq!(setup.files("one"), setup.files("three"));
    assert_eq!(setup.files("one").len(), 3);
}

#[test]
fn an_output_that_holds_a_corpus_is_refused_or_replaced() {
    let setup = setup(10);
    setup.encode("out", 1, false).unwrap();
    let before = setup.files("out");
    let error = setup.encode("out", 1, false).unwrap_err();
    assert!(matches!(error, TokensError::OutputExists { .. }));
    setup.encode("out", 1, true).unwrap();
    assert_eq!(setup.files("out"), before);
}

#[test]
fn a_stopped_run_and_a_failed_one_leave_nothing_new() {
    let setup = setup(5000);
    setup.encode("out", 1, false).unwrap();
    let before = setup.files("out");

    let mut writer =
        CorpusWriter::create(&setup.output("out"), &setup.tokenizer, None, None, true).unwrap();
    let options = EncodeOptions::default();
    let input = documents(&setup.input);
    let stopped = encode_documents(input, &setup.tokenizer, &options, &mut writer, |progress| {
        assert!(progress.n_documents > 0 && progress.bytes_read <= progress.bytes_total);
        ControlFlow::Break(())
    });
    assert!(matches!(stopped, Err(TokensError::Interrupted)));
    drop(writer);
    assert_eq!(setup.files("out"), before);

    fs::write(&setup.input, "{\"text\":\"a\"}\n{\"text\":1}\n").unwrap();
    assert!(matches!(
        setup.encode("out", 1, true),
        Err(TokensError::Corpus(_))
    ));
    assert_eq!(setup.files("out"), before);
}

#[test]
fn input_without_a_document_does_not_replace_a_corpus() {
    let setup = setup(10);
    setup.encode("out", 1, false).unwrap();
    let before = setup.files("out");
    fs::write(&setup.input, "\n{\"text\":\"\"}\n").unwrap();
    let error = setup.encode("out", 1, true).unwrap_err();
    assert!(matches!(error, TokensError::NoDocuments { tally } if tally.n_empty_documents == 1));
    assert_eq!(setup.files("out"), before);
}

#[test]
fn ids_around_documents_must_be_of_the_vocabulary() {
    let setup = setup(10);
    let (out, past) = (setup.output("out"), setup.tokenizer.vocab_size());
    let error = CorpusWriter::create(&out, &setup.tokenizer, None, Some(past), false).err();
    assert!(matches!(error, Some(TokensError::IdPastVocab { id, .. }) if id == past));
}
