//! A file that is one document: copied whole, or not at all.

use super::compress::Compressor;
use super::error::FilterError;
use crate::corpus::RawText;
use crate::storage::{Source, StorageError};
use std::io::Write;
use std::path::Path;

const BLOCK_BYTES: usize = 256 << 10;

/// Copies the file unchanged.
pub(super) fn copy_file<W: Write>(
    path: &Path,
    out: &mut W,
    output: &Path,
) -> Result<(), FilterError> {
    let source = Source::open(path)?;
    let mut at = 0;
    while at < source.n_bytes() {
        let n_bytes = (source.n_bytes() - at).min(BLOCK_BYTES as u64);
        let block = source.read_at(at, n_bytes as usize)?;
        let written = out.write_all(&block);
        written.map_err(|source| StorageError::io("write", output, source))?;
        at += n_bytes;
    }
    Ok(())
}

/// Copies the text to `out`, which compresses it again.
pub(super) fn copy_text<W: Write>(
    text: &mut RawText,
    out: &mut Compressor<W>,
    output: &Path,
) -> Result<(), FilterError> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let n_bytes = text.read(&mut block)?;
        if n_bytes == 0 {
            return Ok(());
        }
        let pushed = out.push(&block[..n_bytes]);
        pushed.map_err(|source| StorageError::io("write", output, source))?;
    }
}
