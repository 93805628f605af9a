//! Failures of writing Parquet, as this room tells them.

use super::ShardsError;
use crate::storage::EncodeError;
use parquet::errors::ParquetError;
use std::path::Path;

/// An I/O failure inside the encoder is an I/O failure; the rest is the encoder's.
pub(super) fn encode_error(path: &Path, error: ParquetError) -> ShardsError {
    match EncodeError::of(path, error) {
        EncodeError::Write(error) => error.into(),
        EncodeError::Parquet(source) => ShardsError::Encode {
            path: path.to_path_buf(),
            source,
        },
    }
}
