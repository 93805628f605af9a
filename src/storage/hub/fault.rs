//! Errors of files on the hub.

use super::url::HubUrl;
use crate::storage::{StorageError, StoreFault};
use std::io;
use std::path::PathBuf;

/// There is no such file.
pub(super) fn absent(url: &HubUrl) -> StorageError {
    let source = io::Error::from(io::ErrorKind::NotFound);
    StorageError::io("read", &PathBuf::from(url.to_string()), source)
}

/// `url` cannot be read because of `fault`; `source` is what the hub said.
pub(super) fn of_fault(
    url: &HubUrl,
    fault: StoreFault,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
) -> StorageError {
    StorageError::Store {
        action: "read",
        url: PathBuf::from(url.to_string()),
        fault,
        source,
    }
}
