//! Whether a path is on this machine or in a store.

use super::StorageError;
use super::object::ObjectUrl;
use super::place::{check_output_place, check_place, file_url_path, is_url, split_scheme};
use std::path::Path;

/// Where a path leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location<'a> {
    /// A file of this machine.
    Local(&'a Path),
    /// A place in a store.
    Object(ObjectUrl),
}

/// Where `path` leads.
///
/// # Errors
/// A URL of no known store: it must not become a directory of that name.
pub(super) fn locate(path: &Path) -> Result<Location<'_>, StorageError> {
    // Most paths have no scheme: this allocates nothing for them.
    if path.to_str().and_then(split_scheme).is_none() {
        return Ok(Location::Local(path));
    }
    if let Some(plain) = file_url_path(path) {
        return Ok(Location::Local(plain));
    }
    match ObjectUrl::parse(path)? {
        Some(url) => Ok(Location::Object(url)),
        // Readers have already resolved it to the local file.
        None if is_url(path) => Err(check_output_place(path).err().map_or_else(
            || StorageError::io("use", path, std::io::ErrorKind::Unsupported.into()),
            Into::into,
        )),
        None => match check_place(path) {
            Ok(()) => Ok(Location::Local(path)),
            Err(error) => Err(error.into()),
        },
    }
}
