//! A directory that one process at a time works in.

use super::error::StorageError;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

/// Makes the file at `path` if need be, which shows that it can be written there, and takes its lock
/// for as long as the value lives: the kernel drops it when the process ends, however it ends.
/// `None` where another process holds it. A filesystem without locks cannot tell: whoever uses one
/// sees to it.
///
/// # Errors
/// [`StorageError`] where the file cannot be opened for writing.
pub fn lock_file(path: &Path) -> Result<Option<File>, StorageError> {
    let mut options = OpenOptions::new();
    let opened = options.create(true).truncate(false).write(true).open(path);
    let file = opened.map_err(|source| StorageError::io("write to", path, source))?;
    let is_held = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    Ok((!is_held).then_some(file))
}

/// Takes the lock of the directory `dir` itself, as [`lock_file`] does that of a file, and leaves
/// nothing in it. `None` where another process holds it.
///
/// # Errors
/// [`StorageError`] where the directory cannot be opened.
pub fn lock_dir(dir: &Path) -> Result<Option<File>, StorageError> {
    let opened = File::open(dir).map_err(|source| StorageError::io("open", dir, source))?;
    let is_held = matches!(opened.try_lock(), Err(TryLockError::WouldBlock));
    Ok((!is_held).then_some(opened))
}
