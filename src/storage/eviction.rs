//! Keeps the cache within its limit: the least recently used is removed first.
//!
//! ```text
//! objects/<name>/...      copies of one object or of a prefix, removed together; used when <name>.lock was last written
//! blocks/.../<number>     blocks of objects, each by itself; used when it was last written
//! ```
//!
//! What a process uses is never removed: copies listed in `leases`, and open blocks, which their readers lock. Several
//! processes may evict at once: each removes a copy only under its lock. A crash in the middle leaves a copy whole or
//! without some of its files, which are then made again. Where the filesystem has no locks, nothing is removed.

use super::copying::{lock_of_entry, no_room};
use super::leases;
use super::size::bytes_of;
use super::space::free_bytes;
use super::store_fault::StoreFault;
use super::sweep::remove_abandoned;
use super::{StorageError, files, object};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Most bytes that the cache may hold by default.
pub(super) const DEFAULT_CACHE_BYTES: u64 = 256 << 30;
/// The fraction of the limit that is freed at once for blocks, so that the cache is not measured for each: 1 / 64.
pub(super) const BLOCK_EVICTION_DIVISOR: u64 = 64;
/// The environment variable for the limit, if no option sets it.
const SIZE_VARIABLE: &str = "SALTWORKS_CACHE_SIZE";

/// Most bytes that the cache may hold.
///
/// # Errors
/// The variable does not hold a size.
pub(super) fn cache_limit() -> Result<u64, StorageError> {
    if let Some(bytes) = object::cache_bytes() {
        return Ok(bytes);
    }
    let text = std::env::var(SIZE_VARIABLE).unwrap_or_default();
    match bytes_of(&text) {
        _ if text.is_empty() => Ok(DEFAULT_CACHE_BYTES),
        Some(bytes) => Ok(bytes),
        None => {
            let what = format!("expected a size such as 200GB, got `{text}`");
            let fault = StoreFault::Option { what };
            Err(StorageError::store("use", SIZE_VARIABLE, fault))
        }
    }
}

/// Makes room for `n_bytes` more in `cache`: within the limit as far as copies in use allow, and on its disk.
///
/// # Errors
/// The disk has too little room even after everything possible is removed.
pub(super) fn make_room(
    cache: &Path,
    n_bytes: u64,
    limit: u64,
    url: &Path,
) -> Result<(), StorageError> {
    files::make_dirs(cache)?;
    let has_room = || free_bytes(cache).is_none_or(|n_free| n_free >= n_bytes);
    let mut contents = CacheContents::of(cache)?;
    let is_enough =
        |contents: &CacheContents| contents.n_bytes.saturating_add(n_bytes) <= limit && has_room();
    let mut entries = std::mem::take(&mut contents.entries);
    entries.sort_unstable_by(|a, b| (a.last_used, &a.path).cmp(&(b.last_used, &b.path)));
    for entry in &entries {
        if is_enough(&contents) {
            return Ok(());
        }
        if entry.remove(cache)? {
            contents.forget(entry);
        }
    }
    match has_room() {
        true => Ok(()),
        false => Err(no_room(cache, n_bytes, url)),
    }
}

/// Files that are removed together.
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    is_copy: bool,
    last_used: SystemTime,
    /// By inode, as a file may have several names.
    inodes: Vec<(u64, u64)>,
}

/// What the cache holds.
#[derive(Debug, Default)]
struct CacheContents {
    entries: Vec<Entry>,
    /// Bytes of every inode, and its number of names.
    inodes: HashMap<(u64, u64), (u64, u64)>,
    n_bytes: u64,
}

impl CacheContents {
    fn of(cache: &Path) -> Result<Self, StorageError> {
        let mut contents = CacheContents::default();
        let objects = cache.join("objects");
        for found in listed(&objects)? {
            if found.is_dir {
                contents.add_copy(&objects.join(&found.name))?;
            }
        }
        contents.add_blocks(&cache.join("blocks"))?;
        Ok(contents)
    }

    fn add_copy(&mut self, dir: &Path) -> Result<(), StorageError> {
        let mut inodes = Vec::new();
        for found in listed_all(dir)? {
            if let Some(metadata) = metadata_of(&dir.join(&found.name))? {
                inodes.push(self.add_inode(&metadata));
            }
        }
        let used = metadata_of(&dir.with_extension("lock"))?;
        self.entries.push(Entry {
            path: dir.to_path_buf(),
            is_copy: true,
            last_used: modified(used.as_ref()),
            inodes,
        });
        Ok(())
    }

    fn add_blocks(&mut self, dir: &Path) -> Result<(), StorageError> {
        for found in listed_all(dir)? {
            let path = dir.join(&found.name);
            if path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
            {
                // A partial fetch: of a killed process, or of a live one, which keeps it.
                let _ = remove_abandoned(&path);
                continue;
            }
            if let Some(metadata) = metadata_of(&path)? {
                let inodes = vec![self.add_inode(&metadata)];
                let last_used = modified(Some(&metadata));
                self.entries.push(Entry {
                    path,
                    is_copy: false,
                    last_used,
                    inodes,
                });
            }
        }
        Ok(())
    }

    fn add_inode(&mut self, metadata: &Metadata) -> (u64, u64) {
        let inode = (metadata.dev(), metadata.ino());
        let (_, n_names) = self.inodes.entry(inode).or_insert_with(|| {
            self.n_bytes += metadata.len();
            (metadata.len(), 0)
        });
        *n_names += 1;
        inode
    }

    fn forget(&mut self, entry: &Entry) {
        for inode in &entry.inodes {
            let Some((n_bytes, n_names)) = self.inodes.get_mut(inode) else {
                continue;
            };
            *n_names -= 1;
            if *n_names == 0 {
                self.n_bytes -= *n_bytes;
            }
        }
    }
}

impl Entry {
    /// Removes it unless it is in use; returns whether it is gone.
    fn remove(&self, cache: &Path) -> Result<bool, StorageError> {
        match self.is_copy {
            true => remove_copy(cache, &self.path),
            false => remove_block(&self.path),
        }
    }
}

fn remove_copy(cache: &Path, dir: &Path) -> Result<bool, StorageError> {
    let lock_path = dir.with_extension("lock");
    let Some(_lock) = lock_of_entry(&lock_path, false)? else {
        return Ok(false);
    };
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    match leases::leased(cache)? {
        Some(leased) if !leased.contains(&*name) => {}
        _ => return Ok(false),
    }
    files::remove_tree(dir)?;
    // A process that waits for the lock sees that its file is gone, and creates another.
    files::remove_file(&lock_path)?;
    Ok(true)
}

/// Readers hold a block's lock while they have it open.
fn remove_block(path: &Path) -> Result<bool, StorageError> {
    let Ok(file) = File::open(path) else {
        return Ok(false);
    };
    if super::fault::try_lock(&file).is_err() {
        return Ok(false);
    }
    files::remove_file(path)?;
    Ok(true)
}

fn modified(metadata: Option<&Metadata>) -> SystemTime {
    let modified = metadata.and_then(|metadata| metadata.modified().ok());
    modified.unwrap_or(SystemTime::UNIX_EPOCH)
}

/// `None` for what has vanished meanwhile.
fn metadata_of(path: &Path) -> Result<Option<Metadata>, StorageError> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StorageError::io("look at", path, source)),
    }
}

fn listed(dir: &Path) -> Result<Vec<super::Entry>, StorageError> {
    empty_if_absent(files::list(dir))
}

fn listed_all(dir: &Path) -> Result<Vec<super::Entry>, StorageError> {
    empty_if_absent(files::list_all(dir))
}

fn empty_if_absent(
    listed: Result<Vec<super::Entry>, StorageError>,
) -> Result<Vec<super::Entry>, StorageError> {
    match listed {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listed => listed,
    }
}
