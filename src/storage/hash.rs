//! BLAKE3 of whole files and of samples from them.

use super::files::open_regular;
use super::hub;
use super::location::{Location, locate};
use super::object::{self, ObjectUrl};
use super::{StorageError, fault};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes that [`hash_file`] holds at a time.
const HASHED_BLOCK_BYTES: u64 = 4 << 20;
/// Most blocks that [`sampled_blake3`] reads.
const SAMPLED_BLOCKS: u64 = 64;
/// Bytes of one such block.
const SAMPLED_BLOCK_BYTES: u64 = 64 * 1024;

/// Size and BLAKE3 of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FileHash {
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of its content, 64 lowercase hex digits.
    pub blake3: String,
}

/// Hashes the whole file, on all cores. It is read, not mapped: a disk that does not answer, or a file truncated
/// meanwhile, is then an error and not a signal that kills the process.
///
/// # Errors
/// [`StorageError::Io`] with the path.
pub fn hash_file(path: &Path) -> Result<FileHash, StorageError> {
    let path = &*hub::local(path)?;
    let mut hasher = blake3::Hasher::new();
    match locate(path)? {
        Location::Local(local) => hash_local(path, local, &mut hasher)?,
        Location::Object(url) => {
            object::for_each_block(&url, |block| {
                hasher.update_rayon(block);
                Ok(())
            })?;
        }
    }
    Ok(FileHash {
        bytes: hasher.count(),
        blake3: hasher.finalize().to_hex().to_string(),
    })
}

fn hash_local(path: &Path, local: &Path, hasher: &mut blake3::Hasher) -> Result<(), StorageError> {
    let io = |source| StorageError::io("read", path, source);
    fault::check_read().map_err(io)?;
    let mut file = open_regular(local).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    let mut block = vec![0; HASHED_BLOCK_BYTES.min(bytes.max(1)) as usize];
    loop {
        fault::check_read().map_err(io)?;
        let n = read_block(&mut file, &mut block).map_err(io)?;
        hasher.update_rayon(&block[..n]);
        if n < block.len() {
            return Ok(());
        }
    }
}

/// Fills as much of `block` as the file has bytes for.
fn read_block(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < block.len() {
        match file.read(&mut block[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

/// One identity for several files: `blake3:` and 64 hex digits over their hashes in order, so that it does not depend
/// on the files' names.
pub fn fingerprint_of<'a>(hashes: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    for hash in hashes {
        hasher.update(hash.as_bytes());
        hasher.update(b"\n");
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}

/// BLAKE3 over the size (8 bytes, little-endian) and up to 64 blocks of 64 KiB at evenly spread offsets, including the
/// first and the last block: a cheap check that a file is still the one that was hashed. It notices a truncation or
/// another file, but not every flipped bit.
///
/// # Errors
/// [`StorageError::Io`] with the path.
pub fn sampled_blake3(path: &Path) -> Result<String, StorageError> {
    let path = &*hub::local(path)?;
    let mut hasher = blake3::Hasher::new();
    match locate(path)? {
        Location::Local(local) => sample_local(path, local, &mut hasher)?,
        Location::Object(url) => sample_object(&url, &mut hasher)?,
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn sample_object(url: &ObjectUrl, hasher: &mut blake3::Hasher) -> Result<(), StorageError> {
    let object = object::open(url)?;
    hasher.update(&object.n_bytes.to_le_bytes());
    let starts = sampled_offsets(object.n_bytes).into_iter();
    let ends = starts.map(|start| start..(start + SAMPLED_BLOCK_BYTES).min(object.n_bytes));
    for block in object.read_ranges(&ends.collect::<Vec<_>>())? {
        hasher.update(&block);
    }
    Ok(())
}

fn sample_local(
    path: &Path,
    local: &Path,
    hasher: &mut blake3::Hasher,
) -> Result<(), StorageError> {
    let io = |source| StorageError::io("read", path, source);
    let file = open_regular(local).map_err(io)?;
    let bytes = file.metadata().map_err(io)?.len();
    hasher.update(&bytes.to_le_bytes());
    let mut block = vec![0; SAMPLED_BLOCK_BYTES.min(bytes) as usize];
    for offset in sampled_offsets(bytes) {
        let len = SAMPLED_BLOCK_BYTES.min(bytes - offset) as usize;
        file.read_exact_at(&mut block[..len], offset).map_err(io)?;
        hasher.update(&block[..len]);
    }
    Ok(())
}

/// Offsets of the sampled blocks; small files are covered whole.
fn sampled_offsets(bytes: u64) -> Vec<u64> {
    let n_blocks = bytes.div_ceil(SAMPLED_BLOCK_BYTES);
    if n_blocks <= SAMPLED_BLOCKS {
        return (0..n_blocks).map(|i| i * SAMPLED_BLOCK_BYTES).collect();
    }
    let last = u128::from(bytes - SAMPLED_BLOCK_BYTES);
    let steps = u128::from(SAMPLED_BLOCKS - 1);
    (0..=steps).map(|i| (last * i / steps) as u64).collect()
}
