//! A file being written: its temporary, the lock on it, and its running hash.

use super::files::exists;
use super::location::{Location, locate};
use super::names::{is_still_at, split_final, temp_name};
use super::object::{self, ObjectUrl};
use super::publish::{publish_link, sync_dir};
use super::published::Publish;
use super::sweep::sweep_for_writer;
use super::{FileHash, StorageError, fault};
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Attempts at creating a locked temporary; each retry needs a sweeper to hit a window of microseconds.
const CREATE_TRIES: u32 = 16;

/// A temporary `.NAME.<host>.<pid>.<nonce>` next to its final name; removed on drop. A file for a store is written
/// on local scratch ([`std::env::temp_dir`]), under a name that includes a hash of its URL.
#[derive(Debug)]
pub struct Partial {
    // Declared first: the name must be removed while the lock, which closing the file drops, is still held.
    temp: TempPath,
    file: File,
    place: FinalPlace,
    hasher: blake3::Hasher,
}

/// Where a file goes once complete.
#[derive(Debug)]
struct FinalPlace {
    /// As given, for messages.
    path: PathBuf,
    /// The object, if it goes to a store.
    url: Option<ObjectUrl>,
}

impl Partial {
    /// Creates the temporary for `final_path`, whose directory must exist, and locks it. Temporaries
    /// of the same name whose writers were killed are removed first.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn create(final_path: &Path) -> Result<Self, StorageError> {
        match locate(final_path)? {
            Location::Local(local) => Self::beside(local),
            Location::Object(url) => Self::on_scratch(final_path, url),
        }
    }

    fn beside(final_path: &Path) -> Result<Self, StorageError> {
        let (dir, name) = split_final(final_path)?;
        if !exists(dir)? {
            let path = final_path.to_path_buf();
            return Err(StorageError::NoDirectory { path });
        }
        let path = final_path.to_path_buf();
        Self::create_in(dir, name, FinalPlace { path, url: None })
    }

    fn on_scratch(final_path: &Path, url: ObjectUrl) -> Result<Self, StorageError> {
        let (_, name) = split_final(final_path)?;
        let hash = blake3::hash(url.to_string().as_bytes()).to_hex();
        let mut temp = OsString::from(format!("saltworks-{}-", &hash[..16]));
        temp.push(name);
        let place = FinalPlace {
            path: final_path.to_path_buf(),
            url: Some(url),
        };
        Self::create_in(&std::env::temp_dir(), &temp, place)
    }

    fn create_in(dir: &Path, name: &OsStr, place: FinalPlace) -> Result<Self, StorageError> {
        // Best effort: leftovers that cannot be removed are no reason not to write.
        let _ = sweep_for_writer(dir, name);
        for _ in 0..CREATE_TRIES {
            let path = dir.join(temp_name(name));
            if let Some(file) = create_locked(&path)? {
                return Ok(Partial {
                    temp: TempPath(path),
                    file,
                    place,
                    hasher: blake3::Hasher::new(),
                });
            }
        }
        let source = io::Error::other("its temporary is removed again and again");
        Err(StorageError::io("create", &place.path, source))
    }

    /// A second handle on what was written, which stays readable whatever happens to the name.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub(super) fn reader(&self) -> Result<File, StorageError> {
        let opened = File::open(&self.temp.0);
        opened.map_err(|source| StorageError::io("read", &self.place.path, source))
    }

    /// Finishes writing: everything is on disk, under the temporary name.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn seal(self) -> Result<Sealed, StorageError> {
        fault::check()
            .and_then(|()| self.file.sync_all())
            .map_err(|source| StorageError::io("fsync", &self.place.path, source))?;
        Ok(Sealed {
            hash: FileHash {
                bytes: self.hasher.count(),
                blake3: self.hasher.finalize().to_hex().to_string(),
            },
            temp: self.temp,
            _lock: self.file,
            place: self.place,
        })
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        fault::check()?;
        let n = self.file.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A complete, fsynced file without its final name yet; removed on drop.
#[derive(Debug)]
pub struct Sealed {
    /// Size and BLAKE3 of what was written.
    pub hash: FileHash,
    temp: TempPath,
    // Kept open, and so locked: no sweeper takes the temporary for an abandoned one.
    _lock: File,
    place: FinalPlace,
}

impl Sealed {
    /// Where the bytes are until they are published.
    pub fn temp_path(&self) -> &Path {
        &self.temp.0
    }

    /// Gives the file its final name, unless that name is taken. A large file goes to a store in parts, and of two
    /// simultaneous writers the last wins: use it there only for files whose content is determined by their name.
    ///
    /// # Errors
    /// [`StorageError`] with the path; the final name then does not hold this file.
    pub fn publish(self) -> Result<Publish, StorageError> {
        match &self.place.url {
            Some(url) => object::upload_new(url, &self.temp.0, self.hash.bytes),
            None => publish_link(&self.temp.0, &self.place.path),
        }
    }

    /// Gives the file its final name, replacing whatever has it.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn replace(self) -> Result<(), StorageError> {
        let path = &self.place.path;
        if let Some(url) = &self.place.url {
            return object::upload(url, &self.temp.0, self.hash.bytes);
        }
        let (dir, _) = split_final(path)?;
        fault::check()
            .and_then(|()| std::fs::rename(&self.temp.0, path))
            .map_err(|source| StorageError::io("rename into place", path, source))?;
        sync_dir(dir)
    }
}

/// Removes its file on drop.
#[derive(Debug)]
struct TempPath(PathBuf);

impl Drop for TempPath {
    fn drop(&mut self) {
        // Already gone after a rename; if it cannot be removed, a later run sweeps it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Creates and locks `path`; `None` if a sweeper took it between the two.
pub(super) fn create_locked(path: &Path) -> Result<Option<File>, StorageError> {
    let io = |source| StorageError::io("create", path, source);
    let file = fault::check()
        .and_then(|()| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).open(path)
        })
        .map_err(io)?;
    match fault::try_lock(&file) {
        Ok(()) => Ok(is_still_at(&file, path).map_err(io)?.then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // A filesystem without locks: nobody can sweep there either (see `sweep`).
        Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

/// Writes `bytes` to `path` unless the name is taken, through a temporary.
///
/// # Errors
/// [`StorageError`] with the path; nothing half-written stays.
pub fn create_if_absent(path: &Path, bytes: &[u8]) -> Result<Publish, StorageError> {
    if let Some(url) = object_url(path)? {
        return object::create(&url, bytes.to_vec().into());
    }
    written(path, bytes)?.seal()?.publish()
}

/// Writes `bytes` to `path`, replacing whatever is there, through a temporary: readers see the old file or the new one.
///
/// # Errors
/// [`StorageError`] with the path; the old file stays.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    if let Some(url) = object_url(path)? {
        return object::overwrite(&url, bytes.to_vec().into());
    }
    written(path, bytes)?.seal()?.replace()
}

/// The object that `path` names, where it is in a store.
fn object_url(path: &Path) -> Result<Option<ObjectUrl>, StorageError> {
    split_final(path)?;
    Ok(match locate(path)? {
        Location::Object(url) => Some(url),
        Location::Local(_) => None,
    })
}

fn written(path: &Path, bytes: &[u8]) -> Result<Partial, StorageError> {
    let mut partial = Partial::create(path)?;
    partial
        .write_all(bytes)
        .map_err(|source| StorageError::io("write", path, source))?;
    Ok(partial)
}
