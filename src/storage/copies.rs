//! Local copies of objects, for callers that map a file or hand it to a library, in a cache shared by processes.
//!
//! ```text
//! objects/<hash of URL and version>/NAME           one object
//! objects/<hash of URL, names and versions>/...    the wanted objects below a prefix, as hard links to those
//! work/<hash of URL>/...                           the working directory of a run that is kept at the URL
//! ```
//!
//! The version is the store's (etag), so that a replaced object gets another copy. A copy appears whole, by
//! create-if-absent, and its size is checked before it is used. It stays until the process that asked for it ends
//! (`leases`), and is removed when room is needed (`eviction`).

use super::copying::{CopyProgress, lock_of_entry, tell};
use super::eviction::{cache_limit, make_room};
use super::hub::{self, HubUrl};
use super::location::{Location, locate};
use super::object::{self, Object, ObjectUrl};
use super::partial::Partial;
use super::{StorageError, files, leases};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The environment variable for the cache directory.
const CACHE_VARIABLE: &str = "SALTWORKS_CACHE_DIR";
/// Hex digits of a hash in a directory's name.
const N_DIGITS: usize = 32;

/// The directory of local copies: `SALTWORKS_CACHE_DIR`, or `~/.cache/saltworks` (or below `XDG_CACHE_HOME`).
pub fn cache_dir() -> PathBuf {
    #[cfg(feature = "object-stores")]
    #[cfg(test)]
    return super::testing::cache_dir();
    #[cfg(not(all(test, feature = "object-stores")))]
    of_environment()
}

#[cfg_attr(all(test, feature = "object-stores"), allow(dead_code))]
fn of_environment() -> PathBuf {
    let of = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = of(CACHE_VARIABLE) {
        return PathBuf::from(dir);
    }
    let caches = of("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = caches.or_else(|| of("HOME").map(|home| Path::new(&home).join(".cache")));
    caches.unwrap_or_else(std::env::temp_dir).join("saltworks")
}

/// The local directory in which to work on what is kept at `path`: `path` itself, or for a URL a directory in the cache.
/// It need not exist, and is never removed to make room, since it may be ahead of the store.
///
/// # Errors
/// A URL that cannot be written to.
pub fn working_dir(path: &Path) -> Result<PathBuf, StorageError> {
    match locate(path)? {
        Location::Local(local) => Ok(local.to_path_buf()),
        Location::Object(url) => {
            let hash = blake3::hash(url.to_string().as_bytes()).to_hex();
            Ok(cache_dir().join("work").join(&hash[..N_DIGITS]))
        }
    }
}

/// Copies the file `from` over `to`; either may be in a store. A large file is uploaded in parts.
///
/// # Errors
/// [`StorageError`] with the path; what was at `to` stays.
pub fn copy_file(from: &Path, to: &Path) -> Result<(), StorageError> {
    match (locate(from)?, locate(to)?) {
        (Location::Object(url), _) => download(&object::open(&url)?, to),
        (Location::Local(local), Location::Object(url)) => {
            object::upload(&url, local, files::metadata(local)?.n_bytes)
        }
        (Location::Local(from), Location::Local(to)) => copy_local(from, to),
    }
}

/// A local file with the content at `path`: `path` itself, or a copy of the object in the cache, which stays there
/// until this process ends.
///
/// # Errors
/// [`StorageError`]: the object is not there or changes meanwhile, or the cache has no room.
pub fn local_copy(path: &Path) -> Result<PathBuf, StorageError> {
    match locate(&hub::local(path)?)? {
        Location::Local(local) => Ok(local.to_path_buf()),
        Location::Object(url) => copy_object(&cache_dir(), &url),
    }
}

/// Runs `work` with a local file as [`local_copy`] gives it. The copy may be removed afterwards, but files that `work`
/// has open can still be read.
///
/// # Errors
/// Those of [`local_copy`] and of `work`.
pub fn with_copy<R, E: From<StorageError>>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<R, E>,
) -> Result<R, E> {
    let local = hub::local(path)?;
    let url = match locate(&local)? {
        Location::Local(local) => return work(local),
        Location::Object(url) => url,
    };
    let (cache, object) = (cache_dir(), object::open(&url)?);
    let copy = fill(&cache, &object, cache_limit()?)?;
    let done = work(&copy);
    leases::release(&cache, &version_hash(&object))?;
    done
}

/// A local directory with those files below `dir` whose relative names `is_wanted` accepts: `dir` itself, or copies of
/// the objects in the cache under the same names.
///
/// # Errors
/// Those of [`local_copy`]; no such object below the prefix.
pub fn local_copy_of(
    dir: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<PathBuf, StorageError> {
    if let Some(url) = HubUrl::parse(dir)? {
        return hub::local_dir(&url, is_wanted);
    }
    match locate(dir)? {
        Location::Local(local) => Ok(local.to_path_buf()),
        Location::Object(url) => copy_below(&cache_dir(), &url, is_wanted),
    }
}

pub(super) fn copy_object(cache: &Path, url: &ObjectUrl) -> Result<PathBuf, StorageError> {
    fill(cache, &object::open(url)?, cache_limit()?)
}

/// Where the copy of an object is.
fn place_of(cache: &Path, object: &Object) -> PathBuf {
    let key = &object.url.key;
    let dir = cache.join("objects").join(version_hash(object));
    dir.join(key.rsplit('/').next().unwrap_or(key))
}

/// The cache's name for one version of an object.
pub(super) fn version_hash(object: &Object) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(object.url.to_string().as_bytes());
    add_version(&mut hasher, object.etag.as_deref(), object.n_bytes);
    digits_of(&hasher)
}

pub(super) fn copy_below(
    cache: &Path,
    url: &ObjectUrl,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<PathBuf, StorageError> {
    let wanted = wanted_below(url, is_wanted)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(url.to_string().as_bytes());
    for (name, object) in &wanted {
        hasher.update(name.as_bytes());
        add_version(&mut hasher, object.etag.as_deref(), object.n_bytes);
    }
    let name = digits_of(&hasher);
    let dir = cache.join("objects").join(&name);
    let _lock = begin_use(cache, &name)?;
    let mut n_missing = 0;
    for (name, object) in &wanted {
        if missing(&dir.join(name), object)? > 0 {
            n_missing += missing(&place_of(cache, object), object)?;
        }
    }
    let limit = cache_limit()?;
    if n_missing > 0 {
        make_room(cache, n_missing, limit, Path::new(&url.to_string()))?;
    }
    for (name, object) in &wanted {
        let path = dir.join(name);
        if missing(&path, object)? > 0 {
            link(&fill(cache, object, limit)?, &path)?;
        }
    }
    Ok(dir)
}

/// Marks the copy `name` as used by this process: it is not removed before the process ends. The lock is held as long
/// as the value lives; processes that want the same copy wait for the one that makes it.
fn begin_use(cache: &Path, name: &str) -> Result<Option<File>, StorageError> {
    let objects = cache.join("objects");
    files::make_dirs(&objects)?;
    leases::acquire(cache, name)?;
    let lock = lock_of_entry(&objects.join(name).with_extension("lock"), true)?;
    if let Some(lock) = &lock {
        // Eviction reads the time of last use from here.
        let _ = lock.set_modified(SystemTime::now());
    }
    Ok(lock)
}

/// The objects below `url` whose relative names `is_wanted` accepts, in order of name.
fn wanted_below(
    url: &ObjectUrl,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Object)>, StorageError> {
    let mut wanted = Vec::new();
    for entry in object::list_all(url)? {
        let Some(name) = entry.name.to_str().filter(|name| is_wanted(name)) else {
            continue;
        };
        let key = format!("{}/{name}", url.key);
        let url = ObjectUrl {
            store: url.store.clone(),
            key: key.trim_start_matches('/').to_owned(),
        };
        let (n_bytes, etag) = (entry.n_bytes, entry.version.clone());
        wanted.push((name.to_owned(), Object { url, n_bytes, etag }));
    }
    if wanted.is_empty() {
        let source = std::io::Error::from(std::io::ErrorKind::NotFound);
        let url = PathBuf::from(url.to_string());
        return Err(StorageError::io("read", &url, source));
    }
    wanted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(wanted)
}

/// Gives the file `copy` another name; where the filesystem has no hard links, copies its bytes.
fn link(copy: &Path, path: &Path) -> Result<(), StorageError> {
    if let Some(dir) = path.parent() {
        files::make_dirs(dir)?;
    }
    // A file of another size was damaged since.
    files::remove_file(path)?;
    match std::fs::hard_link(copy, path) {
        Ok(()) => return Ok(()),
        // Another process made the same link.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => return Ok(()),
        Err(_) => {}
    }
    copy_local(copy, path)
}

fn copy_local(from: &Path, to: &Path) -> Result<(), StorageError> {
    let mut partial = Partial::create(to)?;
    File::open(from)
        .and_then(|mut file| std::io::copy(&mut file, &mut partial))
        .map_err(|source| StorageError::io("write", to, source))?;
    partial.seal()?.replace()
}

fn add_version(hasher: &mut blake3::Hasher, version: Option<&str>, n_bytes: u64) {
    hasher.update(b"\n");
    hasher.update(version.unwrap_or_default().as_bytes());
    hasher.update(&n_bytes.to_le_bytes());
}

fn digits_of(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..N_DIGITS].to_owned()
}

/// Bytes of `object` still to be copied to `path`.
fn missing(path: &Path, object: &Object) -> Result<u64, StorageError> {
    let found = files::metadata_if_exists(path)?;
    let is_whole = found.is_some_and(|found| !found.is_dir && found.n_bytes == object.n_bytes);
    // An empty object still has to be created.
    Ok(if is_whole { 0 } else { object.n_bytes.max(1) })
}

/// The copy of `object` in a cache of `limit` bytes, made unless a whole one is there.
pub(super) fn fill(cache: &Path, object: &Object, limit: u64) -> Result<PathBuf, StorageError> {
    let path = place_of(cache, object);
    let _lock = begin_use(cache, &version_hash(object))?;
    let n_missing = missing(&path, object)?;
    if n_missing == 0 {
        return Ok(path);
    }
    let url = PathBuf::from(object.url.to_string());
    make_room(cache, n_missing, limit, &url)?;
    files::make_dirs(path.parent().unwrap_or(&path))?;
    // One of another size was damaged since.
    download(object, &path)?;
    Ok(path)
}

/// Copies this version of `object` to `path`, instead of what is there.
fn download(object: &Object, path: &Path) -> Result<(), StorageError> {
    let url = PathBuf::from(object.url.to_string());
    let mut progress = CopyProgress {
        url: &url,
        path,
        n_bytes: object.n_bytes,
        n_done: 0,
    };
    tell(&progress);
    let mut partial = Partial::create(path)?;
    object.for_each_block(|block| {
        let written = partial.write_all(block);
        written.map_err(|source| StorageError::io("write", path, source))?;
        progress.n_done += block.len() as u64;
        tell(&progress);
        Ok(())
    })?;
    // Replaces a copy of another size, which was damaged since.
    partial.seal()?.replace()
}
