//! Small files of an experiment, each with a checksum of its own; files of versions that wrote none
//! are read as they are.

use super::ExperimentError;
use crate::storage::{self, StorageError, checked_json, from_checked_json, sweep_abandoned};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// What `path` holds; `None` if it is not there.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ExperimentError> {
    let Some(bytes) = storage::read_if_there(path)? else {
        return Ok(None);
    };
    let value = from_checked_json(&bytes).map_err(|fault| ExperimentError::Damaged {
        path: path.to_owned(),
        reason: fault.to_string(),
    })?;
    Ok(Some(value))
}

/// Puts `value`, an object, at `path`, whole or not at all; the directory is made where it is not
/// there, and what a killed process left of the same file goes.
pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<(), ExperimentError> {
    let io = |source| StorageError::io("write", path, source);
    let bytes = checked_json(value).map_err(|error| io(error.into()))?;
    if let (Some(dir), Some(name)) = (path.parent(), path.file_name()) {
        std::fs::create_dir_all(dir).map_err(io)?;
        sweep_abandoned(dir, name)?;
    }
    Ok(storage::replace(path, &bytes)?)
}
