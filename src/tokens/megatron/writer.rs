//! Writes a pair: ids stream into the `.bin`; only the lengths of documents are kept until the end.

use super::idx::{HEADER_BYTES, MAGIC, VERSION};
use super::with_suffix;
use crate::storage::BlockHasher;
use crate::tokens::corpus_json::{BinBlocks, FileStamp};
use crate::tokens::dtype::Dtype;
use crate::tokens::error::TokensError;
use crate::tokens::partial::{Partial, Sealed};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes `<prefix>.bin` and `<prefix>.idx`, one sequence per document.
///
/// Both are temporaries until [`finish`](Self::finish), and are removed if dropped before that.
/// Memory: 4 bytes per document, 36 per block of 1 MiB.
pub struct MegatronWriter {
    bin: Partial,
    blocks: Blocks,
    idx_path: PathBuf,
    dtype: Dtype,
    vocab_size: u32,
    lengths: Vec<u32>,
    n_tokens: u64,
    /// Tokens of the current document.
    n_open: usize,
    encoded: Vec<u8>,
}

/// A pair that is complete on disk, without its final names yet; removed on drop.
pub(in crate::tokens) struct SealedPair {
    bin: Sealed,
    idx: Sealed,
    pub(in crate::tokens) written: WrittenPair,
}

/// What [`MegatronWriter::finish`] published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenPair {
    /// Type of the ids.
    pub dtype: Dtype,
    /// Number of documents.
    pub n_documents: u64,
    /// Number of tokens.
    pub n_tokens: u64,
    /// Size and hash of the `.bin`.
    pub bin: FileStamp,
    /// Size and hash of the `.idx`.
    pub idx: FileStamp,
    /// Blocks of the `.bin`.
    pub blocks: BinBlocks,
}

/// Hashes and largest ids of the blocks written.
#[derive(Default)]
struct Blocks {
    hasher: BlockHasher,
    max_ids: Vec<u32>,
    n_tokens: u64,
}

impl Blocks {
    fn add(&mut self, ids: &[u32], encoded: &[u8], dtype: Dtype) {
        self.hasher.update(encoded);
        let block_tokens = self.hasher.block_bytes() / dtype.bytes();
        let mut rest = ids;
        while !rest.is_empty() {
            let block = (self.n_tokens / block_tokens) as usize;
            let room = block_tokens - self.n_tokens % block_tokens;
            let (now, later) = rest.split_at(rest.len().min(room as usize));
            self.max_ids.resize(block + 1, 0);
            let largest = now.iter().copied().max().unwrap_or(0);
            self.max_ids[block] = self.max_ids[block].max(largest);
            self.n_tokens += now.len() as u64;
            rest = later;
        }
    }

    fn finish(self) -> BinBlocks {
        let block_bytes = self.hasher.block_bytes();
        let hashes = self.hasher.finish();
        // Blocks were merged because there were too many.
        let n_joined = (hashes.block_bytes / block_bytes) as usize;
        let joined = self.max_ids.chunks(n_joined);
        let max_ids = joined.map(|ids| ids.iter().copied().max().unwrap_or(0));
        BinBlocks::new(&hashes, max_ids.collect())
    }
}

impl MegatronWriter {
    /// Opens both outputs; ids will be u16 if `vocab_size` is below 65,536, else i32.
    ///
    /// # Errors
    /// I/O.
    pub fn create(prefix: &Path, vocab_size: u32) -> Result<Self, TokensError> {
        Ok(Self {
            bin: Partial::create(&with_suffix(prefix, ".bin"))?,
            blocks: Blocks::default(),
            idx_path: with_suffix(prefix, ".idx"),
            dtype: Dtype::for_vocab(vocab_size),
            vocab_size,
            lengths: Vec::new(),
            n_tokens: 0,
            n_open: 0,
            encoded: Vec::new(),
        })
    }

    /// Appends one document; it may be empty.
    ///
    /// # Errors
    /// An id outside the vocabulary, a document above 2^31 - 1 tokens, I/O.
    pub fn push_document(&mut self, ids: &[u32]) -> Result<(), TokensError> {
        self.append(ids)?;
        self.end_document();
        Ok(())
    }

    /// Appends ids to the current document.
    ///
    /// # Errors
    /// Those of [`push_document`](Self::push_document).
    pub fn append(&mut self, ids: &[u32]) -> Result<(), TokensError> {
        let n_tokens = self.n_open.saturating_add(ids.len());
        if n_tokens > i32::MAX as usize {
            return Err(TokensError::DocumentTooLong { n_tokens });
        }
        if let Some(&id) = ids.iter().find(|&&id| id >= self.vocab_size) {
            return Err(TokensError::IdPastVocab {
                id,
                vocab_size: self.vocab_size,
            });
        }
        self.encoded.clear();
        match self.dtype {
            Dtype::U16 => self
                .encoded
                .extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
            _ => self
                .encoded
                .extend(ids.iter().flat_map(|&id| id.to_le_bytes())),
        }
        let path = self.bin.final_path().to_path_buf();
        self.bin
            .write_all(&self.encoded)
            .map_err(TokensError::write(&path))?;
        self.blocks.add(ids, &self.encoded, self.dtype);
        self.n_open = n_tokens;
        Ok(())
    }

    /// Ends the current document, which may be empty.
    pub fn end_document(&mut self) {
        self.lengths.push(self.n_open as u32);
        self.n_tokens += self.n_open as u64;
        self.n_open = 0;
    }

    /// Number of documents so far.
    pub fn n_documents(&self) -> u64 {
        self.lengths.len() as u64
    }

    /// Number of tokens so far.
    pub fn n_tokens(&self) -> u64 {
        self.n_tokens
    }

    /// Writes the tables, syncs both files to disk and gives them their final names, replacing
    /// others.
    ///
    /// # Errors
    /// I/O.
    pub fn finish(self) -> Result<WrittenPair, TokensError> {
        self.seal()?.publish()
    }

    /// Writes the tables and syncs both files to disk, under their temporary names.
    pub(in crate::tokens) fn seal(self) -> Result<SealedPair, TokensError> {
        let mut idx = Partial::create(&self.idx_path)?;
        let mut buffered = BufWriter::new(&mut idx);
        write_idx(&mut buffered, self.dtype, &self.lengths)
            .and_then(|()| buffered.flush())
            .map_err(TokensError::write(&self.idx_path))?;
        drop(buffered);
        let (n_documents, n_tokens) = (self.n_documents(), self.n_tokens);
        let (bin, idx) = (self.bin.seal()?, idx.seal()?);
        let written = WrittenPair {
            dtype: self.dtype,
            n_documents,
            n_tokens,
            bin: bin.stamp.clone(),
            idx: idx.stamp.clone(),
            blocks: self.blocks.finish(),
        };
        Ok(SealedPair { bin, idx, written })
    }
}

impl SealedPair {
    /// Gives both files their final names, replacing others.
    pub(in crate::tokens) fn publish(self) -> Result<WrittenPair, TokensError> {
        self.bin.publish()?;
        self.idx.publish()?;
        Ok(self.written)
    }
}

/// The `.idx` of documents of these lengths, one sequence each.
pub(super) fn write_idx(out: &mut impl Write, dtype: Dtype, lengths: &[u32]) -> io::Result<()> {
    let n_sequences = lengths.len() as u64;
    let mut header = Vec::with_capacity(HEADER_BYTES as usize);
    header.extend(MAGIC);
    header.extend(VERSION.to_le_bytes());
    header.push(if dtype == Dtype::U16 { 8 } else { 4 });
    header.extend(n_sequences.to_le_bytes());
    header.extend((n_sequences + 1).to_le_bytes());
    out.write_all(&header)?;
    for length in lengths {
        out.write_all(&length.to_le_bytes())?;
    }
    let mut pointer = 0;
    for &length in lengths {
        out.write_all(&u64::to_le_bytes(pointer))?;
        pointer += u64::from(length) * dtype.bytes();
    }
    for document in 0..=n_sequences {
        out.write_all(&document.to_le_bytes())?;
    }
    Ok(())
}
