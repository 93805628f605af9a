//! Sorting in bounded memory: sorted runs go to an unlinked temporary file and are then merged.

use super::StorageError;
use rayon::prelude::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of a run, which is sorted in memory.
const RUN_BYTES: usize = 20 << 20;
/// Rows read from a run at a time.
const READ_ROWS: usize = 1 << 10;

/// A sortable row, with a sort key and a fixed number of words in a temporary file.
pub(crate) trait Record: Copy + Send + Sync {
    /// An array of `u64`.
    type Words: Default + AsRef<[u64]> + AsMut<[u64]>;

    /// Bytes per row in the file.
    const BYTES: usize = size_of::<Self::Words>();

    /// The sort key. Rows with equal keys come in any order.
    type Place: Ord + Send;

    /// The sort key of this row.
    fn place(&self) -> Self::Place;

    /// The row as stored in the file.
    fn to_words(&self) -> Self::Words;

    /// The inverse of [`to_words`](Self::to_words).
    fn from_words(words: Self::Words) -> Self;
}

/// The first little-endian words of `bytes`, as many as the array holds.
pub(crate) fn words<W: Default + AsMut<[u64]>>(bytes: &[u8]) -> W {
    let mut words = W::default();
    let chunks = bytes.as_chunks().0.iter();
    for (word, chunk) in words.as_mut().iter_mut().zip(chunks) {
        *word = u64::from_le_bytes(*chunk);
    }
    words
}

fn append_to<R: Record>(row: &R, bytes: &mut Vec<u8>) {
    for word in row.to_words().as_ref() {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
}

/// Takes rows in any order and returns them sorted.
pub(crate) struct Sorter<R: Record> {
    /// Where the temporary file goes.
    dir: PathBuf,
    run_rows: usize,
    run: Vec<R>,
    spilled: Option<Spilled>,
}

struct Spilled {
    file: File,
    /// Rows per run; each starts where the one before it ends.
    n_rows: Vec<u64>,
}

impl<R: Record> Sorter<R> {
    /// Rows per run by default, about 20 MiB.
    pub(crate) const RUN_ROWS: usize = RUN_BYTES / R::BYTES;

    /// Spills into `dir` once there are more than `run_rows` rows.
    pub(crate) fn new(dir: &Path, run_rows: usize) -> Self {
        Sorter {
            dir: dir.to_path_buf(),
            run_rows: run_rows.max(1),
            run: Vec::new(),
            spilled: None,
        }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: R) -> Result<(), StorageError> {
        if self.run.len() >= self.run_rows {
            self.spill()?;
        }
        self.run.push(row);
        Ok(())
    }

    fn spill(&mut self) -> Result<(), StorageError> {
        let io = |source| fault(&self.dir, source);
        self.run.par_sort_unstable_by_key(R::place);
        let spilled = match &mut self.spilled {
            Some(spilled) => spilled,
            none => none.insert(Spilled {
                file: tempfile::tempfile_in(&self.dir).map_err(io)?,
                n_rows: Vec::new(),
            }),
        };
        let mut bytes = Vec::with_capacity(READ_ROWS * R::BYTES);
        for rows in self.run.chunks(READ_ROWS) {
            bytes.clear();
            rows.iter().for_each(|row| append_to(row, &mut bytes));
            debug_assert_eq!(bytes.len(), rows.len() * R::BYTES);
            spilled.file.write_all(&bytes).map_err(io)?;
        }
        spilled.n_rows.push(self.run.len() as u64);
        self.run.clear();
        Ok(())
    }

    /// All rows, sorted.
    pub(crate) fn into_sorted(mut self) -> Result<Sorted<R>, StorageError> {
        if self.spilled.is_some() && !self.run.is_empty() {
            self.spill()?;
        }
        let Some(spilled) = self.spilled else {
            self.run.par_sort_unstable_by_key(R::place);
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

fn fault(dir: &Path, source: std::io::Error) -> StorageError {
    StorageError::io("sort in a temporary file in", dir, source)
}

/// Sorted rows, in turn.
pub(crate) enum Sorted<R: Record> {
    /// All fit in memory.
    Memory(std::vec::IntoIter<R>),
    /// Merged from the temporary file.
    Merge(Merge<R>),
}

impl<R: Record> Iterator for Sorted<R> {
    type Item = Result<R, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Sorted::Memory(rows) => rows.next().map(Ok),
            Sorted::Merge(merge) => merge.next_row().transpose(),
        }
    }
}

/// Merges the runs.
pub(crate) struct Merge<R: Record> {
    dir: PathBuf,
    runs: Vec<Run<R>>,
    /// The first row of each run that has one.
    heads: BinaryHeap<Reverse<RunHead<R>>>,
}

/// The first row of a run, ordered by its sort key.
struct RunHead<R> {
    row: R,
    run: usize,
}

impl<R: Record> PartialEq for RunHead<R> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<R: Record> Eq for RunHead<R> {}
impl<R: Record> PartialOrd for RunHead<R> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<R: Record> Ord for RunHead<R> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.row.place().cmp(&other.row.place())
    }
}

/// A sorted range of rows in the file.
struct Run<R> {
    file: Arc<File>,
    next: u64,
    end: u64,
    ready: std::vec::IntoIter<R>,
}

impl<R: Record> Run<R> {
    fn next_row(&mut self) -> std::io::Result<Option<R>> {
        if let Some(row) = self.ready.next() {
            return Ok(Some(row));
        }
        let n_rows = (self.end - self.next).min(READ_ROWS as u64);
        let mut bytes = vec![0; n_rows as usize * R::BYTES];
        self.file
            .read_exact_at(&mut bytes, self.next * R::BYTES as u64)?;
        self.next += n_rows;
        let rows = bytes.chunks(R::BYTES).map(words).map(R::from_words);
        self.ready = rows.collect::<Vec<R>>().into_iter();
        Ok(self.ready.next())
    }
}

impl<R: Record> Merge<R> {
    fn next_row(&mut self) -> Result<Option<R>, StorageError> {
        let Some(Reverse(RunHead { row, run })) = self.heads.pop() else {
            return Ok(None);
        };
        self.advance(run)?;
        Ok(Some(row))
    }

    /// Adds the next row of a run to the heads.
    fn advance(&mut self, run: usize) -> Result<(), StorageError> {
        let row = self.runs[run]
            .next_row()
            .map_err(|source| fault(&self.dir, source))?;
        if let Some(row) = row {
            self.heads.push(Reverse(RunHead { row, run }));
        }
        Ok(())
    }
}
