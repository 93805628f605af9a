//! A file in the making: its temporary, the lock on it, and its running hash.

use super::publish::{Publish, is_there, publish_link, split_final};
use super::sweep::sweep_abandoned;
use super::{FileHash, StorageError, fault};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Tries to make a locked temporary before giving up; each retry needs a sweeper in a window of
/// microseconds.
const CREATE_TRIES: u32 = 16;
/// Bytes of a final name that go into a temporary's: with host, process and nonce it stays below the 255
/// that filesystems allow.
const MAX_STEM_BYTES: usize = 160;

/// A temporary `.NAME.<host>.<pid>.<nonce>` beside its final name; removed on drop.
#[derive(Debug)]
pub struct Partial {
    // Declared first: the name must go while the lock, which closing the file drops, is still held.
    temp: TempPath,
    file: File,
    final_path: PathBuf,
    hasher: blake3::Hasher,
}

impl Partial {
    /// Creates the temporary for `final_path`, whose directory must exist, and locks it. Temporaries
    /// of the same name whose writers were killed are removed first.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn create(final_path: &Path) -> Result<Self, StorageError> {
        let (dir, name) = split_final(final_path)?;
        if !is_there(dir)? {
            let path = final_path.to_path_buf();
            return Err(StorageError::NoDirectory { path });
        }
        // Best effort: what cannot be removed is litter, and no reason not to write.
        let _ = sweep_abandoned(dir, name);
        for _ in 0..CREATE_TRIES {
            let path = dir.join(temp_name(name));
            if let Some(file) = create_locked(&path)? {
                return Ok(Partial {
                    temp: TempPath(path),
                    file,
                    final_path: final_path.to_path_buf(),
                    hasher: blake3::Hasher::new(),
                });
            }
        }
        let source = io::Error::other("its temporary is removed again and again");
        Err(StorageError::io("create", final_path, source))
    }

    /// Ends the writing: everything is on the disk, under the temporary name.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn seal(self) -> Result<Sealed, StorageError> {
        fault::check()
            .and_then(|()| self.file.sync_all())
            .map_err(|source| StorageError::io("fsync", &self.final_path, source))?;
        Ok(Sealed {
            hash: FileHash {
                bytes: self.hasher.count(),
                blake3: self.hasher.finalize().to_hex().to_string(),
            },
            temp: self.temp,
            _lock: self.file,
            final_path: self.final_path,
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

/// A complete, fsynced file that has its final name yet to get; removed on drop.
#[derive(Debug)]
pub struct Sealed {
    /// Size and BLAKE3 of what was written.
    pub hash: FileHash,
    temp: TempPath,
    // Open, and so locked: no sweeper takes the temporary for an abandoned one.
    _lock: File,
    final_path: PathBuf,
}

impl Sealed {
    /// Where the bytes are until they are published.
    pub fn temp_path(&self) -> &Path {
        &self.temp.0
    }

    /// Gives the file its final name, unless that name is taken.
    ///
    /// # Errors
    /// [`StorageError`] with the path; the final name then does not hold this file.
    pub fn publish(self) -> Result<Publish, StorageError> {
        publish_link(&self.temp.0, &self.final_path)
    }

    /// Gives the file its final name, in place of whatever has it.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn replace(self) -> Result<(), StorageError> {
        let (dir, _) = split_final(&self.final_path)?;
        fault::check()
            .and_then(|()| std::fs::rename(&self.temp.0, &self.final_path))
            .map_err(|source| StorageError::io("rename into place", &self.final_path, source))?;
        super::publish::sync_dir(dir)
    }
}

/// Removes its file on drop.
#[derive(Debug)]
struct TempPath(PathBuf);

impl Drop for TempPath {
    fn drop(&mut self) {
        // Already gone after a rename; and a file that cannot be removed is swept by a later run.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Creates and locks `path`; `None` if a sweeper took it between the two.
fn create_locked(path: &Path) -> Result<Option<File>, StorageError> {
    let io = |source| StorageError::io("create", path, source);
    let file = fault::check()
        .and_then(|()| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(true).open(path)
        })
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(is_still_at(&file, path).map_err(io)?.then_some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // A filesystem without locks: nobody can sweep there either (see `sweep`).
        Err(TryLockError::Error(_)) => Ok(Some(file)),
    }
}

/// Whether `path` still names the open `file`.
pub(super) fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok(there.dev() == ours.dev() && there.ino() == ours.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// `.NAME.<host>.<pid>.<nonce>`.
fn temp_name(name: &OsStr) -> OsString {
    // RandomState is seeded by the system once a process and counts up with each instance.
    let nonce = RandomState::new().build_hasher().finish();
    let mut temp = OsString::from(".");
    temp.push(stem(name));
    temp.push(format!(".{}.{}.{nonce:016x}", host(), std::process::id()));
    temp
}

/// What stands for `name` in the names of its temporaries: itself or, where that would leave too little
/// room for the rest, how it begins and a hash of it.
pub(super) fn stem(name: &OsStr) -> Cow<'_, OsStr> {
    let bytes = name.as_bytes();
    if bytes.len() <= MAX_STEM_BYTES {
        return Cow::Borrowed(name);
    }
    let hash = blake3::hash(bytes).to_hex();
    let hash = &hash[..16];
    let mut end = MAX_STEM_BYTES - hash.len() - 1;
    // Not inside a character of UTF-8.
    while end > 0 && bytes[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    let mut stem = OsString::from_vec(bytes[..end].to_vec());
    stem.push(format!("~{hash}"));
    Cow::Owned(stem)
}

/// This machine's name, letters, digits and hyphens only (a dot would end the field).
fn host() -> String {
    let mut buffer = [0u8; 256];
    // SAFETY: the buffer is writable and its length is passed; on truncation POSIX leaves the
    // terminator unspecified, and the search below then ends at the buffer's end.
    let status = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len()) };
    let end = buffer.iter().position(|&b| b == 0).unwrap_or(buffer.len());
    let name: String = String::from_utf8_lossy(&buffer[..end])
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(64)
        .collect();
    if status != 0 || name.is_empty() {
        return "localhost".to_owned();
    }
    name
}
