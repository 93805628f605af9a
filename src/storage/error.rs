//! Storage errors; each carries its path.

use super::place::{PlaceError, is_url};
use super::store_fault::StoreFault;
use crate::error::{Classified, Kind};
use std::io;
use std::path::{Path, PathBuf};

/// An I/O failure and where it happened.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The filesystem or the quota is full.
    #[error(
        "no space left for {}{}: free some space or choose another {} directory, then run the same command again (finished files stay)",
        path.display(), on_scratch(path), if is_url(path) { "scratch" } else { "output" }
    )]
    NoSpace {
        /// The file that was being written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The same, for callers that say how to resume.
    #[error("no space left for {}{}: free some space", path.display(), on_scratch(path))]
    Full {
        /// The file that was being written.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Any other I/O failure.
    #[error("cannot {action} {}{}", path.display(), hint(source))]
    Io {
        /// What was being done: `read`, `write`, `fsync`, ...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The directory that the file is to be written to does not exist.
    #[error(
        "cannot write {}: its directory does not exist; create it, or give another path",
        path.display()
    )]
    NoDirectory {
        /// The file.
        path: PathBuf,
    },
    /// A path that cannot name a file, such as `..` or the empty path.
    #[error("{} does not name a file: give a path that ends in a file name, without a slash after it", path.display())]
    NotAFileName {
        /// The path as given.
        path: PathBuf,
    },
    /// An object store cannot be used, or could not be used just now.
    #[error("cannot {action} {}: {fault}", url.display())]
    Store {
        /// What was being done.
        action: &'static str,
        /// The object, or the prefix.
        url: PathBuf,
        /// What is wrong, and what to do.
        fault: StoreFault,
        /// What the store said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A place that is neither a local path nor a URL of a known store.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl StorageError {
    /// The error of `action` on `path`; a full disk or quota has its own variant.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StorageError::NoSpace { path, source }
            }
            _ => StorageError::Io {
                action,
                path,
                source,
            },
        }
    }

    /// The error of an object at `url` that has changed since it was opened.
    pub fn changed(url: &Path) -> Self {
        Self::store("read", url, StoreFault::Changed)
    }

    /// The error of `action` on `url` where the store itself gave none.
    pub(super) fn store(action: &'static str, url: impl Into<PathBuf>, fault: StoreFault) -> Self {
        StorageError::Store {
            action,
            url: url.into(),
            fault,
            source: None,
        }
    }

    /// The same, for callers that say themselves how to resume.
    #[must_use]
    pub fn without_remedy(self) -> Self {
        match self {
            StorageError::NoSpace { path, source } => StorageError::Full { path, source },
            other => other,
        }
    }

    /// Whether the system refused for a reason unrelated to the file's content, which may be sound.
    pub fn is_refusal(&self) -> bool {
        use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
        match self {
            StorageError::Io { source, .. } => {
                let is_of_path = matches!(source.kind(), NotFound | NotADirectory | IsADirectory);
                source.raw_os_error().is_some() && !is_of_path
            }
            StorageError::NoSpace { .. }
            | StorageError::Full { .. }
            | StorageError::Store { .. }
            | StorageError::Place(_) => true,
            StorageError::NoDirectory { .. } | StorageError::NotAFileName { .. } => false,
        }
    }

    /// Whether the file is simply not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            StorageError::NoDirectory { .. } => true,
            StorageError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

impl Classified for StorageError {
    // Reading something that is not a file, is in no directory, or is no file of its kind by its size, will fail again
    // on the next try.
    fn kind(&self) -> Kind {
        use io::ErrorKind::{FileTooLarge, InvalidInput, IsADirectory, NotADirectory};
        match self {
            StorageError::Io { action, source, .. } => match (*action, source.kind()) {
                ("read", NotADirectory | IsADirectory | InvalidInput | FileTooLarge) => Kind::Usage,
                _ => Kind::Failed,
            },
            StorageError::NoSpace { .. } | StorageError::Full { .. } => Kind::Failed,
            StorageError::Store { fault, .. } => fault.kind(),
            StorageError::Place(error) => error.kind(),
            StorageError::NoDirectory { .. } | StorageError::NotAFileName { .. } => Kind::Usage,
        }
    }
}

/// Names the scratch disk as the full one where the file goes to a store.
fn on_scratch(path: &Path) -> String {
    if !is_url(path) {
        return String::new();
    }
    let scratch = std::env::temp_dir();
    format!(
        " in {}, where it is made before it is put there (TMPDIR is another place)",
        scratch.display()
    )
}

/// What to do about an error that is unrelated to the file itself.
fn hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            ", as too many files are open: raise the limit (ulimit -n), or try again"
        }
        Some(libc::ENOMEM) => ", since memory ran out: try again with more memory free",
        Some(libc::EIO | libc::ESTALE | libc::ETIMEDOUT | libc::EAGAIN | libc::ENODEV) => {
            ", which may still be intact: try again, and check the disk or the mount if this repeats"
        }
        _ => "",
    }
}
