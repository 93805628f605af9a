//! A build without networking: only the cache is read.

use super::contents::Contents;
use super::fault::of_fault;
use super::listing::Revision;
use super::settings::Settings;
use super::url::HubUrl;
use crate::storage::{StorageError, StoreFault};

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
