//! Counts documents by their ids, in bounded memory.

use crate::corpus::DocumentId;
use crate::storage::{Record, Sorter, StorageError, words};
use std::path::Path;

/// What was seen of the ids.
pub(super) struct IdCounts {
    pub(super) n_without: u64,
    pub(super) n_other: u64,
    hashes: Sorter<IdHash>,
}

impl IdCounts {
    /// Spills into `dir`.
    pub(super) fn new(dir: &Path) -> Self {
        IdCounts {
            n_without: 0,
            n_other: 0,
            hashes: Sorter::new(dir, Sorter::<IdHash>::RUN_ROWS),
        }
    }

    /// Counts one document and returns its id, if valid.
    pub(super) fn add<'a>(&mut self, id: &'a DocumentId) -> Result<Option<&'a str>, StorageError> {
        match id {
            DocumentId::Absent => self.n_without += 1,
            DocumentId::Other => self.n_other += 1,
            DocumentId::Known(id) => {
                self.hashes.push(IdHash::of(id))?;
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Documents that repeat the id of an earlier one.
    pub(super) fn n_repeated(self) -> Result<u64, StorageError> {
        let (mut n_repeated, mut before) = (0, None);
        for hash in self.hashes.into_sorted()? {
            let hash = hash?;
            n_repeated += u64::from(before == Some(hash));
            before = Some(hash);
        }
        Ok(n_repeated)
    }
}

/// 128 bits of an id's BLAKE3: the chance that any two of 10^12 different ids share them is below 10^-14.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IdHash([u64; 2]);

impl IdHash {
    fn of(id: &str) -> Self {
        IdHash(words(blake3::hash(id.as_bytes()).as_bytes()))
    }
}

impl Record for IdHash {
    type Words = [u64; 2];
    type Place = [u64; 2];

    fn place(&self) -> [u64; 2] {
        self.0
    }

    fn to_words(&self) -> [u64; 2] {
        self.0
    }

    fn from_words(words: [u64; 2]) -> Self {
        IdHash(words)
    }
}
