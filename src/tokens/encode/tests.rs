use super::*;
use crate::corpus::CorpusOptions;
use crate::error::Classified;
use crate::tokens::{
    OpenOptions, TokenCorpus, TokensError, TrainOptions, WriterSettings, train_bpe,
};
use std::fs;
use std::io::Write;
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
    let json = train_bpe(documents(&input), &options, |_| {}).unwrap().json;
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
            bos: vec![1],
            eod: vec![0],
            n_threads,
        };
        let output = self.output(name);
        let settings = WriterSettings {
            bos: vec![1],
            eod: vec![0],
            overwrite,
        };
        let mut writer = CorpusWriter::create(&output, &self.tokenizer, settings)?;
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
        corpus.copy_tokens(start, &mut ids).unwrap();
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
    assert_eq!(setup.files("one").len(), 4);
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

    let settings = WriterSettings {
        overwrite: true,
        ..WriterSettings::default()
    };
    let mut writer =
        CorpusWriter::create(&setup.output("out"), &setup.tokenizer, settings).unwrap();
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
    let settings = WriterSettings {
        eod: vec![past],
        ..WriterSettings::default()
    };
    let error = CorpusWriter::create(&out, &setup.tokenizer, settings).err();
    assert!(matches!(error, Some(TokensError::IdPastVocab { id, .. }) if id == past));
}

#[test]
fn a_second_writer_of_a_directory_is_refused_while_the_first_works() {
    let setup = setup(10);
    let create = || {
        CorpusWriter::create(
            &setup.output("out"),
            &setup.tokenizer,
            WriterSettings::default(),
        )
    };
    let first = create().unwrap();
    let error = create().err().unwrap();
    assert!(matches!(error, TokensError::OutputInUse { .. }), "{error}");
    drop(first);
    create().unwrap();
}

#[test]
fn a_corpus_that_appears_meanwhile_is_not_replaced() {
    let setup = setup(10);
    let out = setup.output("out");
    let mut writer =
        CorpusWriter::create(&out, &setup.tokenizer, WriterSettings::default()).unwrap();
    writer.push_document(&[1, 2], 2).unwrap();
    fs::write(out.join("corpus.json"), "of another").unwrap();
    let error = writer.finish(Tally::default()).unwrap_err();
    assert!(matches!(error, TokensError::OutputExists { .. }));
    assert_eq!(setup.files("out").len(), 1);
}

/// As if the process had died at each step of a publication.
#[test]
fn after_an_end_at_any_step_the_same_command_works_and_leaves_no_litter() {
    let setup = setup(50);
    setup.encode("whole", 1, false).unwrap();
    let whole = setup.files("whole");
    let names = [
        "tokens.bin",
        "tokens.idx",
        "documents.parquet",
        "corpus.json",
    ];
    for n_published in 0..names.len() {
        for litter in [false, true] {
            let out = setup.output("out");
            let _ = fs::remove_dir_all(&out);
            fs::create_dir(&out).unwrap();
            for (path, bytes) in whole.iter().filter(|(path, _)| {
                let published = &names[..n_published];
                published.iter().any(|name| path == Path::new(name))
            }) {
                fs::write(out.join(path), bytes).unwrap();
            }
            if litter {
                for name in names {
                    let temporary = format!(".{name}.host.12.00112233445566ff");
                    fs::write(out.join(temporary), "half").unwrap();
                }
            }
            setup.encode("out", 1, false).unwrap();
            assert_eq!(setup.files("out"), whole, "after {n_published} names");
        }
    }
}

#[test]
fn each_failing_operation_leaves_the_old_corpus_or_nothing_and_a_later_try_goes_through() {
    let setup = setup(30);
    setup.encode("whole", 1, false).unwrap();
    let whole = setup.files("whole");
    for n in 0.. {
        let _ = fs::remove_dir_all(setup.output("out"));
        let (result, reached) = crate::storage::fail_nth(n, || setup.encode("out", 1, false));
        if !reached {
            result.unwrap();
            assert!(
                n > 8,
                "three files are created, written, synced and renamed"
            );
            break;
        }
        let is_finished = setup.output("out").join("corpus.json").exists();
        assert!(is_finished || result.is_err());
        if is_finished {
            assert_eq!(setup.files("out"), whole);
        } else {
            setup.encode("out", 1, false).unwrap();
            assert_eq!(setup.files("out"), whole);
        }
    }
}

#[test]
fn several_ids_around_documents_are_kept_in_order() {
    let setup = setup(5);
    let options = EncodeOptions {
        bos: vec![1, 2],
        eod: vec![3, 4],
        n_threads: 1,
    };
    let settings = WriterSettings {
        bos: vec![1, 2],
        eod: vec![3, 4],
        overwrite: false,
    };
    let out = setup.output("out");
    let mut writer = CorpusWriter::create(&out, &setup.tokenizer, settings).unwrap();
    let go_on = |_: &EncodeProgress| ControlFlow::Continue(());
    let input = documents(&setup.input);
    let tally = encode_documents(input, &setup.tokenizer, &options, &mut writer, go_on).unwrap();
    let json = writer.finish(tally).unwrap();
    assert_eq!((json.bos, json.eod), (Some(1), Some(4)));
    assert_eq!(
        (json.ids_in_front, json.ids_after),
        (vec![1, 2], vec![3, 4])
    );
    let corpus = TokenCorpus::open(&out, &OpenOptions::default()).unwrap();
    let mut ids = vec![0; corpus.document_start(1) as usize];
    corpus.copy_tokens(0, &mut ids).unwrap();
    assert_eq!(
        (&ids[..2], &ids[ids.len() - 2..]),
        (&[1, 2][..], &[3, 4][..])
    );
}

#[test]
fn a_long_document_is_written_by_pieces_to_the_same_ids() {
    let setup = setup(200);
    let text: String = (0..400_000).map(|i| format!("salt {i} and\n")).collect();
    assert!(text.len() > LONG_DOCUMENT_BYTES);
    let path = setup.dir.path().join("long.txt");
    fs::write(&path, &text).unwrap();
    let mut writer = CorpusWriter::create(
        &setup.output("out"),
        &setup.tokenizer,
        WriterSettings::default(),
    )
    .unwrap();
    let mut n_calls = 0;
    let tally = encode_documents(
        documents(&path),
        &setup.tokenizer,
        &EncodeOptions::default(),
        &mut writer,
        |_| {
            n_calls += 1;
            ControlFlow::Continue(())
        },
    );
    writer.finish(tally.unwrap()).unwrap();
    let corpus = TokenCorpus::open(&setup.output("out"), &OpenOptions::default()).unwrap();
    let mut ids = vec![0; corpus.n_tokens() as usize];
    corpus.copy_tokens(0, &mut ids).unwrap();
    assert_eq!(setup.tokenizer.decode(&ids), text);
    assert!(
        n_calls > 10,
        "a wish to stop is looked at inside the document"
    );
}

#[test]
fn a_stop_request_is_noticed_in_endless_blank_lines() {
    let setup = setup(10);
    let path = setup.dir.path().join("blank.jsonl");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let interrupt = crate::interrupt::Interrupt::new();
    let (requester, end) = (interrupt.clone(), path.clone());
    // Blank lines as long as somebody reads them: only an interrupt ends it.
    let feeder = std::thread::spawn(move || {
        let mut pipe = fs::File::options().write(true).open(end).unwrap();
        for n_blocks in 0.. {
            if n_blocks == 64 {
                requester.request();
            }
            if pipe.write_all(&[b'\n'; 1 << 16]).is_err() {
                return;
            }
        }
    });
    let documents = documents(&path).with_interrupt(&interrupt);
    let mut writer = CorpusWriter::create(
        &setup.output("out"),
        &setup.tokenizer,
        WriterSettings::default(),
    )
    .unwrap();
    let options = EncodeOptions::default();
    let go_on = |_: &EncodeProgress| ControlFlow::Continue(());
    let stopped = encode_documents(documents, &setup.tokenizer, &options, &mut writer, go_on);
    assert_eq!(stopped.unwrap_err().kind(), crate::error::Kind::Interrupted);
    feeder.join().unwrap();
}

#[test]
fn a_stop_request_is_noticed_inside_a_long_document() {
    let setup = setup(10);
    let path = setup.dir.path().join("long.txt");
    fs::write(&path, "salt of the sea\n".repeat(LONG_DOCUMENT_BYTES / 10)).unwrap();
    let mut writer = CorpusWriter::create(
        &setup.output("out"),
        &setup.tokenizer,
        WriterSettings::default(),
    )
    .unwrap();
    let options = EncodeOptions::default();
    let stop = |_: &EncodeProgress| ControlFlow::Break(());
    let stopped = encode_documents(
        documents(&path),
        &setup.tokenizer,
        &options,
        &mut writer,
        stop,
    );
    assert!(matches!(stopped, Err(TokensError::Interrupted)));
}
