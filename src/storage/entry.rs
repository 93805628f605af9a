//! What is known about a place without reading it.

use std::ffi::OsString;
use std::time::SystemTime;

/// A file, an object, or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Bytes; 0 for a directory in a store.
    pub n_bytes: u64,
    /// Whether it is a directory; in a store, a prefix with objects below it.
    pub is_dir: bool,
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its name relative to the listed directory.
    pub name: OsString,
    /// Bytes; 0 for a directory in a store.
    pub n_bytes: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// When it was last written; `None` if unknown.
    pub modified: Option<SystemTime>,
    /// The store's name for this version of an object.
    pub version: Option<String>,
}
