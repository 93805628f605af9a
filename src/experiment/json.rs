//! Small files of an experiment.

use super::ExperimentError;
use crate::storage::{self, StorageError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::Path;

/// What `path` holds; `None` if it is not there.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, ExperimentError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StorageError::io("read", path, source).into()),
    };
    let value = serde_json::from_slice(&bytes).map_err(|error| ExperimentError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    Ok(Some(value))
}

/// Puts `value` at `path`, whole or not at all; the directory is made where it is not there.
pub(super) fn write(path: &Path, value: &impl Serialize) -> Result<(), ExperimentError> {
    let io = |source| StorageError::io("write", path, source);
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| io(error.into()))?;
    bytes.push(b'\n');
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(io)?;
    }
    Ok(storage::replace(path, &bytes)?)
}
