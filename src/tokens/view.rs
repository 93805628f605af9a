//! Sequences as a view over a corpus.
//!
//! With N tokens and at most T predicted positions per sequence:
//!
//! - `concat`: documents concatenated; sequence i holds tokens `[iT, iT + T]`, so neighbours
//!   share a token and no target is lost; ceil((N - 1) / T) sequences.
//! - `document`: the same within each document, chunks numbered in document order.
//! - With a sequence BOS: that id, then tokens `[iT, iT + T)`; ceil(N / T) sequences.
//!
//! For `document` packing only every 256th prefix sum is kept, 8 bytes each; the rest is computed on demand from the
//! corpus's own index.

use super::corpus::TokenCorpus;
use super::error::TokensError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Documents between two stored prefix sums.
const SPACING: u64 = 256;

/// How documents are put into sequences.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// One after the other; sequences run across their boundaries.
    Concat,
    /// Each cut into its own sequences.
    Document,
}

/// How to divide a corpus into sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewOptions {
    /// How documents are put into sequences.
    pub packing: Packing,
    /// T, the most predicted positions per sequence.
    pub seq_len: u32,
    /// An id to put in front of every sequence.
    pub sequence_bos: Option<u32>,
}

/// One sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// Its number.
    pub seq_id: u64,
    /// n_targets + 1 ids.
    pub input_ids: Vec<u32>,
    /// Offsets in `input_ids` at which documents start (a sequence BOS counts as offset 0), increasing. The first is
    /// always 0, for the document of the first token, wherever that one started.
    pub doc_starts: Vec<u32>,
    /// The documents, one for each of `doc_starts`; empty documents are not listed.
    pub doc_indices: Vec<u64>,
}

/// The sequences of a corpus, by number.
pub struct SequenceView<'a> {
    corpus: &'a TokenCorpus,
    options: ViewOptions,
    n_sequences: u64,
    n_targets: u64,
    /// For `document` packing: number of sequences before document 0, 256, 512, …
    sequences_before: Vec<u64>,
}

/// The tokens of the corpus in one sequence.
struct Span {
    start: u64,
    n_tokens: u64,
    document: Option<u64>,
}

impl<'a> SequenceView<'a> {
    /// Divides a corpus; `document` packing takes one pass over the document index.
    ///
    /// # Errors
    /// A sequence length of 0.
    pub fn new(corpus: &'a TokenCorpus, options: ViewOptions) -> Result<Self, TokensError> {
        if options.seq_len == 0 {
            return Err(TokensError::ZeroSeqLen);
        }
        let mut view = Self {
            corpus,
            options,
            n_sequences: 0,
            n_targets: 0,
            sequences_before: Vec::new(),
        };
        match view.options.packing {
            Packing::Concat => {
                view.n_sequences = view.sequences_of(corpus.n_tokens());
                view.n_targets = view.targets_of(corpus.n_tokens());
            }
            Packing::Document => view.add_up_documents(),
        }
        Ok(view)
    }

    fn add_up_documents(&mut self) {
        let mut start = 0;
        for document in 0..self.corpus.n_documents() {
            if document % SPACING == 0 {
                self.sequences_before.push(self.n_sequences);
            }
            let end = self.corpus.document_start(document + 1);
            self.n_sequences += self.sequences_of(end - start);
            self.n_targets += self.targets_of(end - start);
            start = end;
        }
    }

    /// Number of sequences.
    pub fn len(&self) -> u64 {
        self.n_sequences
    }

    /// Whether there are no sequences.
    pub fn is_empty(&self) -> bool {
        self.n_sequences == 0
    }

    /// Number of predicted positions in all sequences.
    pub fn n_targets(&self) -> u64 {
        self.n_targets
    }

    /// The corpus.
    pub fn corpus(&self) -> &'a TokenCorpus {
        self.corpus
    }

    /// The options.
    pub fn options(&self) -> &ViewOptions {
        &self.options
    }

    /// Reads one sequence.
    ///
    /// # Errors
    /// I/O, or a file that was truncated since it was opened.
    ///
    /// # Panics
    /// Past the last sequence.
    pub fn read(&self, seq_id: u64) -> Result<Sequence, TokensError> {
        let span = self.span(seq_id);
        let n_bos = self.options.sequence_bos.iter().len();
        let mut input_ids = vec![0; n_bos + span.n_tokens as usize];
        if let Some(bos) = self.options.sequence_bos {
            input_ids[0] = bos;
        }
        self.corpus
            .copy_tokens(span.start, &mut input_ids[n_bos..])?;
        let (doc_starts, doc_indices) = self.documents_of(&span);
        Ok(Sequence {
            seq_id,
            input_ids,
            doc_starts,
            doc_indices,
        })
    }

    /// Number of predicted positions of one sequence, at least 1.
    ///
    /// # Panics
    /// Past the last sequence.
    pub fn n_targets_of(&self, seq_id: u64) -> u32 {
        self.targets_of(self.span(seq_id).n_tokens) as u32
    }

    /// Offset in the corpus of the first token of one sequence (after the sequence BOS).
    ///
    /// # Panics
    /// Past the last sequence.
    pub fn token_offset(&self, seq_id: u64) -> u64 {
        self.span(seq_id).start
    }

    fn seq_len(&self) -> u64 {
        u64::from(self.options.seq_len)
    }

    /// Predicted positions among `n_tokens` tokens: all with a sequence BOS, else all but the first.
    fn targets_of(&self, n_tokens: u64) -> u64 {
        n_tokens.saturating_sub(u64::from(self.options.sequence_bos.is_none()))
    }

    fn sequences_of(&self, n_tokens: u64) -> u64 {
        self.targets_of(n_tokens).div_ceil(self.seq_len())
    }

    fn span(&self, seq_id: u64) -> Span {
        assert!(
            seq_id < self.n_sequences,
            "sequence {seq_id} of {}",
            self.n_sequences
        );
        match self.options.packing {
            Packing::Concat => self.chunk(seq_id, 0, self.corpus.n_tokens(), None),
            Packing::Document => {
                let (document, chunk, start, end) = self.locate(seq_id);
                self.chunk(chunk, start, end, Some(document))
            }
        }
    }

    /// Chunk number `chunk` of tokens `start..end`.
    fn chunk(&self, chunk: u64, start: u64, end: u64, document: Option<u64>) -> Span {
        let n_shared = u64::from(self.options.sequence_bos.is_none());
        let start = start + chunk * self.seq_len();
        Span {
            start,
            n_tokens: (end - start).min(self.seq_len() + n_shared),
            document,
        }
    }

    /// Document, chunk in it, and the document's first and last + 1 token, of a sequence in `document` packing.
    fn locate(&self, seq_id: u64) -> (u64, u64, u64, u64) {
        let kept = self
            .sequences_before
            .partition_point(|&before| before <= seq_id)
            - 1;
        let mut chunk = seq_id - self.sequences_before[kept];
        let mut document = kept as u64 * SPACING;
        let mut start = self.corpus.document_start(document);
        loop {
            let end = self.corpus.document_start(document + 1);
            let n_sequences = self.sequences_of(end - start);
            if chunk < n_sequences {
                return (document, chunk, start, end);
            }
            chunk -= n_sequences;
            document += 1;
            start = end;
        }
    }

    fn documents_of(&self, span: &Span) -> (Vec<u32>, Vec<u64>) {
        if let Some(document) = span.document {
            return (vec![0], vec![document]);
        }
        let end = span.start + span.n_tokens;
        let bos_offset = u64::from(self.options.sequence_bos.is_some());
        let mut document = self.corpus.document_at(span.start);
        let (mut doc_starts, mut doc_indices) = (vec![0], vec![document]);
        loop {
            let start = self.corpus.document_start(document + 1);
            if start >= end {
                return (doc_starts, doc_indices);
            }
            document = self.document_starting_at(start, document + 1);
            doc_starts.push((start - span.start + bos_offset) as u32);
            doc_indices.push(document);
        }
    }

    /// The non-empty document that starts at `start`; usually `candidate`, which starts there.
    fn document_starting_at(&self, start: u64, candidate: u64) -> u64 {
        if self.corpus.document_start(candidate + 1) > start {
            return candidate;
        }
        self.corpus.document_at(start)
    }
}

#[cfg(test)]
mod tests;
