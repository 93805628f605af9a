use super::support::{Setup, run, write_selection};
use crate::corpus::{Compression, DocumentFormat};
use crate::error::{Classified, Kind};
use crate::filter::{FilterError, FilterOptions, Request};
use std::fs;

const TWO: &str = "{\"text\":\"one\"}\n{\"text\":\"two\"}\n";

fn setup() -> Setup {
    let setup = Setup::new(&[
        ("a.jsonl", TWO.into()),
        ("b.jsonl", "{\"text\":\"b\"}".into()),
    ]);
    setup.select(|_| true);
    setup
}

/// The message of the error, which must be of this kind; nothing may be written.
fn refused(setup: &Setup, request: Request, kind: Kind) -> String {
    let error = run(request).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    let out = setup.path("out");
    for name in ["a.jsonl", "b.jsonl"] {
        assert!(!out.join(name).exists(), "{name} was written: {error}");
    }
    error.to_string()
}

#[test]
fn inputs_that_are_missing_or_too_many_are_named() {
    let setup = setup();
    let mut request = setup.request(FilterOptions::default());
    request.inputs.pop();
    let message = refused(&setup, request, Kind::Usage);
    assert!(message.contains("b.jsonl is not among the 1"), "{message}");
    let mut request = setup.request(FilterOptions::default());
    let more = setup.path("in/c.jsonl");
    fs::write(&more, TWO).unwrap();
    request.inputs.push(more);
    let message = refused(&setup, request, Kind::Usage);
    assert!(message.contains("c.jsonl is not one of them"), "{message}");
}

#[test]
fn an_input_that_changed_is_refused_whether_its_size_shows_it_or_not() {
    let setup = setup();
    fs::write(&setup.inputs[1], "{\"text\":\"c\"}").unwrap();
    let error = setup.filter(FilterOptions::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::BadData);
    let message = error.to_string();
    assert!(
        message.contains("b.jsonl has changed") && message.contains("BLAKE3"),
        "{message}"
    );
    // Also if the records are different or damaged.
    for other in ["\n{\"text\":\"b\"", "{\"text\" \"bb\""] {
        fs::write(&setup.inputs[1], other).unwrap();
        let message = setup
            .filter(FilterOptions::default())
            .unwrap_err()
            .to_string();
        assert!(message.contains("b.jsonl has changed"), "{message}");
    }
    // The sound file that precedes it is done; the other left nothing.
    assert_eq!(setup.output("a.jsonl"), TWO.as_bytes());
    assert!(!setup.path("out/b.jsonl").exists());

    let setup = self::setup();
    fs::write(&setup.inputs[1], "{\"text\":\"longer\"}").unwrap();
    let request = setup.request(FilterOptions::default());
    let message = refused(&setup, request, Kind::BadData);
    assert!(message.contains("its size is 17, expected 12"), "{message}");
}

#[test]
fn other_folders_and_another_order_make_no_difference() {
    let setup = setup();
    let moved = setup.path("moved");
    fs::rename(setup.path("in"), &moved).unwrap();
    let mut request = setup.request(FilterOptions::default());
    request.inputs = vec![moved.join("b.jsonl"), moved.join("a.jsonl")];
    run(request).unwrap();
    assert_eq!(setup.output("a.jsonl"), TWO.as_bytes());
}

#[test]
fn a_selection_of_another_corpus_is_refused() {
    let setup = setup();
    let selection = setup.path("selection.parquet");
    let fingerprint = format!("blake3:{}", "0".repeat(64));
    write_selection(&selection, &fingerprint, &[(0, true)]);
    refused(&setup, setup.request(FilterOptions::default()), Kind::Usage);
}

#[test]
fn a_selection_of_a_document_that_is_not_there_is_refused() {
    let setup = setup();
    let json = setup.corpus_json();
    let selection = setup.path("selection.parquet");
    write_selection(&selection, &json.fingerprint(), &[(0, true), (3, true)]);
    let error = setup.filter(FilterOptions::default()).unwrap_err();
    assert!(
        matches!(error, FilterError::UnknownDocument { doc_index: 3, .. }),
        "{error}"
    );
}

#[test]
fn a_file_that_is_not_a_document_selection_is_refused() {
    let setup = setup();
    let mut request = setup.request(FilterOptions::default());
    request.selection = setup.path("nowhere.parquet");
    let message = refused(&setup, request, Kind::Usage);
    assert!(message.contains("select --by document"), "{message}");
    for (name, kind) in [("in", Kind::Usage), ("in/a.jsonl", Kind::BadData)] {
        let mut request = setup.request(FilterOptions::default());
        request.selection = setup.path(name);
        refused(&setup, request, kind);
    }
    let mut request = setup.request(FilterOptions::default());
    request.selection = setup.path("tokens/documents.parquet");
    let message = refused(&setup, request, Kind::BadData);
    assert!(
        message.contains("not a selection of documents"),
        "{message}"
    );
}

#[test]
fn a_folder_without_a_corpus_is_refused() {
    let setup = setup();
    let mut request = setup.request(FilterOptions::default());
    request.corpus = setup.path("in");
    let message = refused(&setup, request, Kind::Usage);
    assert!(message.contains("no corpus.json"), "{message}");
}

#[test]
fn a_corpus_that_does_not_know_its_inputs_is_refused() {
    let setup = setup();
    let path = setup.path("tokens/corpus.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let fields = json.as_object_mut().unwrap();
    for key in ["inputs", "documents", "saltworks_blake3"] {
        fields.remove(key).unwrap();
    }
    fs::write(&path, json.to_string()).unwrap();
    let message = refused(&setup, setup.request(FilterOptions::default()), Kind::Usage);
    assert!(
        message.contains("tokenize the same inputs again"),
        "{message}"
    );
}

#[test]
fn another_format_than_that_of_tokenization_is_noticed() {
    let mut setup = Setup::new(&[("a.txt", TWO.into())]);
    setup.reading.format = Some(DocumentFormat::Jsonl);
    setup.select(|_| true);
    setup.reading.format = None;
    let error = setup.filter(FilterOptions::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::BadData);
    assert!(error.to_string().contains("holds JSON lines"), "{error}");
    assert!(!setup.path("out/a.txt").exists());
}

#[test]
fn an_existing_key_is_refused_with_its_location() {
    let lines = "{\"text\":\"one\"}\n{\"text\":\"two\",\"w\":null}\n";
    let setup = Setup::new(&[("a.jsonl", lines.into())]);
    setup.select(|_| true);
    let options = |scores: &str, weights: &str| FilterOptions {
        scores_key: Some(scores.to_owned()),
        weights_key: Some(weights.to_owned()),
        ..FilterOptions::default()
    };
    let message = refused(&setup, setup.request(options("s", "w")), Kind::Usage);
    assert!(
        message.contains("a.jsonl:2") && message.contains("`w`"),
        "{message}"
    );
    let message = refused(&setup, setup.request(options("s", "s")), Kind::Usage);
    assert!(message.contains("both be under `s`"), "{message}");
    refused(&setup, setup.request(options("", "w")), Kind::Usage);
}

#[test]
fn an_existing_file_is_not_overwritten() {
    let setup = setup();
    fs::create_dir(setup.path("out")).unwrap();
    fs::write(setup.path("out/b.jsonl"), "mine").unwrap();
    let error = setup.filter(FilterOptions::default()).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    assert!(
        error.to_string().contains("b.jsonl already exists"),
        "{error}"
    );
    assert_eq!(setup.output("b.jsonl"), b"mine");
    assert!(!setup.path("out/a.jsonl").exists());
}

#[test]
fn names_that_a_compression_makes_the_same_are_refused() {
    let gz = super::support::compressed(TWO.as_bytes(), Compression::Gzip);
    let setup = Setup::new(&[("a.jsonl", TWO.into()), ("a.jsonl.gz", gz)]);
    setup.select(|_| true);
    let options = FilterOptions {
        compression: Some(Compression::Gzip),
        ..FilterOptions::default()
    };
    let message = refused(&setup, setup.request(options), Kind::Usage);
    assert!(
        message.contains("would both be written to a.jsonl.gz"),
        "{message}"
    );
    setup.filter(FilterOptions::default()).unwrap();
}
