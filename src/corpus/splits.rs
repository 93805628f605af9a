//! Files of a data set that are meant to be kept apart.

use super::location::name_of;
use std::path::{Path, PathBuf};

/// Names of what is held out.
const HELD_OUT: [&str; 7] = [
    "test",
    "validation",
    "valid",
    "val",
    "dev",
    "eval",
    "heldout",
];

/// A note where files that are called training data and files that are called held out are read as one.
pub fn mixed_splits(paths: &[PathBuf]) -> Option<String> {
    let of_kind = |names: &[&str]| paths.iter().find(|path| is_of(path, names));
    let (train, held_out) = (of_kind(&["train"])?, of_kind(&HELD_OUT)?);
    Some(format!(
        "{} and {} are read as one: by their names the second is held out; give its files separately if it is",
        train.display(),
        held_out.display()
    ))
}

/// Whether the first word of a file's name is among `names`, or the name of its folder is.
fn is_of(path: &Path, names: &[&str]) -> bool {
    let name = name_of(path).to_lowercase();
    let word = name.split(['-', '_', '.']).next().unwrap_or_default();
    let folder = path.parent().map(|folder| name_of(folder).to_lowercase());
    names.contains(&word) || folder.is_some_and(|folder| names.contains(&folder.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_and_held_out_files_are_told_by_their_names() {
        let note = |names: &[&str]| {
            let paths: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
            mixed_splits(&paths)
        };
        for mixed in [
            [
                "d/train-00000-of-00001.parquet",
                "d/test-00000-of-00001.parquet",
            ],
            ["d/train/a.jsonl", "d/validation/a.jsonl"],
            ["d/train.jsonl.zst", "d/val.jsonl.zst"],
        ] {
            assert!(
                note(&mixed).is_some_and(|note| note.contains("held out")),
                "{mixed:?}"
            );
        }
        for alone in [
            ["d/train-00000.parquet", "d/train-00001.parquet"],
            ["d/test_things.py", "d/things.py"],
            ["d/trainer.py", "d/test.py"],
        ] {
            assert_eq!(note(&alone), None, "{alone:?}");
        }
    }
}
