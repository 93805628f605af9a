//! A seam for tests: every read, write, fsync, link, rename and unlink of this room passes here, so that a test can
//! make the n-th one fail. Outside tests these are empty inlined functions.

use std::fs::{File, TryLockError};
use std::io;

#[cfg(not(test))]
#[inline]
pub(crate) fn check() -> io::Result<()> {
    Ok(())
}

/// Called before a hard link: [`check`], and the filesystem's refusal where a test asks for one.
pub(super) fn check_link() -> io::Result<()> {
    check()?;
    #[cfg(test)]
    if UNSUPPORTED.with(std::cell::Cell::get) >= Unsupported::Links {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(())
}

/// Called before a rename that must not replace: like [`check_link`].
pub(super) fn check_exclusive_rename() -> io::Result<()> {
    check()?;
    #[cfg(test)]
    if UNSUPPORTED.with(std::cell::Cell::get) >= Unsupported::LinksAndExclusiveRenames {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    Ok(())
}

/// A lock of a file or directory, or the filesystem's refusal where a test asks for one.
pub(super) fn try_lock(file: &File) -> Result<(), TryLockError> {
    #[cfg(test)]
    if UNSUPPORTED.with(std::cell::Cell::get) == Unsupported::Locks {
        return Err(TryLockError::Error(io::Error::from_raw_os_error(
            libc::ENOLCK,
        )));
    }
    file.try_lock()
}

/// Called before a read: the system's refusal where a test asks for one.
pub(super) fn check_read() -> io::Result<()> {
    #[cfg(test)]
    if let Some((left, code)) = READS_LEFT.with(std::cell::Cell::get) {
        READS_LEFT.with(|reads| reads.set(left.checked_sub(1).map(|left| (left, code))));
        if left == 0 {
            return Err(io::Error::from_raw_os_error(code));
        }
    }
    Ok(())
}

/// What a filesystem lacks.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unsupported {
    /// Nothing.
    Nothing,
    /// Locks, such as some NFS.
    Locks,
    /// Hard links, such as exFAT.
    Links,
    /// Also renames that fail where the name is taken, such as exFAT by FUSE.
    LinksAndExclusiveRenames,
}

#[cfg(test)]
thread_local! {
    /// What this thread's filesystem lacks.
    static UNSUPPORTED: std::cell::Cell<Unsupported> = const { std::cell::Cell::new(Unsupported::Nothing) };
    /// Reads left until one fails, and with which OS error code; `None` never fails.
    static READS_LEFT: std::cell::Cell<Option<(u64, i32)>> = const { std::cell::Cell::new(None) };
    /// Operations left until one fails; `None` never fails.
    static OPERATIONS_LEFT: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn check() -> io::Result<()> {
    OPERATIONS_LEFT.with(|left| match left.get() {
        Some(0) => {
            left.set(None);
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        Some(n) => {
            left.set(Some(n - 1));
            Ok(())
        }
        None => Ok(()),
    })
}

/// Makes operation number `n` (0-based) of this thread fail once while `work` runs; also returns whether it was
/// reached.
#[cfg(test)]
pub(crate) fn fail_nth<R>(n: u64, work: impl FnOnce() -> R) -> (R, bool) {
    OPERATIONS_LEFT.with(|left| left.set(Some(n)));
    let result = work();
    let reached = OPERATIONS_LEFT.with(|left| left.replace(None)).is_none();
    (result, reached)
}

/// Makes read number `n` (0-based) of this thread fail once with the OS error `code` while `work` runs; also returns
/// whether it was reached.
#[cfg(test)]
pub(crate) fn fail_nth_read<R>(n: u64, code: i32, work: impl FnOnce() -> R) -> (R, bool) {
    READS_LEFT.with(|reads| reads.set(Some((n, code))));
    let result = work();
    let reached = READS_LEFT.with(|reads| reads.replace(None)).is_none();
    (result, reached)
}

/// Runs `work` as if on a filesystem that `unsupported` something.
#[cfg(test)]
pub(crate) fn on_filesystem<R>(unsupported: Unsupported, work: impl FnOnce() -> R) -> R {
    UNSUPPORTED.with(|of_thread| of_thread.set(unsupported));
    let result = work();
    UNSUPPORTED.with(|of_thread| of_thread.set(Unsupported::Nothing));
    result
}

/// Runs `work` as if on a filesystem without hard links, such as FAT.
#[cfg(test)]
pub(crate) fn without_hard_links<R>(work: impl FnOnce() -> R) -> R {
    on_filesystem(Unsupported::Links, work)
}
