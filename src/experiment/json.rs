//! Small JSON files of an experiment, each with its own checksum; files of versions without checksums are read
//! unchecked.

use super::ExperimentError;
use crate::storage::{self, StorageError, checked_json, from_checked_json, sweep_abandoned};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// The contents of `path`; `None` if it does not exist.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ExperimentError> {
    let Some(bytes) = storage::read_if_exists(path)? else {
        return Ok(None);
    };
    let value = from_checked_json(&bytes).map_err(|fault| ExperimentError::Damaged {
        path: path.to_owned(),
        reason: fault.to_string(),
    })?;
    Ok(Some(value))
}

/// Writes `value`, an object, to `path` atomically; creates the directory if missing, and removes leftovers of
/// killed writes of the same file.
pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<(), ExperimentError> {
    let io = |source| StorageError::io("write", path, source);
    let bytes = checked_json(value).map_err(|error| io(error.into()))?;
    if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
        std::fs::create_dir_all(dir).map_err(io)?;
        sweep_abandoned(dir, name)?;
    }
    Ok(storage::replace(path, &bytes)?)
}
