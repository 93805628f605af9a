//! From a temporary to a final name.

use super::files::{exists, remove_tree};
use super::names::{is_still_at, split_final};
use super::published::Publish;
use super::{StorageError, fault};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Gives a directory of finished, fsynced files its final name, which must be free, and makes both durable: readers see
/// all of it or nothing.
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

/// Publishes the directory `part` as `place`, as [`publish_dir`] does, where another directory may be: that one is
/// moved to `old`, restored if `part` cannot be published, and removed once it is. All three are in one directory.
///
/// # Errors
/// [`StorageError`] with the path; `place` is then as it was, or whole and new. If restoring it also fails, it is at
/// `old`, as after a kill between the two renames.
pub fn replace_dir(part: &Path, place: &Path, old: &Path) -> Result<(), StorageError> {
    let is_taken = exists(place)?;
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

/// Links `temp` to `final_path`, or moves it there where there are no hard links.
pub(super) fn publish_link(temp: &Path, final_path: &Path) -> Result<Publish, StorageError> {
    let (dir, _) = split_final(final_path)?;
    let linked = fault::check_link().and_then(|()| std::fs::hard_link(temp, final_path));
    match linked {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(Publish::AlreadyThere);
        }
        Err(error) if has_no_hard_links(&error) => {
            if publish_move(temp, final_path)? == Publish::AlreadyThere {
                return Ok(Publish::AlreadyThere);
            }
        }
        Err(source) => return Err(StorageError::io("link into place", final_path, source)),
    }
    sync_dir(dir)?;
    Ok(Publish::Created)
}

/// Publication without hard links: a rename that fails where the name is taken, or a copy where the
/// filesystem has no such rename either.
fn publish_move(temp: &Path, final_path: &Path) -> Result<Publish, StorageError> {
    let renamed =
        fault::check_exclusive_rename().and_then(|()| rename_exclusively(temp, final_path));
    match renamed {
        Ok(()) => Ok(Publish::Created),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Publish::AlreadyThere),
        Err(error) if has_no_exclusive_rename(&error) => publish_copy(temp, final_path),
        Err(source) => Err(StorageError::io("rename into place", final_path, source)),
    }
}

#[cfg(target_os = "linux")]
fn rename_exclusively(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_string(from)?, c_string(to)?);
    // SAFETY: both are C strings that outlive the call, and the call takes nothing else by address.
    // By number, as not every C library has a wrapper.
    let code = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_NOREPLACE,
        )
    };
    match code {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(target_vendor = "apple")]
fn rename_exclusively(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (c_string(from)?, c_string(to)?);
    // SAFETY: both are C strings that outlive the call, and the call takes nothing else by address.
    match unsafe { libc::renamex_np(from.as_ptr(), to.as_ptr(), libc::RENAME_EXCL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(any(target_os = "linux", target_vendor = "apple")))]
fn rename_exclusively(_from: &Path, _to: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(any(target_os = "linux", target_vendor = "apple"))]
fn c_string(path: &Path) -> io::Result<std::ffi::CString> {
    Ok(std::ffi::CString::new(path.as_os_str().as_bytes())?)
}

/// Whether the system or the filesystem does not support such a rename.
fn has_no_exclusive_rename(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    let is_unknown = matches!(
        code,
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP | libc::EPERM)
    );
    is_unknown || error.kind() == io::ErrorKind::Unsupported
}

/// Whether it is the filesystem, not this file, that refuses a hard link.
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

/// Publication by copy: exclusive create, copy, fsync. On failure the partial file is removed; only a kill leaves one.
/// The lock held meanwhile tells that from one in progress.
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
    // A filesystem without locks cannot tell; whoever finds a partial file there waits for it to grow.
    let _ = fault::try_lock(&to);
    let copied = fault::check()
        .and_then(|()| File::open(temp))
        .and_then(|mut from| io::copy(&mut from, &mut to))
        .and_then(|_| fault::check())
        .and_then(|()| to.sync_all());
    let is_ours = is_still_at(&to, final_path);
    if let Err(source) = copied {
        if is_ours.unwrap_or(false) {
            // Best effort: the error that counts is the one being returned.
            let _ = std::fs::remove_file(final_path);
        }
        return Err(StorageError::io("write", final_path, source));
    }
    match is_ours {
        Ok(true) => Ok(Publish::Created),
        // Taken for abandoned while it was empty, and replaced.
        Ok(false) => Ok(Publish::AlreadyThere),
        Err(source) => Err(StorageError::io("look at", final_path, source)),
    }
}

/// Makes the names in `dir` durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), StorageError> {
    fault::check()
        .and_then(|()| File::open(dir))
        .and_then(|dir| dir.sync_all())
        .map_err(|source| StorageError::io("fsync the directory", dir, source))
}
