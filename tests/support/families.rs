//! The tiny checkpoints of `fixtures/families`, for tests inside the library and outside.

use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Where they are.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families")
}

/// All of them, sorted.
pub(crate) fn names() -> Vec<String> {
    let entries = std::fs::read_dir(fixtures()).unwrap();
    let dirs = entries.map(Result::unwrap).filter(|e| e.path().is_dir());
    let mut names: Vec<String> = dirs
        .map(|e| e.file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('_'))
        .collect();
    names.sort();
    names
}

/// One as a directory of its own, with the weights that it names.
pub(crate) fn whole(name: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let from = fixtures().join(name);
    let weights = match std::fs::read_to_string(from.join("weights-of")) {
        Ok(other) => fixtures().join(other.trim()),
        Err(_) => from.clone(),
    };
    for entry in std::fs::read_dir(&weights).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("model") {
            std::fs::copy(&path, dir.path().join(name)).unwrap();
        }
    }
    std::fs::copy(from.join("config.json"), dir.path().join("config.json")).unwrap();
    dir
}
