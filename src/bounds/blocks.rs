//! Which positions form one block in the estimate of a standard error.

use crate::shards::Row;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Maximum number of blocks of neighbouring documents, which bounds the memory.
pub const MAX_BLOCKS: usize = 4_096;
/// Below this many documents from first to last, blocks are of sequences instead.
const MIN_DOCUMENTS: u64 = 16;
/// Number of blocks of neighbouring sequences if there are too few documents.
const N_SEQUENCE_BLOCKS: usize = 64;

/// What a block of text consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlockUnit {
    /// A document, or neighbouring ones where there are more than [`MAX_BLOCKS`]. A sequence belongs to the
    /// document in which it begins.
    Documents,
    /// Neighbouring sequences, for a corpus of few documents. Neighbouring blocks may then be of one document
    /// and so not independent: the standard error is too small by an unknown amount.
    Sequences,
}

/// Maps a row to its block.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Blocks {
    pub(super) of: BlockUnit,
    /// Documents or sequences, from the first to one past the last.
    range: Range<u64>,
    pub(super) n: usize,
}

/// Ranges of the documents and sequences seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Extent {
    documents: Option<Range<u64>>,
    sequences: Option<Range<u64>>,
}

impl Extent {
    pub(super) fn add(&mut self, row: &Row) {
        widen(&mut self.documents, row.first_doc_index);
        widen(&mut self.sequences, row.seq_id);
    }

    /// `None` if there was no row.
    pub(super) fn blocks(self) -> Option<Blocks> {
        let documents = self.documents?;
        if documents.end - documents.start >= MIN_DOCUMENTS {
            return Some(Blocks::new(BlockUnit::Documents, documents, MAX_BLOCKS));
        }
        let sequences = self.sequences?;
        Some(Blocks::new(
            BlockUnit::Sequences,
            sequences,
            N_SEQUENCE_BLOCKS,
        ))
    }
}

fn widen(range: &mut Option<Range<u64>>, value: u64) {
    let end = value.saturating_add(1);
    *range = Some(match range.take() {
        None => value..end,
        Some(range) => range.start.min(value)..range.end.max(end),
    });
}

impl Blocks {
    fn new(of: BlockUnit, range: Range<u64>, max: usize) -> Self {
        let n = (range.end - range.start).min(max as u64) as usize;
        Blocks { of, range, n }
    }

    /// Index of the row's block, below `n`.
    pub(super) fn block_of(&self, row: &Row) -> usize {
        let place = match self.of {
            BlockUnit::Documents => row.first_doc_index,
            BlockUnit::Sequences => row.seq_id,
        };
        let last = self.range.end - 1;
        let place = place.clamp(self.range.start, last) - self.range.start;
        let length = self.range.end - self.range.start;
        (u128::from(place) * self.n as u128 / u128::from(length)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seq_id: u64, first_doc_index: u64) -> Row {
        Row {
            seq_id,
            first_doc_index,
            ..Row::default()
        }
    }

    fn blocks_of(rows: impl Iterator<Item = Row>) -> Blocks {
        let mut extent = Extent::default();
        rows.for_each(|row| extent.add(&row));
        extent.blocks().unwrap()
    }

    #[test]
    fn up_to_the_maximum_every_document_is_a_block() {
        let blocks = blocks_of((0..60).map(|i| row(i, 100 + i / 3)));
        assert_eq!((blocks.of, blocks.n), (BlockUnit::Documents, 20));
        let found: Vec<usize> = (0..60)
            .map(|i| blocks.block_of(&row(i, 100 + i / 3)))
            .collect();
        assert_eq!(found, (0..60).map(|i| i / 3).collect::<Vec<_>>());
    }

    #[test]
    fn more_documents_share_blocks_evenly() {
        let n = 3 * MAX_BLOCKS as u64;
        let blocks = blocks_of([0, n - 1].into_iter().map(|i| row(i, i)));
        assert_eq!(blocks.n, MAX_BLOCKS);
        let mut counts = vec![0; blocks.n];
        (0..n).for_each(|i| counts[blocks.block_of(&row(i, i))] += 1);
        assert!(counts.iter().all(|&count| count == 3));
    }

    #[test]
    fn a_corpus_of_one_document_is_cut_into_runs_of_sequences() {
        let blocks = blocks_of((0..6_400).map(|i| row(i, 0)));
        assert_eq!(
            (blocks.of, blocks.n),
            (BlockUnit::Sequences, N_SEQUENCE_BLOCKS)
        );
        assert_eq!(
            [0, 99, 100, 6_399].map(|i| blocks.block_of(&row(i, 0))),
            [0, 0, 1, 63]
        );
    }
}
