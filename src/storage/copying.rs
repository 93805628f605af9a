//! What every copy into a cache needs: room, a lock on it, and somebody who is told how far it is.

use super::names::is_still_at;
use super::space::free_bytes;
use super::store_fault::StoreFault;
use super::{StorageError, fault};
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::OnceLock;

/// Whether what is still to be copied fits.
pub(super) fn check_room(cache: &Path, n_bytes: u64, url: &Path) -> Result<(), StorageError> {
    std::fs::create_dir_all(cache)
        .map_err(|source| StorageError::io("create the directory", cache, source))?;
    match free_bytes(cache) {
        Some(n_free) if n_free < n_bytes => Err(no_room(cache, n_bytes, url)),
        _ => Ok(()),
    }
}

/// The error of a cache that has no room for `n_bytes`.
pub(super) fn no_room(cache: &Path, n_bytes: u64, url: &Path) -> StorageError {
    let fault = StoreFault::NoRoom {
        dir: cache.to_path_buf(),
        n_bytes,
        n_free: free_bytes(cache).unwrap_or(0),
    };
    StorageError::store("copy", url, fault)
}

/// The lock of what goes with it when it is removed, held as long as the value lives; `None` if it is held by another
/// and nobody `waits`. A filesystem without locks has none: then two may copy the same, and nothing is removed.
pub(super) fn lock_of_entry(path: &Path, waits: bool) -> Result<Option<File>, StorageError> {
    let io = |source| StorageError::io("write to", path, source);
    loop {
        let mut options = OpenOptions::new();
        let opened = options.create(true).truncate(false).write(true).open(path);
        let file = opened.map_err(io)?;
        match waits {
            true => drop(file.lock()),
            false if fault::try_lock(&file).is_err() => return Ok(None),
            false => {}
        }
        // Whoever removed the entry has removed its lock too.
        if is_still_at(&file, path).map_err(io)? {
            return Ok(Some(file));
        }
    }
}

/// Held as long as the value lives. A filesystem without locks has none: then two may copy the same.
pub(super) fn wait_for_lock(path: &Path) -> Result<File, StorageError> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).truncate(false).write(true).open(path);
    let file = opened.map_err(|source| StorageError::io("write to", path, source))?;
    let _ = file.lock();
    Ok(file)
}

/// How far a copy is.
#[derive(Debug, Clone, Copy)]
pub struct CopyProgress<'a> {
    /// The object.
    pub url: &'a Path,
    /// Where its copy will be.
    pub path: &'a Path,
    /// Its bytes.
    pub n_bytes: u64,
    /// Those that are copied; 0 at the beginning.
    pub n_done: u64,
}

static OBSERVER: OnceLock<fn(&CopyProgress<'_>)> = OnceLock::new();

/// Calls `observer` when a copy begins, and after each block of it. The first call counts.
pub fn on_copy(observer: fn(&CopyProgress<'_>)) {
    let _ = OBSERVER.set(observer);
}

pub(super) fn tell(progress: &CopyProgress<'_>) {
    if let Some(observer) = OBSERVER.get() {
        observer(progress);
    }
}
