//! What the hub lists about a file's contents.

/// How the bytes of a file are identified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    /// SHA-256 of a large file, 64 hex digits.
    Large(String),
    /// SHA-1 of git's blob of a small file, 40 hex digits: over `blob SIZE`, a zero byte, and the bytes.
    Git(String, u64),
    /// Nothing is listed; a unique name for the bytes.
    Unlisted(String),
}

impl Contents {
    /// The name of the bytes in the cache.
    pub(super) fn name(&self) -> &str {
        match self {
            Contents::Large(name) | Contents::Git(name, _) | Contents::Unlisted(name) => name,
        }
    }
}
