//! Rows of the sorters, in bounded memory.

use crate::shards::{DocumentRow, DocumentScore};
use crate::storage::Record;

/// A document to be ranked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    /// Each group of documents has its own ranking.
    pub(super) group: u64,
    /// The sort key within its group; ties are by `doc_index`.
    pub(super) key: u64,
    pub(super) doc_index: u64,
    /// NaN if there is none.
    pub(super) score: f64,
    pub(super) n_tokens: u64,
    /// Its rank, or [`NO_RANK`].
    pub(super) rank: u64,
    pub(super) kept: bool,
}

/// The rank of a document that is not eligible.
pub(super) const NO_RANK: u64 = u64::MAX;

impl Record for Ranked {
    type Words = [u64; 7];
    type Place = (u64, u64, u64);

    fn place(&self) -> (u64, u64, u64) {
        (self.group, self.key, self.doc_index)
    }

    fn to_words(&self) -> [u64; 7] {
        [
            self.group,
            self.key,
            self.doc_index,
            self.score.to_bits(),
            self.n_tokens,
            self.rank,
            u64::from(self.kept),
        ]
    }

    fn from_words([group, key, doc_index, score, n_tokens, rank, kept]: [u64; 7]) -> Self {
        Ranked {
            group,
            key,
            doc_index,
            score: f64::from_bits(score),
            n_tokens,
            rank,
            kept: kept != 0,
        }
    }
}

/// A document to be matched with the same one in other labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Joining {
    /// The key that both have in common.
    pub(super) key: [u64; 2],
    pub(super) doc_index: u64,
    /// NaN if there is none.
    pub(super) score: f64,
    /// Bytes of its text, or [`NO_BYTES`].
    pub(super) n_bytes: u64,
    /// Targets covered by the score.
    pub(super) n_targets: u64,
    /// How much of the document they cover.
    pub(super) extent: Extent,
}

/// How much of a document is labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every target.
    Whole,
    /// Not every target.
    Part,
    /// Unknown: the set lacks its corpus's list of documents, or the NLL is infinite.
    Unknown,
}

impl Extent {
    /// The extent of a document, depending on whether its labels have the corpus's list of documents. Bits per byte
    /// exist exactly if the document is known to be completely labelled and its NLL is finite.
    pub(super) fn of(row: &DocumentRow, has_sources: bool) -> Self {
        let has = |score| row.score(score).is_some();
        match has(DocumentScore::BitsPerByte) {
            true => Extent::Whole,
            false if has_sources && has(DocumentScore::NllSum) => Extent::Part,
            false => Extent::Unknown,
        }
    }

    const ALL: [Extent; 3] = [Extent::Whole, Extent::Part, Extent::Unknown];
}

/// Stands for an unknown number of bytes.
pub(super) const NO_BYTES: u64 = u64::MAX;

impl Record for Joining {
    type Words = [u64; 7];
    type Place = ([u64; 2], u64);

    fn place(&self) -> ([u64; 2], u64) {
        (self.key, self.doc_index)
    }

    fn to_words(&self) -> [u64; 7] {
        let [first, second] = self.key;
        let score = self.score.to_bits();
        let (n_bytes, n_targets) = (self.n_bytes, self.n_targets);
        let extent = self.extent as u64;
        [
            first,
            second,
            self.doc_index,
            score,
            n_bytes,
            n_targets,
            extent,
        ]
    }

    fn from_words(words: [u64; 7]) -> Self {
        let [first, second, doc_index, score, n_bytes, n_targets, extent] = words;
        Joining {
            key: [first, second],
            doc_index,
            score: f64::from_bits(score),
            n_bytes,
            n_targets,
            extent: Extent::ALL[(extent as usize).min(2)],
        }
    }
}

/// The score of a document minus that of the same document in other labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Difference {
    pub(super) doc_index: u64,
    /// NaN if there is none.
    pub(super) score: f64,
}

impl Record for Difference {
    type Words = [u64; 2];
    type Place = u64;

    fn place(&self) -> u64 {
        self.doc_index
    }

    fn to_words(&self) -> [u64; 2] {
        [self.doc_index, self.score.to_bits()]
    }

    fn from_words([doc_index, score]: [u64; 2]) -> Self {
        Difference {
            doc_index,
            score: f64::from_bits(score),
        }
    }
}
