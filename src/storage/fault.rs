//! A seam for tests: every write, fsync, link, rename and unlink of this room passes here, so that
//! a test can make the n-th one fail. Outside tests it is an empty inlined function.

use std::io;

#[cfg(not(test))]
#[inline]
pub(crate) fn check() -> io::Result<()> {
    Ok(())
}

/// What comes before a hard link: [`check`], and the filesystem's refusal where a test asks for one.
pub(super) fn check_link() -> io::Result<()> {
    check()?;
    #[cfg(test)]
    if NO_LINKS.with(std::cell::Cell::get) {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(())
}

#[cfg(test)]
thread_local! {
    /// Whether this thread's filesystem has no hard links.
    static NO_LINKS: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    /// Operations left until one fails; `None` never fails.
    static LEFT: std::cell::Cell<Option<u64>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn check() -> io::Result<()> {
    LEFT.with(|left| match left.get() {
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

/// Makes operation number `n` (0-based) of this thread fail once, while `work` runs; tells whether
/// it was reached.
#[cfg(test)]
pub(crate) fn fail_nth<R>(n: u64, work: impl FnOnce() -> R) -> (R, bool) {
    LEFT.with(|left| left.set(Some(n)));
    let result = work();
    let reached = LEFT.with(|left| left.replace(None)).is_none();
    (result, reached)
}

/// Runs `work` as if on a filesystem without hard links, such as FAT.
#[cfg(test)]
pub(crate) fn without_hard_links<R>(work: impl FnOnce() -> R) -> R {
    NO_LINKS.with(|no_links| no_links.set(true));
    let result = work();
    NO_LINKS.with(|no_links| no_links.set(false));
    result
}
