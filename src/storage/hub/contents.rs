//! What the hub lists of a file's contents.

/// By which bytes are told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Contents {
    /// SHA-256 of a large file, 64 hex digits.
    Large(String),
    /// SHA-1 of what git keeps of a small one, 40 hex digits: `blob SIZE`, a zero byte, and the bytes.
    Git(String, u64),
    /// Nothing; a name for them that no other has.
    Untold(String),
}

impl Contents {
    /// The name of the bytes in the cache.
    pub(super) fn name(&self) -> &str {
        match self {
            Contents::Large(name) | Contents::Git(name, _) | Contents::Untold(name) => name,
        }
    }
}
