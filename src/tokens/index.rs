//! Where documents start, in whatever way the file records it.
//!
//! The starts are copied when a corpus is opened, so later changes of an index cannot move a document.

use super::error::TokensError;
use super::megatron::IdxLayout;
use super::spool::Spool;
use memmap2::Mmap;

/// Starts kept in memory, 8 bytes each; if there are more, all go to an unlinked temporary file.
const MAX_IN_MEMORY: usize = 1 << 23;

/// Documents of a corpus; starts are token offsets, non-decreasing.
pub(super) enum DocumentIndex {
    /// The file is one document.
    Whole { n_tokens: u64 },
    /// The start of each document, and the number of tokens at the end.
    Memory(Vec<u64>),
    /// The same, little-endian.
    Temporary { starts: Mmap, n_documents: u64 },
}

impl DocumentIndex {
    /// The documents of an `.idx` that was validated.
    pub(super) fn of_megatron(idx: &[u8], layout: &IdxLayout) -> Result<Self, TokensError> {
        let mut table = TableBuilder::default();
        for document in 0..layout.n_documents {
            table.push_start(layout.document_start(idx, document))?;
        }
        table.finish(layout.n_tokens)
    }

    pub(super) fn n_documents(&self) -> u64 {
        match self {
            DocumentIndex::Whole { n_tokens } => u64::from(*n_tokens > 0),
            DocumentIndex::Memory(starts) => starts.len() as u64 - 1,
            DocumentIndex::Temporary { n_documents, .. } => *n_documents,
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
            DocumentIndex::Memory(starts) => starts[document as usize],
            DocumentIndex::Temporary { starts, .. } => {
                let at = document as usize * 8;
                u64::from_le_bytes(starts[at..at + 8].try_into().expect("8 bytes"))
            }
        }
    }

    /// The document that contains a token: the last that starts at or before it.
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
#[derive(Default)]
pub(super) struct TableBuilder {
    /// Those not in the spool.
    starts: Vec<u64>,
    spool: Option<Spool>,
    n_documents: u64,
}

impl TableBuilder {
    pub(super) fn push_start(&mut self, token_offset: u64) -> Result<(), TokensError> {
        self.n_documents += 1;
        self.push(token_offset)
    }

    fn push(&mut self, token_offset: u64) -> Result<(), TokensError> {
        self.starts.push(token_offset);
        if self.starts.len() < MAX_IN_MEMORY {
            return Ok(());
        }
        if self.spool.is_none() {
            self.spool = Some(Spool::create()?);
        }
        self.spill()
    }

    /// Moves what is in memory to the spool, if there is one.
    fn spill(&mut self) -> Result<(), TokensError> {
        if let Some(spool) = &mut self.spool {
            for start in self.starts.drain(..) {
                spool.write(&start.to_le_bytes())?;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, n_tokens: u64) -> Result<DocumentIndex, TokensError> {
        self.push(n_tokens)?;
        self.spill()?;
        Ok(match self.spool {
            None => DocumentIndex::Memory(self.starts),
            Some(spool) => DocumentIndex::Temporary {
                starts: spool.into_map()?,
                n_documents: self.n_documents,
            },
        })
    }
}
