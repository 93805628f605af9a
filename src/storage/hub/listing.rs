//! The hub's description of a repository.

use serde::Deserialize;

/// A revision.
#[derive(Debug, Deserialize)]
pub(super) struct Revision {
    /// Its commit.
    pub(super) sha: String,
    #[serde(default)]
    pub(super) siblings: Vec<Sibling>,
}

/// A file.
#[derive(Debug, Deserialize)]
pub(super) struct Sibling {
    pub(super) rfilename: String,
    pub(super) size: Option<u64>,
    /// The git SHA-1 of a file that git stores itself.
    #[serde(rename = "blobId")]
    pub(super) blob_id: Option<String>,
    pub(super) lfs: Option<Lfs>,
}

/// A large file.
#[derive(Debug, Deserialize)]
pub(super) struct Lfs {
    pub(super) sha256: Option<String>,
}
