//! Final names, the names of temporaries next to them, and whether a name still refers to the same
//! file.

use super::StorageError;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Bytes of a final name that are kept in a temporary's: with host, process and nonce it stays below the 255 that
/// filesystems allow.
const MAX_STEM_BYTES: usize = 160;

/// Refuses a path that can never name a file, whatever is in its directory.
///
/// # Errors
/// [`StorageError::NotAFileName`].
pub fn check_file_name(path: &Path) -> Result<(), StorageError> {
    split_final(path).map(drop)
}

/// The directory and the name of a final path.
pub(super) fn split_final(path: &Path) -> Result<(&Path, &OsStr), StorageError> {
    let not_a_name = || StorageError::NotAFileName {
        path: path.to_path_buf(),
    };
    // `Path` drops a trailing slash, and a dot after one.
    let bytes = path.as_os_str().as_bytes();
    if bytes.ends_with(b"/") || bytes.ends_with(b"/.") {
        return Err(not_a_name());
    }
    let name = path.file_name().ok_or_else(not_a_name)?;
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => Ok((Path::new("."), name)),
        Some(dir) => Ok((dir, name)),
        None => Err(not_a_name()),
    }
}

/// `.NAME.<host>.<pid>.<nonce>`.
pub(super) fn temp_name(name: &OsStr) -> OsString {
    let mut temp = OsString::from(".");
    temp.push(stem(name));
    temp.push(format!(".{}", unique_name()));
    temp
}

/// A name that no other call gives, in this process or another: `<host>.<pid>.<nonce>`.
pub fn unique_name() -> String {
    // RandomState is seeded once per process by the system and increments with each instance.
    let nonce = RandomState::new().build_hasher().finish();
    format!("{}.{}.{nonce:016x}", host(), std::process::id())
}

/// How `name` appears in the names of its temporaries: unchanged or, if too long, its beginning and a hash.
pub(super) fn stem(name: &OsStr) -> Cow<'_, OsStr> {
    let bytes = name.as_bytes();
    if bytes.len() <= MAX_STEM_BYTES {
        return Cow::Borrowed(name);
    }
    let hash = blake3::hash(bytes).to_hex();
    let hash = &hash[..16];
    let mut end = MAX_STEM_BYTES - hash.len() - 1;
    // Not inside a UTF-8 character.
    while end > 0 && bytes[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    let mut stem = OsString::from_vec(bytes[..end].to_vec());
    stem.push(format!("~{hash}"));
    Cow::Owned(stem)
}

/// This machine's name: only letters, digits and hyphens (a dot would end the field).
pub fn host() -> String {
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

/// The final name in `.NAME.<host>.<pid>.<nonce>`, or `None` for any other name.
pub(super) fn final_name_of(temp_name: &[u8]) -> Option<&[u8]> {
    let mut fields = temp_name.strip_prefix(b".")?.rsplitn(4, |&b| b == b'.');
    let nonce = fields.next()?;
    let pid = fields.next()?;
    let host = fields.next()?;
    let name = fields.next()?;
    let is_temp = nonce.len() == 16
        && nonce.iter().all(u8::is_ascii_hexdigit)
        && std::str::from_utf8(pid).is_ok_and(|pid| pid.parse::<u32>().is_ok())
        && !host.is_empty();
    is_temp.then_some(name)
}

/// Whether `path` still names the open `file`.
pub(super) fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(theirs) => Ok(theirs.dev() == ours.dev() && theirs.ino() == ours.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
