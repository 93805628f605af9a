//! An input file as it was when read.

use super::error::CorpusError;
use crate::storage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// An input file, recorded so that a changed file is noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InputFile {
    /// Its path as it was found; parts that are not UTF-8 are replaced.
    pub path: String,
    /// Size, bytes, compressed as it is.
    pub bytes: u64,
    /// BLAKE3 of the contents, 64 hex digits.
    pub blake3: String,
}

impl InputFile {
    /// How a path is written down.
    pub fn name_of(path: &Path) -> String {
        path.to_string_lossy().into_owned()
    }
}

/// Hashes the bytes of one file as they are read from start to end.
#[derive(Clone, Default)]
pub(super) struct PassingHash(Arc<Mutex<blake3::Hasher>>);

impl PassingHash {
    pub(super) fn update(&self, bytes: &[u8]) {
        let mut hasher = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hasher.update(bytes);
    }

    /// The file at `path`, with the hash of what has passed; if only parts were read, as with Parquet, the file is read
    /// again as a whole.
    pub(super) fn finish(&self, path: &Path) -> Result<InputFile, CorpusError> {
        let hasher = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, blake3) = match hasher.count() == storage::metadata(path)?.n_bytes {
            true => (hasher.count(), hasher.finalize().to_hex().to_string()),
            false => {
                // For an object, the copy that was read.
                let hash = storage::with_copy(path, storage::hash_file)?;
                (hash.bytes, hash.blake3)
            }
        };
        Ok(InputFile {
            path: InputFile::name_of(path),
            bytes,
            blake3,
        })
    }
}
