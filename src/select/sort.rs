//! Sorting in bounded memory: sorted runs go to an unlinked temporary file and are merged from there.

use crate::storage::StorageError;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of a run: 40 bytes each, so 20 MiB.
pub(super) const RUN_ROWS: usize = 1 << 19;
/// Rows that are read of a run at a time: 40 KiB.
const READ_ROWS: usize = 1 << 10;
/// Bytes of a row in the file.
const ROW_BYTES: usize = 40;

/// A row on its way through the sorts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Keyed {
    /// What it is sorted by; ties are by `seq_id`.
    pub(super) key: u64,
    pub(super) seq_id: u64,
    /// NaN where there is none.
    pub(super) score: f64,
    /// What else the next stage wants to know.
    pub(super) extra: u64,
    pub(super) n_targets: u32,
    /// To look at, not to decide by.
    pub(super) learnable_fraction: f32,
}

impl Keyed {
    fn place(&self) -> (u64, u64) {
        (self.key, self.seq_id)
    }

    fn to_bytes(self) -> [u8; ROW_BYTES] {
        let mut bytes = [0; ROW_BYTES];
        bytes[..8].copy_from_slice(&self.key.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq_id.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.score.to_bits().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.extra.to_le_bytes());
        let rest = u64::from(self.learnable_fraction.to_bits()) << 32 | u64::from(self.n_targets);
        bytes[32..].copy_from_slice(&rest.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        Keyed {
            key: word(0),
            seq_id: word(8),
            score: f64::from_bits(word(16)),
            extra: word(24),
            n_targets: word(32) as u32,
            learnable_fraction: f32::from_bits((word(32) >> 32) as u32),
        }
    }
}

/// Takes rows in any order and gives them back sorted.
pub(super) struct Sorter {
    /// Where the temporary file goes.
    dir: PathBuf,
    run_rows: usize,
    run: Vec<Keyed>,
    spilled: Option<Spilled>,
}

struct Spilled {
    file: File,
    /// Rows of each run; one starts where the one before it ends.
    n_rows: Vec<u64>,
}

impl Sorter {
    /// Spills into `dir` once there are more than `run_rows` rows.
    pub(super) fn new(dir: &Path, run_rows: usize) -> Self {
        Sorter {
            dir: dir.to_path_buf(),
            run_rows: run_rows.max(1),
            run: Vec::new(),
            spilled: None,
        }
    }

    pub(super) fn push(&mut self, row: Keyed) -> Result<(), StorageError> {
        if self.run.len() >= self.run_rows {
            self.spill()?;
        }
        self.run.push(row);
        Ok(())
    }

    fn spill(&mut self) -> Result<(), StorageError> {
        let io = |source| StorageError::io("sort in a temporary file in", &self.dir, source);
        self.run.par_sort_unstable_by_key(Keyed::place);
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled {
                file: tempfile::tempfile_in(&self.dir).map_err(io)?,
                n_rows: Vec::new(),
            }),
        };
        for rows in self.run.chunks(READ_ROWS) {
            let bytes: Vec<u8> = rows.iter().flat_map(|row| row.to_bytes()).collect();
            spilled.file.write_all(&bytes).map_err(io)?;
        }
        spilled.n_rows.push(self.run.len() as u64);
        self.run.clear();
        Ok(())
    }

    /// All rows, sorted.
    pub(super) fn into_sorted(mut self) -> Result<Sorted, StorageError> {
        if self.spilled.is_some() && !self.run.is_empty() {
            self.spill()?;
        }
        let Some(spilled) = self.spilled else {
            self.run.par_sort_unstable_by_key(Keyed::place);
            return Ok(Sorted::Memory(self.run.into_iter()));
        };
        self.run = Vec::new();
        let file = Arc::new(spilled.file);
        let mut start = 0;
        let mut merge = Merge {
            dir: self.dir,
            runs: Vec::new(),
            heads: BinaryHeap::new(),
        };
        for n_rows in spilled.n_rows {
            merge.runs.push(Run {
                file: file.clone(),
                next: start,
                end: start + n_rows,
                ready: Vec::new().into_iter(),
            });
            start += n_rows;
        }
        for run in 0..merge.runs.len() {
            merge.advance(run)?;
        }
        Ok(Sorted::Merge(merge))
    }
}

/// Sorted rows, one after the other.
pub(super) enum Sorted {
    Memory(std::vec::IntoIter<Keyed>),
    Merge(Merge),
}

impl Iterator for Sorted {
    type Item = Result<Keyed, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Sorted::Memory(rows) => rows.next().map(Ok),
            Sorted::Merge(merge) => merge.next_row().transpose(),
        }
    }
}

pub(super) struct Merge {
    dir: PathBuf,
    runs: Vec<Run>,
    /// The first row of each run that has one.
    heads: BinaryHeap<Reverse<RunHead>>,
}

/// The first row of a run. Its place decides; no two rows have the same.
struct RunHead {
    row: Keyed,
    run: usize,
}

impl PartialEq for RunHead {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for RunHead {}
impl PartialOrd for RunHead {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for RunHead {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.row.place().cmp(&other.row.place())
    }
}

/// A sorted stretch of the file, in rows.
struct Run {
    file: Arc<File>,
    next: u64,
    end: u64,
    ready: std::vec::IntoIter<Keyed>,
}

impl Run {
    fn next_row(&mut self) -> std::io::Result<Option<Keyed>> {
        if let Some(row) = self.ready.next() {
            return Ok(Some(row));
        }
        let n_rows = (self.end - self.next).min(READ_ROWS as u64);
        let mut bytes = vec![0; n_rows as usize * ROW_BYTES];
        self.file
            .read_exact_at(&mut bytes, self.next * ROW_BYTES as u64)?;
        self.next += n_rows;
        let rows: Vec<Keyed> = bytes.chunks(ROW_BYTES).map(Keyed::from_bytes).collect();
        self.ready = rows.into_iter();
        Ok(self.ready.next())
    }
}

impl Merge {
    fn next_row(&mut self) -> Result<Option<Keyed>, StorageError> {
        let Some(Reverse(RunHead { row, run })) = self.heads.pop() else {
            return Ok(None);
        };
        self.advance(run)?;
        Ok(Some(row))
    }

    /// Puts the next row of a run among the heads.
    fn advance(&mut self, run: usize) -> Result<(), StorageError> {
        let row = self.runs[run]
            .next_row()
            .map_err(|source| StorageError::io("sort in a temporary file in", &self.dir, source))?;
        if let Some(row) = row {
            self.heads.push(Reverse(RunHead { row, run }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(rows: &[Keyed], run_rows: usize) -> Vec<Keyed> {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(dir.path(), run_rows);
        rows.iter().for_each(|&row| sorter.push(row).unwrap());
        // Nothing is seen of the temporary file.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        sorter.into_sorted().unwrap().map(Result::unwrap).collect()
    }

    proptest! {
        #[test]
        fn spilled_or_not_rows_come_as_a_plain_sort_gives_them(
            keys in prop::collection::vec(0..20u64, 0..3000),
            run_rows in 1..4000usize,
        ) {
            let row = |(seq_id, key): (usize, u64)| Keyed {
                key,
                seq_id: seq_id as u64 ^ 0x2a5,
                score: key as f64 - 0.5,
                extra: u64::MAX - key,
                n_targets: seq_id as u32,
                learnable_fraction: key as f32 / 20.0,
            };
            let rows: Vec<Keyed> = keys.into_iter().enumerate().map(row).collect();
            let mut expected = rows.clone();
            expected.sort_by_key(|row| (row.key, row.seq_id));
            prop_assert_eq!(sorted(&rows, run_rows), expected);
        }
    }
}
