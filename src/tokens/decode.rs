//! Maps failures of reading Parquet to errors of this room.

use super::error::TokensError;
use crate::storage::{DecodeError, Source};
use parquet::errors::ParquetError;
use std::path::Path;

/// Runs `work`, which decodes from `source`; distinguishes a read that the system refused from
/// damage.
pub(super) fn decode<R>(
    path: &Path,
    source: &Source,
    work: impl FnOnce() -> Result<R, ParquetError>,
) -> Result<R, TokensError> {
    source.decode(work).map_err(|error| undecoded(path, error))
}

/// The error of a file at `path` that could not be decoded.
pub(super) fn undecoded(path: &Path, error: DecodeError) -> TokensError {
    error.or_damaged(|source| TokensError::Parquet {
        path: path.to_path_buf(),
        source,
    })
}
