//! Token files in stores.

use super::tests::{documents_of, write_megatron};
use super::*;
use crate::storage::testing::{memory_store, put_tree};
use std::path::Path;

#[test]
fn a_corpus_in_a_store_is_read_as_a_local_one() {
    memory_store("s3://tokens-read");
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    let url = Path::new("s3://tokens-read/a/tokens");
    put_tree(dir.path(), url);
    let local = TokenCorpus::open(dir.path(), &OpenOptions::default()).unwrap();
    for place in [
        url.to_path_buf(),
        url.join("tokens"),
        url.join("tokens.idx"),
    ] {
        let corpus = TokenCorpus::open(&place, &OpenOptions::default()).unwrap();
        assert_eq!(
            corpus.format(),
            TokenFormat::Megatron,
            "{}",
            place.display()
        );
        assert_eq!(documents_of(&corpus), documents_of(&local));
        assert_eq!(corpus.corpus_json(), local.corpus_json());
        assert_eq!(
            corpus.files(),
            [url.join("tokens.bin"), url.join("tokens.idx")]
        );
        assert_eq!(corpus.touched_file().unwrap(), None);
        corpus.check_contents().unwrap();
    }
}

#[test]
fn a_token_object_that_changes_under_a_run_is_noticed() {
    memory_store("s3://tokens-touched");
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    let url = Path::new("s3://tokens-touched/tokens");
    put_tree(dir.path(), url);
    let corpus = TokenCorpus::open(url, &OpenOptions::default()).unwrap();
    let documents = documents_of(&corpus);
    let bin = url.join("tokens.bin");
    let mut bytes = storage::read(&bin).unwrap();
    bytes[0] ^= 1;
    storage::replace(&bin, &bytes).unwrap();
    assert_eq!(corpus.touched_file().unwrap(), Some(bin.as_path()));
    // What was opened is a copy, and stays what it was.
    assert_eq!(documents_of(&corpus), documents);
    corpus.check_contents().unwrap();
    let again = TokenCorpus::open(url, &OpenOptions::default()).unwrap();
    let error = again.check_contents().unwrap_err();
    assert!(
        matches!(error, TokensError::NotAsTokenized { .. }),
        "{error}"
    );
}

#[test]
fn half_a_pair_and_nothing_at_all_are_told_by_their_urls() {
    memory_store("s3://tokens-absent");
    let dir = tempfile::tempdir().unwrap();
    write_megatron(dir.path());
    std::fs::remove_file(dir.path().join("tokens.idx")).unwrap();
    let url = Path::new("s3://tokens-absent/half");
    put_tree(dir.path(), url);
    let refusal = |place: &Path| {
        let opened = TokenCorpus::open(place, &OpenOptions::default());
        opened.err().expect("refused").to_string()
    };
    assert!(refusal(url).contains("s3://tokens-absent/half/tokens.idx"));
    let nothing = refusal(Path::new("s3://tokens-absent/nothing"));
    assert!(nothing.contains("s3://tokens-absent/nothing"), "{nothing}");
}
