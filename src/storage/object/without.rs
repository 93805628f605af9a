//! A build without object stores: every URL is refused.

use super::url::ObjectUrl;
use crate::storage::entry::Entry;
use crate::storage::published::Publish;
use crate::storage::{StorageError, StoreFault};
use bytes::Bytes;
use std::ops::Range;
use std::path::Path;

/// One version of an object; without stores there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::storage) struct Object {
    pub(in crate::storage) url: ObjectUrl,
    pub(in crate::storage) n_bytes: u64,
    pub(in crate::storage) etag: Option<String>,
}

impl Object {
    pub(in crate::storage) fn for_each_block(
        &self,
        _work: impl FnMut(&[u8]) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        Err(refused(&self.url))
    }

    pub(in crate::storage) fn read_ranges(
        &self,
        _ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, StorageError> {
        Err(refused(&self.url))
    }
}

fn refused(url: &ObjectUrl) -> StorageError {
    StorageError::store("use", url.to_string(), StoreFault::NotBuilt)
}

/// Options of the object stores, of which this build has none.
///
/// # Errors
/// Any option.
pub fn set_options(
    pairs: &[(String, String)],
    _is_single_writer: bool,
) -> Result<(), StorageError> {
    match pairs.first() {
        None => Ok(()),
        Some((key, _)) => Err(StorageError::store(
            "use the option",
            key,
            StoreFault::NotBuilt,
        )),
    }
}

/// No option can set it.
pub(in crate::storage) fn cache_bytes() -> Option<u64> {
    None
}

/// There are never uploads to stop.
pub fn stop_uploads() {}

pub(in crate::storage) fn get_many(
    urls: &[ObjectUrl],
    _n_most: u64,
) -> Result<Vec<Option<Vec<u8>>>, StorageError> {
    urls.iter().map(|url| Err(refused(url))).collect()
}

macro_rules! refuse {
    ($($name:ident($($arg:ident: $type:ty),*) -> $value:ty;)*) => {
        $(pub(in crate::storage) fn $name(url: &ObjectUrl, $($arg: $type),*) -> Result<$value, StorageError> {
            Err(refused(url))
        })*
    };
}

refuse! {
    find() -> Option<Object>;
    is_prefix() -> bool;
    open() -> Object;
    get_up_to(_n_most: u64) -> Option<Vec<u8>>;
    for_each_block(_work: impl FnMut(&[u8]) -> Result<(), StorageError>) -> Object;
    list() -> Vec<Entry>;
    list_all() -> Vec<Entry>;
    create(_bytes: Bytes) -> Publish;
    overwrite(_bytes: Bytes) -> ();
    upload_new(_file: &Path, _n_bytes: u64) -> Publish;
    upload(_file: &Path, _n_bytes: u64) -> ();
    delete() -> ();
    delete_tree() -> ();
    check_writable() -> ();
}
