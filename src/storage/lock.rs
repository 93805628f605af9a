//! A directory that only one process at a time works in.

use super::error::StorageError;
use super::fault;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// The outcome of trying to lock.
#[derive(Debug)]
pub enum Lock {
    /// It is ours for as long as the value lives: the kernel drops it when the process ends, however it
    /// ends.
    Ours(File),
    /// Another process holds it.
    Theirs,
    /// The filesystem has no such locks, for example NFS for a directory.
    Unknown(File),
}

impl Lock {
    fn of(file: File) -> Self {
        match fault::try_lock(&file) {
            Ok(()) => Self::Ours(file),
            Err(TryLockError::WouldBlock) => Self::Theirs,
            Err(TryLockError::Error(_)) => Self::Unknown(file),
        }
    }

    /// A filesystem without locks cannot tell: its users have to see to it.
    fn unless_locked_elsewhere(self) -> Option<File> {
        match self {
            Self::Ours(file) | Self::Unknown(file) => Some(file),
            Self::Theirs => None,
        }
    }
}

/// Creates the file at `path` if necessary, which shows that it is writable, and holds its lock as long as the value
/// lives. `None` if another process holds it. A filesystem without locks cannot tell: its users have to see to it.
///
/// # Errors
/// [`StorageError`] where the file cannot be opened for writing.
pub fn lock_file(path: &Path) -> Result<Option<File>, StorageError> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).truncate(false).write(true).open(path);
    let file = opened.map_err(|source| StorageError::io("write to", path, source))?;
    Ok(Lock::of(file).unless_locked_elsewhere())
}

/// Takes the lock of the directory `dir` itself, as [`lock_file`] does for a file, without creating anything in it.
/// `None` if another process holds it.
///
/// # Errors
/// [`StorageError`] where the directory cannot be opened.
pub fn lock_dir(dir: &Path) -> Result<Option<File>, StorageError> {
    try_lock_dir(dir).map(Lock::unless_locked_elsewhere)
}

/// [`lock_dir`] for callers that need to know whether there are locks.
///
/// # Errors
/// As [`lock_dir`].
pub fn try_lock_dir(dir: &Path) -> Result<Lock, StorageError> {
    let opened = File::open(dir).map_err(|source| StorageError::io("open", dir, source))?;
    Ok(Lock::of(opened))
}
