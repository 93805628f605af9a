//! Labels and tokens in object stores.

use super::support::*;
use super::*;
use crate::storage::testing::{memory_store, put_tree};
use std::path::Path;

#[test]
fn sequences_of_a_store_are_those_of_the_directory() {
    memory_store("s3://train-data");
    let fixture = Fixture::new();
    let root = Path::new("s3://train-data/run");
    put_tree(fixture.dir.path(), root);
    let options = LabelSourceOptions {
        dir: root.join("labels"),
        ..fixture.options()
    };
    let stored = LabelSource::open(&options).unwrap();
    let local = fixture.labels();
    assert_eq!(stored.fingerprint(), local.fingerprint());
    let all = |labels: &LabelSource| -> Vec<_> {
        labels.examples().map(|example| example.unwrap()).collect()
    };
    assert_eq!(all(&stored), all(&local));
    let options = TokenOptions {
        path: root.join("tokens"),
        ..fixture.token_options("tokens")
    };
    let facts = stored.tokenizer();
    let (tokens, _) = TokenSource::open(&options, &facts).unwrap();
    let (here, _) = TokenSource::open(&fixture.token_options("tokens"), &facts).unwrap();
    assert_eq!(tokens.corpus().n_tokens(), here.corpus().n_tokens());
    tokens.check_unchanged().unwrap();
    let bin = root.join("tokens/tokens.bin");
    let mut bytes = crate::storage::read(&bin).unwrap();
    bytes[4] ^= 1;
    crate::storage::replace(&bin, &bytes).unwrap();
    let error = tokens.check_unchanged().unwrap_err();
    assert!(
        matches!(error, DataError::ChangedWhileRead { .. }),
        "{error}"
    );
}

#[test]
fn a_damaged_shard_of_a_store_is_refused_by_its_url() {
    memory_store("s3://train-damaged");
    let fixture = Fixture::new();
    let root = Path::new("s3://train-damaged/labels");
    put_tree(&fixture.path("labels"), root);
    let shard = root.join("scores/part-00001.parquet");
    let mut bytes = crate::storage::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    crate::storage::replace(&shard, &bytes).unwrap();
    let options = LabelSourceOptions {
        dir: root.to_path_buf(),
        ..fixture.options()
    };
    let labels = LabelSource::open(&options).unwrap();
    let error = labels.examples().find_map(Result::err).unwrap();
    assert!(
        error.to_string().contains("s3://train-damaged/labels"),
        "{error}"
    );
}
