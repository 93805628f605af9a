//! A seam for tests: every write, fsync, link, rename and unlink of this room passes here, so that
//! a test can make the n-th one fail. Outside tests it is an empty inlined function.

use std::io;

#[cfg(not(test))]
#[inline]
pub(crate) fn check() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
thread_local! {
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
