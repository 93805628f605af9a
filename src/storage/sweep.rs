//! Removing what killed writers left.

use super::location::{Location, locate};
use super::names::{final_name_of, is_still_at, stem};
use super::{StorageError, fault};
use std::ffi::OsStr;
use std::fs::{OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Removes the temporaries of exactly the final name `name` in `dir` whose lock is free: their writers are dead. Those
/// of live writers, and other files, stay. Returns how many were removed.
///
/// # Errors
/// [`StorageError`] with the path; a directory that does not exist holds nothing.
pub fn sweep_abandoned(dir: &Path, name: impl AsRef<OsStr>) -> Result<u64, StorageError> {
    let stem = stem(name.as_ref());
    sweep(dir, |candidate| candidate == stem.as_bytes())
}

/// Like [`sweep_abandoned`], for every final name that `is_ours` accepts, in one pass.
///
/// # Errors
/// Those of [`sweep_abandoned`].
pub fn sweep_abandoned_where(
    dir: &Path,
    is_ours: impl Fn(&str) -> bool,
) -> Result<u64, StorageError> {
    sweep(dir, |candidate| {
        std::str::from_utf8(candidate).is_ok_and(&is_ours)
    })
}

/// A store has no temporaries: what a killed writer sent of a large object was never an object.
fn sweep(dir: &Path, is_ours: impl Fn(&[u8]) -> bool) -> Result<u64, StorageError> {
    let io = |source| StorageError::io("list", dir, source);
    let Location::Local(dir) = locate(dir)? else {
        return Ok(0);
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(io(source)),
    };
    let mut n_removed = 0;
    for entry in entries {
        let entry = entry.map_err(io)?;
        let file_name = entry.file_name();
        let is_temporary = final_name_of(file_name.as_bytes()).is_some_and(&is_ours);
        if is_temporary && remove_abandoned(&entry.path())? == Abandoned::Removed {
            n_removed += 1;
        }
    }
    Ok(n_removed)
}

/// What happened to a file whose writer may be dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// Nobody held its lock: it was removed.
    Removed,
    /// Somebody holds its lock, or the file no longer exists.
    InWork,
    /// The filesystem has no locks.
    Unknown,
}

/// Removes `path` if nobody holds its lock, as its writer would. An object in a store is never half written, so it
/// stays, as where there are no locks.
///
/// # Errors
/// [`StorageError`] with the path.
pub fn remove_abandoned(path: &Path) -> Result<Abandoned, StorageError> {
    let gone_is_fine = |action, source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Ok(Abandoned::InWork),
        _ => Err(StorageError::io(action, path, source)),
    };
    let Location::Local(path) = locate(path)? else {
        return Ok(Abandoned::Unknown);
    };
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(source) => return gone_is_fine("open", source),
    };
    match fault::try_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Abandoned::InWork),
        // Treated as held: better to keep a leftover than to lose a file in progress.
        Err(TryLockError::Error(_)) => return Ok(Abandoned::Unknown),
    }
    if !is_still_at(&file, path).unwrap_or(false) {
        return Ok(Abandoned::InWork);
    }
    match std::fs::remove_file(path) {
        Ok(()) => Ok(Abandoned::Removed),
        Err(source) => gone_is_fine("remove", source),
    }
}
