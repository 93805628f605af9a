//! How the small files are written: pretty JSON in the order of the fields, one newline at the end.

use super::ShardsError;
use crate::storage::StorageError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// A small file is far below this; more is not worth parsing (1 GiB: a manifest of millions of shards).
const MAX_JSON_BYTES: u64 = 1 << 30;

/// `value` as the bytes of its file.
pub(super) fn to_bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("plain structs with string keys");
    bytes.push(b'\n');
    bytes
}

/// The value in `bytes`; `path` is for messages.
pub(super) fn from_bytes<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, ShardsError> {
    serde_json::from_slice(bytes).map_err(|source| ShardsError::Json {
        path: path.to_path_buf(),
        source,
    })
}

/// The bytes of a small file; `None` if there is none.
pub(super) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, ShardsError> {
    let io = |source| StorageError::io("read", path, source);
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(source).into()),
        Ok(metadata) if metadata.len() > MAX_JSON_BYTES => {
            let source = std::io::Error::other("far too large for what it should be");
            return Err(io(source).into());
        }
        Ok(_) => {}
    }
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io(source).into()),
    }
}
