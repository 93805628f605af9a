//! The format of the small files: pretty JSON in field order, with one newline at the end.

use super::ShardsError;
use crate::storage;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// A small file is far below this; anything larger is not parsed (1 GiB: a manifest of millions of shards).
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
pub(super) fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, ShardsError> {
    storage::read_up_to(path, MAX_JSON_BYTES).map_err(ShardsError::from)
}

/// Like [`read_if_exists`], for many files.
pub(super) fn read_many_if_exists(paths: &[PathBuf]) -> Result<Vec<Option<Vec<u8>>>, ShardsError> {
    storage::read_many(paths, MAX_JSON_BYTES).map_err(ShardsError::from)
}

/// Where `got` differs from `expected`, which this library wrote or would write. Extra fields in `got` are those of a
/// newer minor version, whose layout may also differ.
pub(super) fn difference(got: &[u8], expected: &[u8]) -> Option<String> {
    if got == expected {
        return None;
    }
    let parse = serde_json::from_slice::<serde_json::Value>;
    let (Ok(got), Ok(expected)) = (parse(got), parse(expected)) else {
        return Some("it is not JSON".to_owned());
    };
    let mut has_more = false;
    match first_difference("", &got, &expected, &mut has_more) {
        Some(difference) => Some(difference),
        None if has_more => None,
        None => Some("its white space has changed since it was written".to_owned()),
    }
}

fn first_difference(
    path: &str,
    got: &serde_json::Value,
    expected: &serde_json::Value,
    has_more: &mut bool,
) -> Option<String> {
    use serde_json::Value::{Array, Object};
    match (got, expected) {
        (Object(got), Object(expected)) => {
            *has_more |= got.keys().any(|key| !expected.contains_key(key));
            expected.iter().find_map(|(key, expected)| {
                let path = format!("{path}.{key}");
                match got.get(key) {
                    Some(got) => first_difference(&path, got, expected, has_more),
                    None => Some(format!("{} is absent", path.trim_start_matches('.'))),
                }
            })
        }
        (Array(got), Array(expected)) if got.len() == expected.len() => {
            let mut pairs = got.iter().zip(expected).enumerate();
            pairs.find_map(|(i, (got, expected))| {
                first_difference(&format!("{path}[{i}]"), got, expected, has_more)
            })
        }
        _ if got == expected => None,
        _ => {
            let path = path.trim_start_matches('.');
            Some(format!("{path} is {got}, expected {expected}"))
        }
    }
}
