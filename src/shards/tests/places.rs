//! Paths that are not a directory of labels.

use crate::error::{Classified, Kind};
use crate::shards::testing::{plan, with_targets, write_set};
use crate::shards::*;
use std::path::Path;

fn refusal(path: &Path) -> String {
    let opened = LabelSet::open(path).unwrap_err();
    assert_eq!(opened.kind(), Kind::Usage);
    let verified = verify_files(path, &VerifyOptions::default(), |_| {}).unwrap_err();
    assert_eq!(verified.to_string(), opened.to_string());
    opened.to_string()
}

#[test]
fn a_file_where_a_directory_is_wanted_is_called_what_it_is_and_its_directory_named() {
    let dir = tempfile::tempdir().unwrap();
    let labels = dir.path().join("labels");
    write_set(&labels, &with_targets(plan()));
    let home = format!("give {}", labels.display());
    for (name, kind) in [
        ("manifest.json", "is the manifest of labels"),
        ("plan.json", "is a plan of labels"),
        ("part-00000.json", "is the sidecar of a shard of labels"),
        ("scores/part-00000.parquet", "is a Parquet file"),
        ("positions/part-00001.parquet", "is a Parquet file"),
        ("README.md", "is a file"),
    ] {
        let message = refusal(&labels.join(name));
        let expected = format!("{name} {kind}, expected a directory of labels: {home}");
        assert!(message.contains(&expected), "{message}");
        // Paths through it, too.
        let message = refusal(&labels.join(name).join("labels"));
        assert!(message.contains(&expected), "{message}");
        let error = LabelSet::create_or_match(&labels.join(name), &with_targets(plan()), None);
        assert!(matches!(error, Err(ShardsError::NotADirectory { .. })));
    }
}

#[test]
fn a_file_of_something_else_is_called_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    for (name, content, kind) in [
        ("corpus.json", "{}", "a JSON file"),
        ("text.txt", "text", "a file"),
        ("empty", "", "a file"),
        ("selection", "PAR1...", "a Parquet file"),
    ] {
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        let message = refusal(&path);
        assert!(
            message.contains(&format!("{name} is {kind}, expected a directory")),
            "{message}"
        );
        assert!(
            message.contains("the directory that contains plan.json"),
            "{message}"
        );
    }
}

#[test]
fn a_folder_of_labels_names_the_labels() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan()));
    for folder in ["scores", "positions"] {
        let message = refusal(&dir.path().join(folder));
        let expected = format!("it is part of {}", dir.path().display());
        assert!(message.contains(&expected), "{message}");
    }
    let message = refusal(&dir.path().join("none"));
    assert!(message.contains("none does not exist"), "{message}");
}
