//! Free disk space.

use super::location::{Location, locate};
use std::path::Path;

/// Free bytes in the filesystem of the directory `dir`; `None` where the system does not say, and
/// for a store.
#[cfg(unix)]
pub fn free_bytes(dir: &Path) -> Option<u64> {
    let Ok(Location::Local(dir)) = locate(dir) else {
        return None;
    };
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(dir.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is a C string, and `stat` has room for what the call writes.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the call succeeded, so it has written `stat`.
    let stat = unsafe { stat.assume_init() };
    // The widths of these fields differ between platforms.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)]
    (stat.f_bavail as u64).checked_mul(stat.f_frsize as u64)
}

/// Free bytes in the filesystem of the directory `dir`; `None` where the system does not say.
#[cfg(not(unix))]
pub fn free_bytes(_dir: &Path) -> Option<u64> {
    None
}
