//! Removing what killed writers left.

use super::location::{Location, locate};
use super::names::{final_name_of, is_still_at, stem};
use super::{StorageError, fault};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{OpenOptions, TryLockError};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

/// Entries up to which a directory is listed for every file that is written there.
const FEW_ENTRIES: u64 = 1024;
/// Entries of a larger directory that are listed per file written there, on average.
const LISTED_PER_FILE: u64 = 16;

/// Files still to be written in a directory before it is listed again.
static UNTIL_LISTING: LazyLock<Mutex<HashMap<PathBuf, u64>>> = LazyLock::new(Mutex::default);

/// Removes the temporaries of exactly the final name `name` in `dir` whose lock is free: their writers are dead. Those
/// of live writers, and other files, stay. Returns how many were removed.
///
/// # Errors
/// [`StorageError`] with the path; a directory that does not exist holds nothing.
pub fn sweep_abandoned(dir: &Path, name: impl AsRef<OsStr>) -> Result<u64, StorageError> {
    Ok(sweep_name(dir, name.as_ref())?.n_removed)
}

fn sweep_name(dir: &Path, name: &OsStr) -> Result<Swept, StorageError> {
    let stem = stem(name);
    sweep(dir, |candidate| candidate == stem.as_bytes())
}

/// [`sweep_abandoned`] for the writer of `name`, but not for every file of a large directory: listing it each time
/// would take quadratic time for a set of many shards. What is left then is found by a later writer or process.
///
/// # Errors
/// Those of [`sweep_abandoned`].
pub(super) fn sweep_for_writer(dir: &Path, name: &OsStr) -> Result<(), StorageError> {
    let counts = || UNTIL_LISTING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(n_left) = counts().get_mut(dir).filter(|n_left| **n_left > 0) {
        *n_left -= 1;
        return Ok(());
    }
    let swept = sweep_name(dir, name)?;
    match files_until_listing(swept.n_entries) {
        0 => counts().remove(dir),
        n_files => counts().insert(dir.to_path_buf(), n_files),
    };
    Ok(())
}

fn files_until_listing(n_entries: u64) -> u64 {
    match n_entries {
        0..=FEW_ENTRIES => 0,
        _ => n_entries / LISTED_PER_FILE,
    }
}

/// Like [`sweep_abandoned`], for every final name that `is_ours` accepts, in one pass.
///
/// # Errors
/// Those of [`sweep_abandoned`].
pub fn sweep_abandoned_where(
    dir: &Path,
    is_ours: impl Fn(&str) -> bool,
) -> Result<u64, StorageError> {
    let is_ours = |candidate: &[u8]| std::str::from_utf8(candidate).is_ok_and(&is_ours);
    Ok(sweep(dir, is_ours)?.n_removed)
}

/// Result of one listing.
#[derive(Debug, Default)]
struct Swept {
    n_entries: u64,
    n_removed: u64,
}

/// A store has no temporaries: what a killed writer sent of a large object was never an object.
fn sweep(dir: &Path, is_ours: impl Fn(&[u8]) -> bool) -> Result<Swept, StorageError> {
    let io = |source| StorageError::io("list", dir, source);
    let Location::Local(dir) = locate(dir)? else {
        return Ok(Swept::default());
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Swept::default()),
        Err(source) => return Err(io(source)),
    };
    let mut swept = Swept::default();
    for entry in entries {
        let entry = entry.map_err(io)?;
        swept.n_entries += 1;
        let file_name = entry.file_name();
        let is_temporary = final_name_of(file_name.as_bytes()).is_some_and(&is_ours);
        if is_temporary && remove_abandoned(&entry.path())? == Abandoned::Removed {
            swept.n_removed += 1;
        }
    }
    Ok(swept)
}

/// What happened to a file whose writer may be dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abandoned {
    /// Nobody held its lock: it was removed.
    Removed,
    /// Somebody holds its lock, or the file no longer exists.
    InUse,
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
        io::ErrorKind::NotFound => Ok(Abandoned::InUse),
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
        Err(TryLockError::WouldBlock) => return Ok(Abandoned::InUse),
        // Treated as held: better to keep a leftover than to lose a file in progress.
        Err(TryLockError::Error(_)) => return Ok(Abandoned::Unknown),
    }
    if !is_still_at(&file, path).unwrap_or(false) {
        return Ok(Abandoned::InUse);
    }
    match std::fs::remove_file(path) {
        Ok(()) => Ok(Abandoned::Removed),
        Err(source) => gone_is_fine("remove", source),
    }
}

#[cfg(test)]
mod tests {
    use super::super::names::temp_name;
    use super::super::partial::Partial;
    use super::*;

    #[test]
    fn listings_per_file_do_not_grow_with_the_directory() {
        assert_eq!(files_until_listing(0), 0);
        assert_eq!(files_until_listing(FEW_ENTRIES), 0);
        for n_entries in [FEW_ENTRIES + 1, 100_000] {
            assert!(n_entries / files_until_listing(n_entries) <= LISTED_PER_FILE + 1);
        }
    }

    #[test]
    fn a_leftover_is_found_at_once_in_a_small_directory_and_later_in_a_large_one() {
        for (n_files, most) in [(10, 1), (1600, 1600 / LISTED_PER_FILE + 2)] {
            let dir = tempfile::tempdir().unwrap();
            for i in 0..n_files {
                std::fs::write(dir.path().join(format!("{i}")), "").unwrap();
            }
            let path = dir.path().join("shard");
            drop(Partial::create(&path).unwrap());
            let leftover = dir.path().join(temp_name(OsStr::new("shard")));
            std::fs::write(&leftover, "").unwrap();
            let writes = (1..).take_while(|_| {
                drop(Partial::create(&path).unwrap());
                leftover.exists()
            });
            let n_writes = writes.count() as u64 + 1;
            assert!(n_writes <= most, "{n_writes} of {most}");
            assert!(n_files == 10 || n_writes > 1);
        }
    }
}
