//! Local copies of objects, for what maps a file or hands it to a library: in a cache that processes share.
//!
//! ```text
//! objects/<hash of URL and version>/NAME           one object
//! objects/<hash of URL, names and versions>/...    the wanted objects below a prefix
//! ```
//!
//! The version is the store's (etag), so that an object that was replaced has another copy. A copy appears whole,
//! by create-if-absent, and its size is looked at before it is used.

use super::entry::Entry;
use super::location::{Location, locate};
use super::object::{self, Object, ObjectUrl};
use super::partial::Partial;
use super::space::free_bytes;
use super::store_fault::StoreFault;
use super::{StorageError, files};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Where the copies are.
const CACHE_VARIABLE: &str = "SALTWORKS_CACHE_DIR";
/// Digits of a hash in a directory's name.
const N_DIGITS: usize = 32;

/// The directory of local copies: `SALTWORKS_CACHE_DIR`, or `~/.cache/saltworks` (`XDG_CACHE_HOME` is heeded).
pub fn cache_dir() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = of(CACHE_VARIABLE) {
        return PathBuf::from(dir);
    }
    let caches = of("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = caches.or_else(|| of("HOME").map(|home| Path::new(&home).join(".cache")));
    caches.unwrap_or_else(std::env::temp_dir).join("saltworks")
}

/// A local file with what is at `path`: itself, or a copy of the object in the cache.
///
/// # Errors
/// [`StorageError`]: an object that is not there or changes meanwhile, a cache without room.
pub fn local_copy(path: &Path) -> Result<PathBuf, StorageError> {
    match locate(path)? {
        Location::Local(local) => Ok(local.to_path_buf()),
        Location::Object(url) => copy_object(&cache_dir(), &url),
    }
}

/// A local directory with those files below `dir` that `is_wanted` accepts by their names from there: itself,
/// or copies of the objects in the cache, in the same places.
///
/// # Errors
/// As [`local_copy`]; a prefix without any such object.
pub fn local_copy_of(
    dir: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<PathBuf, StorageError> {
    match locate(dir)? {
        Location::Local(local) => Ok(local.to_path_buf()),
        Location::Object(url) => copy_below(&cache_dir(), &url, is_wanted),
    }
}

pub(super) fn copy_object(cache: &Path, url: &ObjectUrl) -> Result<PathBuf, StorageError> {
    let object = object::open(url)?;
    let name = url.key.rsplit('/').next().unwrap_or(&url.key);
    let mut hasher = blake3::Hasher::new();
    hasher.update(url.to_string().as_bytes());
    add_version(&mut hasher, object.etag.as_deref(), object.n_bytes);
    let dir = entry_dir(cache, &hasher);
    check_room(cache, &dir, &[(name, object.n_bytes)], url)?;
    let path = dir.join(name);
    fill(&object, &path)?;
    Ok(path)
}

pub(super) fn copy_below(
    cache: &Path,
    url: &ObjectUrl,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<PathBuf, StorageError> {
    let mut wanted: Vec<(String, Entry)> = Vec::new();
    for entry in object::list_all(url)? {
        match entry.name.to_str().map(str::to_owned) {
            Some(name) if is_wanted(&name) => wanted.push((name, entry)),
            _ => {}
        }
    }
    if wanted.is_empty() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(StorageError::io(
            "read",
            Path::new(&url.to_string()),
            source,
        ));
    }
    wanted.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    hasher.update(url.to_string().as_bytes());
    for (name, entry) in &wanted {
        hasher.update(name.as_bytes());
        add_version(&mut hasher, entry.version.as_deref(), entry.n_bytes);
    }
    let dir = entry_dir(cache, &hasher);
    let sizes: Vec<(&str, u64)> = wanted
        .iter()
        .map(|(n, e)| (n.as_str(), e.n_bytes))
        .collect();
    check_room(cache, &dir, &sizes, url)?;
    for (name, entry) in &wanted {
        let object = Object {
            url: ObjectUrl {
                store: url.store.clone(),
                key: format!("{}/{name}", url.key)
                    .trim_start_matches('/')
                    .to_owned(),
            },
            n_bytes: entry.n_bytes,
            etag: entry.version.clone(),
        };
        fill(&object, &dir.join(name))?;
    }
    Ok(dir)
}

fn add_version(hasher: &mut blake3::Hasher, version: Option<&str>, n_bytes: u64) {
    hasher.update(b"\n");
    hasher.update(version.unwrap_or_default().as_bytes());
    hasher.update(&n_bytes.to_le_bytes());
}

fn entry_dir(cache: &Path, hasher: &blake3::Hasher) -> PathBuf {
    let hash = hasher.finalize().to_hex();
    cache.join("objects").join(&hash[..N_DIGITS])
}

/// Whether what is still to be copied fits.
fn check_room(
    cache: &Path,
    dir: &Path,
    sizes: &[(&str, u64)],
    url: &ObjectUrl,
) -> Result<(), StorageError> {
    files::make_dirs(cache)?;
    let mut n_bytes: u64 = 0;
    for (name, size) in sizes {
        if !is_whole(&dir.join(name), *size)? {
            n_bytes = n_bytes.saturating_add(*size);
        }
    }
    match free_bytes(cache) {
        Some(n_free) if n_free < n_bytes => Err(StorageError::Store {
            action: "copy",
            url: PathBuf::from(url.to_string()),
            fault: StoreFault::NoRoom {
                dir: cache.to_path_buf(),
                n_bytes,
                n_free,
            },
            source: None,
        }),
        _ => Ok(()),
    }
}

fn is_whole(path: &Path, n_bytes: u64) -> Result<bool, StorageError> {
    let found = files::metadata_if_there(path)?;
    Ok(found.is_some_and(|found| !found.is_dir && found.n_bytes == n_bytes))
}

/// Makes the copy at `path`, unless a whole one is there.
fn fill(object: &Object, path: &Path) -> Result<(), StorageError> {
    if is_whole(path, object.n_bytes)? {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        files::make_dirs(dir)?;
    }
    let mut partial = Partial::create(path)?;
    object.for_each_block(|block| {
        let written = partial.write_all(block);
        written.map_err(|source| StorageError::io("write", path, source))
    })?;
    // One of another size was damaged since, and one that another process made meanwhile is the same.
    partial.seal()?.replace()
}
