use super::{DocumentReader, DocumentWriter};
use crate::corpus::{CorpusOptions, DocumentId, Documents, InputFile, Location, Position};
use crate::storage;
use crate::tokens::{
    CorpusJson, CorpusWriter, DocumentEntry, EncodeOptions, Tokenizer, TokensError, TrainOptions,
    WriterSettings, encode_documents, train_bpe,
};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

const NAME: &str = "documents.parquet";

struct Setup {
    dir: tempfile::TempDir,
    inputs: Vec<PathBuf>,
}

impl Setup {
    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn tokenize(&self) -> CorpusJson {
        let reading = CorpusOptions {
            id_field: Some("id".to_owned()),
            skip_bad_lines: true,
            ..CorpusOptions::default()
        };
        let open = || Documents::open(self.inputs.clone(), reading.clone()).unwrap();
        let training = TrainOptions {
            vocab_size: 300,
            special_tokens: vec!["<e>".into()],
            max_text_bytes: 100_000,
        };
        let json = train_bpe(open(), &training, |_| {}).unwrap().json;
        let tokenizer = Tokenizer::from_bytes(json.as_bytes(), Path::new("t")).unwrap();
        let settings = WriterSettings {
            eod: vec![0],
            ..WriterSettings::default()
        };
        let mut writer = CorpusWriter::create(&self.out(), &tokenizer, settings).unwrap();
        let options = EncodeOptions {
            eod: vec![0],
            ..EncodeOptions::default()
        };
        let go_on = |_: &_| ControlFlow::Continue(());
        let tally = encode_documents(open(), &tokenizer, &options, &mut writer, go_on).unwrap();
        writer.finish(tally).unwrap()
    }

    fn read(&self, json: &CorpusJson) -> Result<Vec<DocumentEntry>, TokensError> {
        DocumentReader::open(&self.out(), json)?.unwrap().collect()
    }
}

fn setup(files: &[(&str, &str)]) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let write = |(name, text): &(&str, &str)| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let inputs = files.iter().map(write).collect();
    Setup { dir, inputs }
}

const LINES: &str = concat!(
    "{\"id\":\"a/1\",\"text\":\"salt and water\"}\n",
    "{\"text\":\"   \"}\n",
    "no document\n",
    "\n",
    "{\"text\":\"caf\\u00e9\",\"id\":17}\n",
    "{\"text\":\"no id\"}\n",
    "{\"text\":\"null\",\"id\":null}\n",
    "{\"text\":\"a fraction\",\"id\":1.5}\n",
    "{\"text\":\"a list\",\"id\":[1]}\n",
    "{\"text\":\"again\",\"id\":\"a\\/1\"}\n",
    "{\"text\":\"as text\",\"id\":\"17\"}\n",
);

#[test]
fn every_document_has_its_id_file_record_and_sizes() {
    let setup = setup(&[("a.jsonl", LINES), ("b.txt", "whole file")]);
    let json = setup.tokenize();
    let entries = setup.read(&json).unwrap();
    let of = |entry: &DocumentEntry| (entry.id.clone(), entry.record, entry.n_bytes);
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(
        entries.iter().map(of).collect::<Vec<_>>(),
        [
            (id("a/1"), 1, 14),
            (id("17"), 5, 5),
            (None, 6, 5),
            (None, 7, 4),
            (None, 8, 10),
            (None, 9, 6),
            (id("a/1"), 10, 5),
            (id("17"), 11, 7),
            (None, 0, 10),
        ]
    );
    let names: Vec<String> = setup.inputs.iter().map(|p| InputFile::name_of(p)).collect();
    assert!(entries[..8].iter().all(|entry| *entry.source == *names[0]));
    assert_eq!(*entries[8].source, *names[1]);
    assert!(entries.iter().map(|entry| entry.doc_index).eq(0..9));
    let n_tokens: u64 = entries.iter().map(|entry| entry.n_tokens).sum();
    assert_eq!(n_tokens, json.n_tokens);
    let stamp = json.documents.unwrap();
    assert_eq!(
        (stamp.n_without_id, stamp.n_other_ids, stamp.n_repeated_ids),
        (3, 2, 2)
    );
    assert_eq!((json.n_bad_lines, json.n_empty_documents), (1, 1));
}

#[test]
fn the_corpus_says_what_its_inputs_were() {
    let setup = setup(&[("a.jsonl", LINES), ("b.txt", "whole file")]);
    let json = setup.tokenize();
    let expected: Vec<InputFile> = setup
        .inputs
        .iter()
        .map(|path| {
            let hash = storage::hash_file(path).unwrap();
            InputFile {
                path: InputFile::name_of(path),
                bytes: hash.bytes,
                blake3: hash.blake3,
            }
        })
        .collect();
    assert_eq!(json.inputs, expected);
}

#[test]
fn a_list_that_was_changed_or_is_gone_is_refused() {
    let setup = setup(&[("a.jsonl", LINES)]);
    let json = setup.tokenize();
    let path = setup.out().join(NAME);
    let bytes = fs::read(&path).unwrap();
    for at in [0, bytes.len() / 2, bytes.len() - 1] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        let error = setup.read(&json).unwrap_err();
        assert!(
            matches!(error, TokensError::NotAsTokenized { .. }),
            "{error}"
        );
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        setup.read(&json).unwrap_err(),
        TokensError::Storage(_)
    ));
}

#[test]
fn a_list_of_another_corpus_is_told_by_its_counts() {
    let setup = setup(&[("a.jsonl", LINES)]);
    let json = setup.tokenize();
    for (wrong, what) in [
        (
            CorpusJson {
                n_documents: 9,
                ..json.clone()
            },
            "number of documents is 8, expected 9",
        ),
        (
            CorpusJson {
                n_tokens: json.n_tokens + 1,
                ..json.clone()
            },
            "sum of n_tokens",
        ),
    ] {
        let error = setup.read(&wrong).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_corpus_of_before_has_no_list_and_says_so() {
    let setup = setup(&[("a.jsonl", LINES)]);
    let json = CorpusJson {
        documents: None,
        inputs: Vec::new(),
        ..setup.tokenize()
    };
    let text = String::from_utf8(json.to_bytes()).unwrap();
    assert!(
        !text.contains("\"documents\"") && !text.contains("inputs"),
        "{text}"
    );
    assert!(DocumentReader::open(&setup.out(), &json).unwrap().is_none());
}

/// Made by `SALTWORKS_BLESS=1 cargo test --lib tokens::documents` with parquet 60.1 and zstd 1.5.7.
#[test]
fn the_golden_list_reads_the_same_and_is_written_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = DocumentWriter::create(dir.path()).unwrap();
    let mut expected = Vec::new();
    for (doc_index, (id, name, position)) in (0..).zip([
        (
            DocumentId::Known("a/1".into()),
            "in/a.jsonl.zst",
            Position::Line(1),
        ),
        (DocumentId::Absent, "in/a.jsonl.zst", Position::Line(12)),
        (DocumentId::Other, "in/b.parquet", Position::Row(0)),
        (DocumentId::Known("a/1".into()), "in/c.txt", Position::File),
    ]) {
        let location = Location {
            path: Path::new(name).into(),
            position,
        };
        let (n_tokens, n_bytes) = (10 + doc_index, 40 * doc_index);
        writer.push(&id, &location, n_tokens, n_bytes).unwrap();
        expected.push(DocumentEntry {
            doc_index,
            id: matches!(id, DocumentId::Known(_)).then(|| "a/1".to_owned()),
            source: name.into(),
            record: position.record(),
            n_tokens,
            n_bytes,
        });
    }
    let (sealed, stamp) = writer.seal().unwrap();
    sealed.publish().unwrap();
    assert_eq!(
        (stamp.n_without_id, stamp.n_other_ids, stamp.n_repeated_ids),
        (1, 1, 1)
    );
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/documents-v1");
    let (fresh, there) = (dir.path().join(NAME), golden.join(NAME));
    if std::env::var_os("SALTWORKS_BLESS").is_some_and(|value| value == "1") {
        fs::copy(&fresh, &there).unwrap();
    }
    assert!(fs::read(&fresh).unwrap() == fs::read(&there).unwrap());
    let json = CorpusJson {
        n_documents: 4,
        n_tokens: 46,
        documents: Some(stamp),
        ..setup(&[("a.jsonl", LINES)]).tokenize()
    };
    let read = DocumentReader::open(&golden, &json).unwrap().unwrap();
    assert_eq!(read.map(Result::unwrap).collect::<Vec<_>>(), expected);
}
