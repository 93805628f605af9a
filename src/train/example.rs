//! One sequence as training sees it.

use crate::shards::Row;
use crate::signals::PositionSignals;
use crate::tokens::Sequence;

/// One sequence to train on, with the teacher's signals if it has labels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Example {
    /// Its number in the view of its corpus.
    pub seq_id: u64,
    /// `[n_targets + 1]`; position t predicts `input_ids[t + 1]`.
    pub input_ids: Vec<u32>,
    /// Offsets in `input_ids` at which documents start; the first is 0.
    pub doc_starts: Vec<u32>,
    /// The teacher's signals over the n_targets positions; lists of groups that are not stored or not read are
    /// empty. With several teachers, those of the first, except that the group `stats` represents all of them.
    pub signals: Option<PositionSignals>,
    /// Signals of the further teachers.
    pub others: Vec<PositionSignals>,
    /// `[n_targets]` index of the teacher from which each position learns; empty if it learns from all.
    pub chosen_t: Vec<u8>,
}

impl Example {
    /// Predicted positions.
    pub fn n_targets(&self) -> usize {
        self.input_ids.len().saturating_sub(1)
    }

    /// Positions whose target is the first token of a new document, in increasing order.
    pub fn document_boundary_targets(&self) -> impl Iterator<Item = usize> {
        let starts = self.doc_starts.windows(2);
        let others = starts.filter(|pair| pair[0] < pair[1]);
        others.map(|pair| pair[1] as usize - 1)
    }
}

impl From<Row> for Example {
    fn from(row: Row) -> Self {
        Example {
            seq_id: row.seq_id,
            input_ids: row.input_ids,
            doc_starts: row.doc_starts,
            signals: Some(row.signals),
            others: Vec::new(),
            chosen_t: Vec::new(),
        }
    }
}

impl From<Sequence> for Example {
    fn from(sequence: Sequence) -> Self {
        Example {
            seq_id: sequence.seq_id,
            input_ids: sequence.input_ids,
            doc_starts: sequence.doc_starts,
            signals: None,
            others: Vec::new(),
            chosen_t: Vec::new(),
        }
    }
}
