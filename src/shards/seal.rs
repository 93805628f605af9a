//! The checksum that a selection's file contains.
//!
//! One entry of the key-value metadata, [`CHECKSUM_KEY`], is the BLAKE3 of the whole file, computed with 64 zeros in
//! its place. So a flipped byte anywhere is found, and no other file is needed. Other programs copy metadata when they
//! rewrite a selection, so the checksum counts only in a file that states that `saltworks select` wrote it.

use super::ShardsError;
use crate::storage::{DecodeError, FileHash, Partial, RowGroupWriter, Source, StorageError};
use std::io::{self, Write};
use std::path::Path;

/// Metadata key of the checksum.
const CHECKSUM_KEY: &str = "saltworks.blake3";
/// Its value while the file is hashed.
const PLACEHOLDER: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Bytes hashed at a time.
const BLOCK_BYTES: u64 = 1 << 20;
/// The footer's length and the magic number after it.
const END_BYTES: u64 = 8;

/// The writer of a kind of file.
pub(super) struct Seal {
    /// `created_by` of a file with a checksum. It names the format, not the library: the file's bytes must not change
    /// with a release.
    pub(super) created_by: &'static str,
    /// `created_by` before there were checksums.
    pub(super) created_by_before: Option<&'static str>,
}

/// The metadata entry for the checksum, with the placeholder.
pub(super) fn unsealed_entry() -> (String, String) {
    (CHECKSUM_KEY.to_owned(), PLACEHOLDER.to_owned())
}

/// Writes to a temporary, and inserts the checksum into the footer.
pub(super) struct SealingSink {
    partial: Partial,
    /// Hash of what was written so far.
    hasher: blake3::Hasher,
    /// The end of the file, with the footer, once that begins.
    footer: Option<Vec<u8>>,
}

impl SealingSink {
    pub(super) fn new(partial: Partial) -> Self {
        SealingSink {
            partial,
            hasher: blake3::Hasher::new(),
            footer: None,
        }
    }

    /// Everything from here on is the footer.
    fn start_footer(&mut self) {
        self.footer = Some(Vec::new());
    }

    /// Writes what was held back, with the checksum.
    fn finish(mut self) -> io::Result<Partial> {
        let mut tail = self.footer.unwrap_or_default();
        if !seal(&self.hasher, &mut tail) {
            let reason = "the footer has no place for the checksum";
            return Err(io::Error::other(reason));
        }
        self.partial.write_all(&tail)?;
        Ok(self.partial)
    }
}

impl Write for SealingSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(footer) = &mut self.footer {
            return footer.write(bytes);
        }
        let n = self.partial.write(bytes)?;
        self.hasher.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.partial.flush()
    }
}

/// Finishes the file for `path` and gives it its final name, replacing an earlier one.
pub(super) fn publish(
    path: &Path,
    mut groups: RowGroupWriter<SealingSink>,
) -> Result<FileHash, ShardsError> {
    let refused = |error| ShardsError::of_encoder(path, error);
    // The footer is held back until its checksum is known.
    groups
        .sink()
        .map(SealingSink::start_footer)
        .map_err(refused)?;
    let sink = groups.finish().map_err(refused)?;
    let io = |source| StorageError::io("write", path, source);
    let sealed = sink.finish().map_err(io)?.seal()?;
    let hash = sealed.hash.clone();
    sealed.replace()?;
    Ok(hash)
}

/// Inserts the checksum into `tail`, the end of a file including its whole footer; `before` has hashed everything
/// before it. False if the footer lacks the placeholder.
fn seal(before: &blake3::Hasher, tail: &mut [u8]) -> bool {
    let Some(place) = place_of(tail, PLACEHOLDER) else {
        return false;
    };
    let mut hasher = before.clone();
    hasher.update(tail);
    let checksum = hasher.finalize().to_hex();
    tail[place..place + checksum.len()].copy_from_slice(checksum.as_bytes());
    true
}

/// The offset of `value` after the checksum's key.
fn place_of(tail: &[u8], value: &str) -> Option<usize> {
    let rfind = |bytes: &[u8], wanted: &[u8]| {
        let windows = bytes.windows(wanted.len().max(1));
        windows
            .rev()
            .position(|window| window == wanted)
            .map(|from_end| bytes.len() - wanted.len() - from_end)
    };
    let key = rfind(tail, CHECKSUM_KEY.as_bytes())?;
    let value = rfind(&tail[key..], value.as_bytes())?;
    Some(key + value)
}

/// Compares the file at `path` with its checksum, if it should have one; `metadata` is from its footer.
///
/// # Errors
/// The checksum differs or is missing; the file cannot be read.
pub(super) fn check(
    path: &Path,
    source: &Source,
    metadata: &[(String, String)],
    seal: &Seal,
) -> Result<(), ShardsError> {
    let damaged = |what: String| {
        Err(ShardsError::selection(
            path,
            format!("{what}: it is damaged"),
        ))
    };
    let start = footer_start(source)?;
    let footer = read(source, start, source.n_bytes() - start)?;
    // Compared as bytes, since damage may hide from the decoder who wrote the file and that it had a checksum.
    if !has_nearly(&footer, seal.created_by) {
        return Ok(());
    }
    let recorded = metadata.iter().find(|(key, _)| key == CHECKSUM_KEY);
    let Some((_, recorded)) = recorded else {
        let has = |text: &str| has_exactly(&footer, text);
        let is_before = seal.created_by_before.is_some_and(has);
        return match is_before && !has(CHECKSUM_KEY) {
            true => Ok(()),
            false => damaged("it has lost its checksum".to_owned()),
        };
    };
    let is_checksum = recorded.len() == PLACEHOLDER.len();
    let place = place_of(&footer, recorded).filter(|_| is_checksum);
    let Some(place) = place else {
        return damaged(format!("its checksum {recorded:?} is invalid"));
    };
    let mut hasher = hash_of(source, start)?;
    let mut footer = footer.to_vec();
    footer[place..place + recorded.len()].fill(b'0');
    hasher.update(&footer);
    let got = hasher.finalize().to_hex();
    match got.as_str() == recorded {
        true => Ok(()),
        false => damaged(format!("its checksum is {got}, expected {recorded}")),
    }
}

/// Whether `bytes` contain `text`, with at most one byte changed.
fn has_nearly(bytes: &[u8], text: &str) -> bool {
    let is_nearly = |window: &[u8]| {
        let pairs = window.iter().zip(text.as_bytes());
        pairs.filter(|(got, expected)| got != expected).count() <= 1
    };
    bytes.windows(text.len()).any(is_nearly)
}

fn has_exactly(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

/// Where the footer of a Parquet file, which was decoded before, begins.
fn footer_start(source: &Source) -> Result<u64, StorageError> {
    let n_bytes = source.n_bytes();
    let end = read(source, n_bytes.saturating_sub(END_BYTES), END_BYTES)?;
    let length = end.get(..4).and_then(|length| length.try_into().ok());
    let length = u64::from(u32::from_le_bytes(length.unwrap_or_default()));
    Ok(n_bytes.saturating_sub(END_BYTES + length))
}

/// Hashes the file up to `end`.
fn hash_of(source: &Source, end: u64) -> Result<blake3::Hasher, StorageError> {
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < end {
        let block = BLOCK_BYTES.min(end - at);
        hasher.update(&read(source, at, block)?);
        at += block;
    }
    Ok(hasher)
}

fn read(source: &Source, start: u64, n_bytes: u64) -> Result<bytes::Bytes, StorageError> {
    source.read_at(start, n_bytes as usize)
}

/// The error of a selection that could not be decoded.
pub(super) fn decode_error(path: &Path, error: DecodeError) -> ShardsError {
    use parquet::errors::ParquetError;
    let source = match error {
        DecodeError::Read(error) => return error.into(),
        DecodeError::Parquet(source) => source,
        DecodeError::Panic(_) => ParquetError::General("decoding failed".to_owned()),
    };
    ShardsError::SelectionParquet {
        path: path.to_path_buf(),
        source,
    }
}
