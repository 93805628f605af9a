//! A build without connections: only what the cache holds is read.
#![allow(dead_code, reason = "what the hub would have said is never made")]

use super::contents::Contents;
use super::settings::Settings;
use super::url::HubUrl;
use crate::storage::{StorageError, StoreFault};
use std::io;
use std::path::PathBuf;

/// What the hub says of a revision.
pub(super) struct Revision {
    pub(super) sha: String,
    pub(super) siblings: Vec<Sibling>,
}

/// A file of a repository.
pub(super) struct Sibling {
    pub(super) rfilename: String,
    pub(super) size: Option<u64>,
    pub(super) blob_id: Option<String>,
    pub(super) lfs: Option<Lfs>,
}

/// A large file.
pub(super) struct Lfs {
    pub(super) sha256: Option<String>,
}

pub(super) fn revision(_settings: &Settings, url: &HubUrl) -> Result<Revision, StorageError> {
    Err(of_fault(url, StoreFault::NotBuilt, None))
}

pub(super) fn download(
    _settings: &Settings,
    url: &HubUrl,
    _expected: &Contents,
    _work: impl FnMut(&[u8]) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    Err(of_fault(url, StoreFault::NotBuilt, None))
}

/// That there is no such file.
pub(super) fn absent(url: &HubUrl) -> StorageError {
    let source = io::Error::from(io::ErrorKind::NotFound);
    StorageError::io("read", &PathBuf::from(url.to_string()), source)
}

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
