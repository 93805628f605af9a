//! Removing what killed writers left.

use super::StorageError;
use super::partial::is_still_at;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Removes the temporaries of exactly the final name `name` in `dir` whose lock is free: their
/// writers are dead. Those of live writers, and other files, stay. Tells how many went.
///
/// # Errors
/// [`StorageError`] with the path; a directory that does not exist holds nothing.
pub fn sweep_abandoned(dir: &Path, name: &str) -> Result<u64, StorageError> {
    sweep_abandoned_where(dir, |candidate| candidate == name)
}

/// As [`sweep_abandoned`], for every final name that `is_ours` accepts, in one pass.
///
/// # Errors
/// As [`sweep_abandoned`].
pub fn sweep_abandoned_where(
    dir: &Path,
    is_ours: impl Fn(&str) -> bool,
) -> Result<u64, StorageError> {
    let io = |source| StorageError::io("list", dir, source);
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(source) => return Err(io(source)),
    };
    let mut n_removed = 0;
    for entry in entries {
        let entry = entry.map_err(io)?;
        let file_name = entry.file_name();
        let final_name = file_name.to_str().and_then(final_name_of);
        if final_name.is_some_and(&is_ours) && remove_if_abandoned(&entry.path())? {
            n_removed += 1;
        }
    }
    Ok(n_removed)
}

/// The final name inside `.NAME.<host>.<pid>.<nonce>`, or `None` for any other name.
fn final_name_of(temp_name: &str) -> Option<&str> {
    let mut fields = temp_name.strip_prefix('.')?.rsplitn(4, '.');
    let nonce = fields.next()?;
    let pid = fields.next()?;
    let host = fields.next()?;
    let name = fields.next()?;
    let is_temp = nonce.len() == 16
        && nonce.bytes().all(|b| b.is_ascii_hexdigit())
        && pid.parse::<u32>().is_ok()
        && !host.is_empty();
    is_temp.then_some(name)
}

/// Removes one temporary if nobody holds its lock.
fn remove_if_abandoned(path: &Path) -> Result<bool, StorageError> {
    let gone_is_fine = |action, source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Ok(false),
        _ => Err(StorageError::io(action, path, source)),
    };
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(source) => return gone_is_fine("open", source),
    };
    if !is_abandoned(&file, path) {
        return Ok(false);
    }
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(source) => gone_is_fine("remove", source),
    }
}

/// A lock that cannot be taken, for whatever reason, counts as held: a filesystem without locks
/// keeps its leftovers rather than lose a file in work.
fn is_abandoned(file: &File, path: &Path) -> bool {
    file.try_lock().is_ok() && is_still_at(file, path).unwrap_or(false)
}
