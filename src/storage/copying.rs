//! What every copy into a cache needs: room, a lock, and an observer of its progress.

use super::names::is_still_at;
use super::space::free_bytes;
use super::store_fault::StoreFault;
use super::{StorageError, fault};
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::OnceLock;

/// Fails unless the bytes still to be copied fit on the disk.
pub(super) fn check_room(cache: &Path, n_bytes: u64, url: &Path) -> Result<(), StorageError> {
    std::fs::create_dir_all(cache)
        .map_err(|source| StorageError::io("create the directory", cache, source))?;
    match free_bytes(cache) {
        Some(n_free) if n_free < n_bytes => Err(no_room(cache, n_bytes, url)),
        _ => Ok(()),
    }
}

/// The error of a cache without room for `n_bytes`.
pub(super) fn no_room(cache: &Path, n_bytes: u64, url: &Path) -> StorageError {
    let fault = StoreFault::NoRoom {
        dir: cache.to_path_buf(),
        n_bytes,
        n_free: free_bytes(cache).unwrap_or(0),
    };
    StorageError::store("copy", url, fault)
}

/// The lock of a cache entry, removed together with it; held as long as the value lives. `None` if it cannot be taken
/// and `waits` is false. Without locks on the filesystem two processes may copy the same, and nothing is removed.
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
        // Whoever removed the entry also removed its lock.
        if is_still_at(&file, path).map_err(io)? {
            return Ok(Some(file));
        }
    }
}

/// Held as long as the value lives. On a filesystem without locks it excludes nobody: two processes may copy the same.
pub(super) fn wait_for_lock(path: &Path) -> Result<File, StorageError> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).truncate(false).write(true).open(path);
    let file = opened.map_err(|source| StorageError::io("write to", path, source))?;
    let _ = file.lock();
    Ok(file)
}

/// The progress of a copy.
#[derive(Debug, Clone, Copy)]
pub struct CopyProgress<'a> {
    /// The object.
    pub url: &'a Path,
    /// Where its copy will be.
    pub path: &'a Path,
    /// Its size in bytes.
    pub n_bytes: u64,
    /// Bytes copied so far; 0 at the beginning.
    pub n_done: u64,
}

static OBSERVER: OnceLock<fn(&CopyProgress<'_>)> = OnceLock::new();

/// Calls `observer` when a copy begins, and after each block. Only the first call of this function takes effect.
pub fn on_copy(observer: fn(&CopyProgress<'_>)) {
    let _ = OBSERVER.set(observer);
}

pub(super) fn tell(progress: &CopyProgress<'_>) {
    if let Some(observer) = OBSERVER.get() {
        observer(progress);
    }
}
