//! Rows of the sorts, which are in bounded memory.

use crate::storage::{Record, words};

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
    const BYTES: usize = 56;
    type Place = (u64, u64, u64);

    fn place(&self) -> (u64, u64, u64) {
        (self.group, self.key, self.doc_index)
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        for word in [
            self.group,
            self.key,
            self.doc_index,
            self.score.to_bits(),
            self.n_tokens,
            self.rank,
            u64::from(self.kept),
        ] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = words(bytes);
        let mut word = || words.next().unwrap_or_default();
        Ranked {
            group: word(),
            key: word(),
            doc_index: word(),
            score: f64::from_bits(word()),
            n_tokens: word(),
            rank: word(),
            kept: word() != 0,
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
    const BYTES: usize = 48;
    type Place = ([u64; 2], u64);

    fn place(&self) -> ([u64; 2], u64) {
        (self.key, self.doc_index)
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        for word in [
            self.key[0],
            self.key[1],
            self.doc_index,
            self.score.to_bits(),
            self.n_bytes,
            self.n_targets,
        ] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = words(bytes);
        let mut word = || words.next().unwrap_or_default();
        Joining {
            key: [word(), word()],
            doc_index: word(),
            score: f64::from_bits(word()),
            n_bytes: word(),
            n_targets: word(),
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
    const BYTES: usize = 16;
    type Place = u64;

    fn place(&self) -> u64 {
        self.doc_index
    }

    fn append_to(&self, bytes: &mut Vec<u8>) {
        for word in [self.doc_index, self.score.to_bits()] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = words(bytes);
        let mut word = || words.next().unwrap_or_default();
        Difference {
            doc_index: word(),
            score: f64::from_bits(word()),
        }
    }
}
