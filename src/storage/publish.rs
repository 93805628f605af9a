//! From a temporary to a final name.

use super::{Partial, StorageError, fault};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// What a publication found under the final name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publish {
    /// Nothing: the name is now ours.
    Created,
    /// A file, which stays as it was; ours is gone.
    AlreadyThere,
}

/// Writes `bytes` under `path` unless the name is taken, by way of a temporary.
///
/// # Errors
/// [`StorageError`] with the path; nothing half-written stays.
pub fn create_if_absent(path: &Path, bytes: &[u8]) -> Result<Publish, StorageError> {
    written(path, bytes)?.seal()?.publish()
}

/// Writes `bytes` under `path` in place of whatever is there, by way of a temporary: readers see
/// the old file or the new one.
///
/// # Errors
/// [`StorageError`] with the path; the old file stays.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    written(path, bytes)?.seal()?.replace()
}

/// Gives a directory of finished, fsynced files its final name, which must be free, and makes both
/// durable: readers see all of it or nothing.
///
/// # Errors
/// [`StorageError`] with the path; the directory then still has its old name.
pub fn publish_dir(temp: &Path, final_path: &Path) -> Result<(), StorageError> {
    sync_dir(temp)?;
    rename_dir(temp, final_path)
}

/// Renames a directory inside its parent, durably.
///
/// # Errors
/// [`StorageError`] with the new path.
pub fn rename_dir(from: &Path, to: &Path) -> Result<(), StorageError> {
    let (parent, _) = split_final(to)?;
    fault::check()
        .and_then(|()| std::fs::rename(from, to))
        .map_err(|source| StorageError::io("rename into place", to, source))?;
    sync_dir(parent)
}

/// Publishes the directory `part` under `place`, as [`publish_dir`] does, where another may be: that
/// one waits under `old`, comes back if `part` cannot be published, and is removed once it is. All
/// three are in one directory.
///
/// # Errors
/// [`StorageError`] with the path; `place` is then as it was, or whole and new. Only where it could
/// not be renamed back either is it under `old`, as a kill between the two renames leaves it.
pub fn replace_dir(part: &Path, place: &Path, old: &Path) -> Result<(), StorageError> {
    let is_taken = place.exists();
    let is_free = match is_taken {
        true => remove_tree(old).and_then(|()| rename_dir(place, old)),
        false => Ok(()),
    };
    if let Err(error) = is_free.and_then(|()| publish_dir(part, place)) {
        if is_taken && !place.exists() {
            // Best effort: the error that counts is the one being returned.
            let _ = rename_dir(old, place);
        }
        return Err(error);
    }
    remove_tree(old)
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// [`StorageError`] with the path.
pub fn remove_file(path: &Path) -> Result<(), StorageError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory with all that is in it; one that is not there is no error.
///
/// # Errors
/// [`StorageError`] with the path.
pub fn remove_tree(dir: &Path) -> Result<(), StorageError> {
    match fault::check().and_then(|()| std::fs::remove_dir_all(dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StorageError::io("remove", dir, error))
        }
        _ => Ok(()),
    }
}

fn written(path: &Path, bytes: &[u8]) -> Result<Partial, StorageError> {
    let mut partial = Partial::create(path)?;
    partial
        .write_all(bytes)
        .map_err(|source| StorageError::io("write", path, source))?;
    Ok(partial)
}

/// The directory and the name of a final path.
pub(super) fn split_final(path: &Path) -> Result<(&Path, &str), StorageError> {
    let not_a_name = || StorageError::NotAFileName {
        path: path.to_path_buf(),
    };
    let name = path
        .file_name()
        .and_then(OsStr::to_str)
        .ok_or_else(not_a_name)?;
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Ok((Path::new("."), name)),
        Some(dir) => Ok((dir, name)),
        None => Err(not_a_name()),
    }
}

/// Links `temp` to `final_path`, or copies it where there are no hard links.
pub(super) fn publish_link(temp: &Path, final_path: &Path) -> Result<Publish, StorageError> {
    let (dir, _) = split_final(final_path)?;
    let linked = fault::check_link().and_then(|()| std::fs::hard_link(temp, final_path));
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(Publish::AlreadyThere);
        }
        Err(error) if has_no_hard_links(&error) => {
            if publish_copy(temp, final_path)? == Publish::AlreadyThere {
                return Ok(Publish::AlreadyThere);
            }
        }
        Err(source) => return Err(StorageError::io("link into place", final_path, source)),
    }
    sync_dir(dir)?;
    Ok(Publish::Created)
}

/// Whether the filesystem, not this file, is what refuses a hard link.
fn has_no_hard_links(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EPERM
                | libc::EACCES
                | libc::EOPNOTSUPP
                | libc::ENOSYS
                | libc::EXDEV
                | libc::EMLINK
                | libc::EINVAL
        )
    )
}

/// Publication without hard links: exclusive create, copy, fsync. A failure removes what it began;
/// only a process killed in the midst leaves a part of a file, which no sidecar then claims.
pub(super) fn publish_copy(temp: &Path, final_path: &Path) -> Result<Publish, StorageError> {
    let created = fault::check().and_then(|()| {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).open(final_path)
    });
    let mut to = match created {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(Publish::AlreadyThere);
        }
        Err(source) => return Err(StorageError::io("create", final_path, source)),
    };
    let copied = fault::check()
        .and_then(|()| File::open(temp))
        .and_then(|mut from| io::copy(&mut from, &mut to))
        .and_then(|_| fault::check())
        .and_then(|()| to.sync_all());
    if let Err(source) = copied {
        // Best effort: the error that counts is the one being returned.
        let _ = std::fs::remove_file(final_path);
        return Err(StorageError::io("write", final_path, source));
    }
    Ok(Publish::Created)
}

/// Makes the names in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    fault::check()
        .and_then(|()| File::open(dir))
        .and_then(|dir| dir.sync_all())
        .map_err(|source| StorageError::io("fsync the directory", dir, source))
}
