//! Rows of the sorts, which are in bounded memory.

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
}

/// The bytes of a text that are not known.
pub(super) const NO_BYTES: u64 = u64::MAX;

impl Record for Joining {
    type Words = [u64; 6];
    type Place = ([u64; 2], u64);

    fn place(&self) -> ([u64; 2], u64) {
        (self.key, self.doc_index)
    }

    fn to_words(&self) -> [u64; 6] {
        let [first, second] = self.key;
        let score = self.score.to_bits();
        let (n_bytes, n_targets) = (self.n_bytes, self.n_targets);
        [first, second, self.doc_index, score, n_bytes, n_targets]
    }

    fn from_words([first, second, doc_index, score, n_bytes, n_targets]: [u64; 6]) -> Self {
        Joining {
            key: [first, second],
            doc_index,
            score: f64::from_bits(score),
            n_bytes,
            n_targets,
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
