//! One row of a shard: one labelled sequence.

use super::piece::Piece;
use crate::signals::{PositionSignals, Scores};

/// Everything stored for one sequence. In a set without positions files only `seq_id`, `first_doc_index`, `n_targets`,
/// `scores` and `pieces` are filled.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Number of the sequence in the view.
    pub seq_id: u64,
    /// Document of the sequence's first token.
    pub first_doc_index: u64,
    /// Predicted positions: `input_ids.len() - 1`, at most T.
    pub n_targets: u32,
    /// Selection scores.
    pub scores: Scores,
    /// Sums of each document with a target in the sequence, in order; empty if they are not stored.
    pub pieces: Vec<Piece>,
    /// `[n_targets + 1]` the sequence; list index t predicts `input_ids[t + 1]`.
    pub input_ids: Vec<u32>,
    /// Offsets in the sequence at which documents start; the first is 0.
    pub doc_starts: Vec<u32>,
    /// Those documents.
    pub doc_indices: Vec<u64>,
    /// Lists over the predicted positions.
    pub signals: PositionSignals,
}
