//! Which copies in the cache are in use: each process that uses some lists them in a file of its own, and holds its
//! lock.
//!
//! ```text
//! in-use/.copies.<host>.<pid>.<nonce>      names in `objects`, one per line; with a leading `-`, no longer used
//! ```
//!
//! The kernel drops the lock when the process ends, however it ends, and the file no longer counts. A name is written
//! before the lock of the copy is taken; a process that removes a copy first takes that lock, then reads the names. So
//! either the name is seen, or the copy is gone before its user looks for it.

use super::StorageError;
use super::names::temp_name;
use super::partial::create_locked;
use super::sweep::{Abandoned, remove_abandoned};
use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// What this process uses of one cache.
#[derive(Debug)]
struct Lease {
    /// Locked as long as the process lives.
    file: File,
    /// Number of uses of each.
    names: HashMap<String, u64>,
}

impl Lease {
    fn write(&mut self, cache: &Path, line: &str) -> Result<(), StorageError> {
        let written = self.file.write_all(format!("{line}\n").as_bytes());
        written.map_err(|source| StorageError::io("write to", &dir_of(cache), source))
    }
}

fn leases() -> MutexGuard<'static, HashMap<PathBuf, Lease>> {
    static LEASES: OnceLock<Mutex<HashMap<PathBuf, Lease>>> = OnceLock::new();
    let leases = LEASES.get_or_init(Mutex::default);
    leases.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dir_of(cache: &Path) -> PathBuf {
    cache.join("in-use")
}

/// Marks the copy `name` of `cache` as used by this process.
pub(super) fn acquire(cache: &Path, name: &str) -> Result<(), StorageError> {
    let mut leases = leases();
    if !leases.contains_key(cache) {
        leases.insert(cache.to_path_buf(), begin(cache)?);
    }
    let Some(lease) = leases.get_mut(cache) else {
        return Ok(());
    };
    let n_uses = lease.names.entry(name.to_owned()).or_default();
    *n_uses += 1;
    match *n_uses {
        1 => lease.write(cache, name),
        _ => Ok(()),
    }
}

/// Ends one use of the copy `name`.
pub(super) fn release(cache: &Path, name: &str) -> Result<(), StorageError> {
    let mut leases = leases();
    let Some(lease) = leases.get_mut(cache) else {
        return Ok(());
    };
    let Some(n_uses) = lease.names.get_mut(name) else {
        return Ok(());
    };
    *n_uses -= 1;
    if *n_uses > 0 {
        return Ok(());
    }
    lease.names.remove(name);
    lease.write(cache, &format!("-{name}"))
}

fn begin(cache: &Path) -> Result<Lease, StorageError> {
    let dir = dir_of(cache);
    super::files::make_dirs(&dir)?;
    loop {
        // Tried again if a reader took the file for abandoned before it was locked.
        let path = dir.join(temp_name(OsStr::new("copies")));
        if let Some(file) = create_locked(&path)? {
            let names = HashMap::new();
            return Ok(Lease { file, names });
        }
    }
}

/// Names of the copies that live processes use, including this one; `None` where the filesystem has no locks, so that
/// nobody can tell. Files of processes that have ended are removed.
pub(super) fn leased(cache: &Path) -> Result<Option<HashSet<String>>, StorageError> {
    let dir = dir_of(cache);
    let mut names = HashSet::new();
    for entry in super::files::list(&dir).or_else(|error| match error.is_not_found() {
        true => Ok(Vec::new()),
        false => Err(error),
    })? {
        let path = dir.join(&entry.name);
        match remove_abandoned(&path)? {
            Abandoned::Removed => continue,
            Abandoned::Unknown => return Ok(None),
            Abandoned::InUse => {}
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => names.extend(names_in(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(StorageError::io("read", &path, source)),
        }
    }
    Ok(Some(names))
}

/// The names still in use at the end of a file.
fn names_in(text: &str) -> HashSet<String> {
    let mut names = HashSet::new();
    for line in text.lines() {
        match line.strip_prefix('-') {
            Some(released) => names.remove(released),
            None => names.insert(line.to_owned()),
        };
    }
    names
}

/// Releases everything in `cache`, as the end of the process does.
#[cfg(test)]
pub(super) fn end(cache: &Path) {
    leases().remove(cache);
}
