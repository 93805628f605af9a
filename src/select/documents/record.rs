//! Rows of the sorts, which are in bounded memory.

use crate::shards::{DocumentRow, DocumentScore};
use crate::storage::Record;

/// A document on its way through the ranking.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ranked {
    /// Documents of a group have one ranking.
    pub(super) group: u64,
    /// What it is sorted by in its group; ties are by `doc_index`.
    pub(super) key: u64,
    pub(super) doc_index: u64,
    /// NaN where there is none.
    pub(super) score: f64,
    pub(super) n_tokens: u64,
    /// Its place, or [`NO_RANK`].
    pub(super) rank: u64,
    pub(super) kept: bool,
}

/// The rank of a document that may not be taken.
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

/// A document on its way to the same one of other labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Joining {
    /// What the two have in common.
    pub(super) key: [u64; 2],
    pub(super) doc_index: u64,
    /// NaN where there is none.
    pub(super) score: f64,
    /// Bytes of its text, or [`NO_BYTES`].
    pub(super) n_bytes: u64,
    /// Targets that the score is over.
    pub(super) n_targets: u64,
    /// How much of the document they are.
    pub(super) extent: Extent,
}

/// How much of a document is labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every target.
    Whole,
    /// Not every one.
    Part,
    /// That is not known: the set does not know its corpus's documents, or the NLL is infinite.
    Unknown,
}

impl Extent {
    /// That of a document of labels that know their corpus's list of documents, or do not. Bits per byte are
    /// there exactly if all of it is labelled, that is known, and the NLL is finite.
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

/// The bytes of a text that are not known.
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

/// The score of a document less that of the same one elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Difference {
    pub(super) doc_index: u64,
    /// NaN where there is none.
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
