//! Files written next to an ONNX model.

use super::print::say;
use saltworks::storage::{self, StorageError, create_if_absent, sweep_abandoned};
use std::path::Path;

/// Refuses an output that is a directory or whose name ends like one.
pub(crate) fn check_file_name(path: &Path) -> Result<(), StorageError> {
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.is_dir() {
        let path = path.to_owned();
        return Err(StorageError::NotAFileName { path });
    }
    Ok(())
}

/// The directory of `path`, created if necessary.
pub(crate) fn create_parent_dir(path: &Path) -> Result<&Path, StorageError> {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).map_err(|source| StorageError::io("create", dir, source))?;
    Ok(dir)
}

/// The config.json that `label` reads next to a model. An existing one is kept, with a note unless its
/// directory is the model's own.
pub(crate) fn write_config(dir: &Path, text: &str, is_own: bool) -> Result<(), StorageError> {
    let path = dir.join("config.json");
    sweep_abandoned(dir, "config.json")?;
    create_if_absent(&path, text.as_bytes())?;
    let existing = storage::read(&path)?;
    if existing != text.as_bytes() && !is_own {
        say!(
            "note: {} already exists and may belong to another model; `saltworks label` reads the maximum sequence length from it",
            path.display()
        );
    }
    Ok(())
}
