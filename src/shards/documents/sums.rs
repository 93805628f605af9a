//! The sums of every document of a set, by increasing `doc_index`, in bounded memory.

use crate::shards::ShardsError;
use crate::shards::label_set::LabelSet;
use crate::shards::reader::ShardReader;
use crate::signals::TargetSums;
use crate::storage::{Record, Sorted, Sorter};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

/// A document's part of one sequence, to be sorted.
#[derive(Debug, Clone, Copy, PartialEq)]
struct PieceRecord {
    doc_index: u64,
    seq_id: u64,
    sums: TargetSums,
}

impl Record for PieceRecord {
    type Words = [u64; 8];
    /// Sequences are in text order.
    type Place = (u64, u64);

    fn place(&self) -> (u64, u64) {
        (self.doc_index, self.seq_id)
    }

    fn to_words(&self) -> [u64; 8] {
        let sums = &self.sums;
        [
            self.doc_index,
            self.seq_id,
            sums.n_targets,
            sums.n_learnable,
            sums.nll.to_bits(),
            sums.nll_learnable.to_bits(),
            sums.entropy.to_bits(),
            sums.topk_mass.to_bits(),
        ]
    }

    fn from_words(words: [u64; 8]) -> Self {
        let [doc_index, seq_id, n_targets, n_learnable, sums @ ..] = words;
        let [nll, nll_learnable, entropy, topk_mass] = sums.map(f64::from_bits);
        PieceRecord {
            doc_index,
            seq_id,
            sums: TargetSums {
                n_targets,
                n_learnable,
                nll,
                nll_learnable,
                entropy,
                topk_mass,
            },
        }
    }
}

/// The stored sums of a set's documents.
pub(super) enum Gathered {
    /// The sums of all of them.
    Sums(DocumentSums),
    /// This shard was made by a version that stores none.
    Without(u32),
}

/// Sums by increasing `doc_index`.
pub(super) struct DocumentSums(Peekable<Sorted<PieceRecord>>);

/// Reads the sums of every shard of a finished set, sorting `run_rows` in memory at a time.
pub(super) fn gather(set: &LabelSet, run_rows: usize) -> Result<Gathered, ShardsError> {
    let mut sorter = Sorter::new(&scratch(&set.dir), run_rows);
    for plan in &set.segments {
        for shard in plan.shards() {
            for rows in ShardReader::open_scores_checked(&set.dir, plan, shard)? {
                for row in rows? {
                    if row.pieces.is_empty() {
                        return Ok(Gathered::Without(shard));
                    }
                    for piece in row.pieces {
                        sorter.push(PieceRecord {
                            doc_index: piece.doc_index,
                            seq_id: row.seq_id,
                            sums: piece.sums,
                        })?;
                    }
                }
            }
        }
    }
    Ok(Gathered::Sums(DocumentSums(
        sorter.into_sorted()?.peekable(),
    )))
}

/// Rows per sorted run by default.
pub(super) const RUN_ROWS: usize = Sorter::<PieceRecord>::RUN_ROWS;

/// Where the temporary file goes: beside the labels, where there is space; elsewhere if that is not a local directory.
fn scratch(dir: &Path) -> PathBuf {
    match dir.is_dir() {
        true => dir.to_path_buf(),
        false => std::env::temp_dir(),
    }
}

impl Iterator for DocumentSums {
    type Item = Result<(u64, TargetSums), ShardsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.0.next()? {
            Ok(first) => first,
            Err(error) => return Some(Err(error.into())),
        };
        let mut sums = first.sums;
        let is_same = |next: &Result<PieceRecord, _>| matches!(next, Ok(next) if next.doc_index == first.doc_index);
        while let Some(Ok(next)) = self.0.next_if(is_same) {
            sums.add(&next.sums);
        }
        Some(Ok((first.doc_index, sums)))
    }
}
