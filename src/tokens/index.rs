//! Where documents start, whatever the file says it by.

use super::error::TokensError;
use super::megatron::IdxLayout;
use super::spool::Spool;
use super::token_file::TokenFile;
use memmap2::Mmap;

/// Documents of a corpus; starts are token offsets, never falling.
pub(super) enum DocumentIndex {
    /// The file is one document.
    Whole { n_tokens: u64 },
    /// A validated `.idx`.
    Megatron { idx: Mmap, layout: IdxLayout },
    /// A table of u64 starts, little-endian, with the number of tokens at its end.
    Table { starts: Mmap, n_documents: u64 },
}

impl DocumentIndex {
    pub(super) fn n_documents(&self) -> u64 {
        match self {
            DocumentIndex::Whole { n_tokens } => u64::from(*n_tokens > 0),
            DocumentIndex::Megatron { layout, .. } => layout.n_documents,
            DocumentIndex::Table { n_documents, .. } => *n_documents,
        }
    }

    pub(super) fn start(&self, document: u64) -> u64 {
        assert!(
            document <= self.n_documents(),
            "document {document} of {}",
            self.n_documents()
        );
        match self {
            DocumentIndex::Whole { n_tokens } => document * n_tokens,
            DocumentIndex::Megatron { idx, layout } => layout.document_start(idx, document),
            DocumentIndex::Table { starts, .. } => {
                let at = document as usize * 8;
                u64::from_le_bytes(starts[at..at + 8].try_into().expect("8 bytes"))
            }
        }
    }

    /// The document that holds a token: the last that starts at or before it.
    pub(super) fn document_at(&self, token_offset: u64) -> u64 {
        // Invariant: start(low) <= token_offset < start(high).
        let (mut low, mut high) = (0, self.n_documents());
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if self.start(middle) <= token_offset {
                low = middle
            } else {
                high = middle
            }
        }
        low
    }
}

/// Builds a table of starts.
pub(super) struct TableBuilder {
    spool: Spool,
    n_documents: u64,
}

impl TableBuilder {
    pub(super) fn create() -> Result<Self, TokensError> {
        Ok(Self {
            spool: Spool::create()?,
            n_documents: 0,
        })
    }

    pub(super) fn push_start(&mut self, token_offset: u64) -> Result<(), TokensError> {
        self.n_documents += 1;
        self.spool.write(&token_offset.to_le_bytes())
    }

    pub(super) fn finish(mut self, n_tokens: u64) -> Result<DocumentIndex, TokensError> {
        self.spool.write(&n_tokens.to_le_bytes())?;
        Ok(DocumentIndex::Table {
            starts: self.spool.into_map()?,
            n_documents: self.n_documents,
        })
    }
}

/// Documents of a raw file: each ends with `eod`, the last perhaps without.
pub(super) fn split_at_eod(tokens: &TokenFile, eod: u32) -> Result<DocumentIndex, TokensError> {
    let mut table = TableBuilder::create()?;
    let mut at_start = true;
    let mut written = Ok(());
    tokens.for_each_block(0..tokens.n_tokens(), |offset, ids| {
        for (token, &id) in (offset..).zip(ids) {
            if at_start && written.is_ok() {
                written = table.push_start(token);
            }
            at_start = id == eod;
        }
    });
    written?;
    table.finish(tokens.n_tokens())
}
