//! Stores in memory, for the tests of rooms that read from stores.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;

/// Makes an empty in-memory store serve the URLs of `s3://bucket`. Each test uses its own bucket.
pub(crate) fn memory_store(store_url: &str) {
    super::install_sound(store_url.trim_start_matches("s3://"));
}

/// The same, with its request counters.
pub(crate) fn counted_store(store_url: &str) -> Arc<super::Faults> {
    super::install_counted(store_url.trim_start_matches("s3://")).1
}

/// Copies every file below the local directory `dir` to the prefix `url`.
pub(crate) fn put_tree(dir: &Path, url: &Path) {
    for entry in super::list_all(dir).unwrap() {
        let bytes = super::read(&dir.join(&entry.name)).unwrap();
        super::replace(&url.join(&entry.name), &bytes).unwrap();
    }
}

/// The cache of this process's tests.
pub(super) fn cache_dir() -> PathBuf {
    static CACHE: OnceLock<TempDir> = OnceLock::new();
    let dir = CACHE.get_or_init(|| tempfile::tempdir().unwrap());
    dir.path().to_path_buf()
}

/// Hashes of the blocks of `bytes`.
pub(crate) fn block_hashes(bytes: &[u8], block_bytes: u64) -> super::BlockHashes {
    let mut hasher = super::BlockHasher::with_blocks_of(block_bytes);
    hasher.update(bytes);
    hasher.finish()
}
