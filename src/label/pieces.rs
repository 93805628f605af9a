//! The teacher's results for one sequence, with the sums of each of its documents.

use crate::shards::{Piece, Row, piece_ranges};
use crate::signals::{ScoreInputs, SequenceSignals};
use crate::tokens::Sequence;

/// A labelled sequence. The inputs of its scores have been dropped: if only scores are stored, many thousands of
/// sequences wait for one row group.
#[derive(Debug, Clone, Default)]
pub(super) struct Labelled {
    pub(super) signals: SequenceSignals,
    pieces: Vec<Piece>,
}

impl Labelled {
    pub(super) fn new(sequence: &Sequence, mut signals: SequenceSignals) -> Self {
        let inputs: ScoreInputs = std::mem::take(&mut signals.score_inputs);
        let n_targets = sequence.input_ids.len().saturating_sub(1);
        let ranges = piece_ranges(&sequence.doc_starts, &sequence.doc_indices, n_targets);
        let piece = |(doc_index, range)| Piece {
            doc_index,
            sums: inputs.sums(range),
        };
        Labelled {
            pieces: ranges.map(piece).collect(),
            signals,
        }
    }

    /// The row of `sequence`, with its lists if `keeps_positions`.
    pub(super) fn into_row(self, sequence: Sequence, keeps_positions: bool) -> Row {
        let n_targets = sequence.input_ids.len().saturating_sub(1);
        let row = Row {
            seq_id: sequence.seq_id,
            first_doc_index: sequence.doc_indices.first().copied().unwrap_or(0),
            n_targets: n_targets as u32,
            scores: self.signals.scores,
            pieces: self.pieces,
            signals: self.signals.positions,
            ..Row::default()
        };
        match keeps_positions {
            false => row,
            true => Row {
                input_ids: sequence.input_ids,
                doc_starts: sequence.doc_starts,
                doc_indices: sequence.doc_indices,
                ..row
            },
        }
    }
}
