//! Models and data sets of the Hugging Face hub, read only: `hf://OWNER/MODEL@REVISION/PATH`.
//!
//! A file is downloaded whole when first requested, into the cache shared with the hub's own tools, in their layout,
//! and is a local file from then on:
//!
//! ```text
//! models--OWNER--NAME/refs/REVISION          the commit of the revision
//! models--OWNER--NAME/blobs/HASH             a file's bytes, by SHA-256 (large files) or git's SHA-1
//! models--OWNER--NAME/snapshots/COMMIT/PATH  a link to them
//! ```
//!
//! A process asks once which commit a revision is, and stays with it. Downloads are hashed and compared with the hash
//! that the hub lists. With `HF_HUB_OFFLINE` only the cache is used.

mod cache;
mod contents;
#[cfg(feature = "object-stores")]
mod digest;
mod disk;
mod fault;
#[cfg(feature = "object-stores")]
mod http;
#[cfg(not(feature = "object-stores"))]
#[path = "without.rs"]
mod http;
mod listing;
mod settings;
mod url;

use self::cache::Hub;
use super::StorageError;
use super::entry::{Entry, Metadata};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub(super) use url::HubUrl;

/// `path` itself or, for a URL of the hub, the local file with its bytes.
///
/// # Errors
/// There is no such file; the hub's refusal.
pub(super) fn local(path: &Path) -> Result<Cow<'_, Path>, StorageError> {
    match HubUrl::parse(path)? {
        None => Ok(Cow::Borrowed(path)),
        Some(url) => Ok(Cow::Owned(hub().file(&url)?)),
    }
}

/// What is at `url`; `None` if nothing is.
pub(super) fn metadata(url: &HubUrl) -> Result<Option<Metadata>, StorageError> {
    hub().metadata(url)
}

/// The entries directly below `url`.
pub(super) fn list(url: &HubUrl) -> Result<Vec<Entry>, StorageError> {
    hub().list(url)
}

/// Every file below `url`.
pub(super) fn list_all(url: &HubUrl) -> Result<Vec<Entry>, StorageError> {
    hub().list_all(url)
}

/// The local directory of `url`, with those of its files that `is_wanted` accepts.
pub(super) fn local_dir(
    url: &HubUrl,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<PathBuf, StorageError> {
    hub().dir(url, is_wanted)
}

/// The commit at which this process reads `url`.
pub(super) fn commit(url: &HubUrl) -> Result<String, StorageError> {
    hub().commit(url)
}

/// `path` with a branch or tag of the hub replaced by the commit, if this process has read from there.
pub(super) fn pinned(path: &Path) -> PathBuf {
    match HubUrl::parse(path) {
        Ok(Some(url)) => hub()
            .pinned(&url)
            .map_or_else(|| path.to_path_buf(), PathBuf::from),
        _ => path.to_path_buf(),
    }
}

fn hub() -> Hub {
    Hub::new(settings::Settings::of_environment())
}

#[cfg(feature = "object-stores")]
#[cfg(test)]
mod tests;
