//! Errors in a batch of logits.

use crate::error::{Classified, Kind};

/// Rows are numbered within the batch; the pipeline adds the sequence.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SignalsError {
    /// A logit is NaN or +inf.
    #[error(
        "logit of id {id} is {value} at position {position} of batch row {row_idx}, expected a finite number or -inf: the teacher overflows here; check its weights, or export it in f32"
    )]
    NotFinite {
        /// Row in the batch.
        row_idx: usize,
        /// Predicted position.
        position: usize,
        /// Vocabulary id.
        id: u32,
        /// The value found.
        value: f32,
    },
    /// Every logit of a position is -inf.
    #[error(
        "every logit is -inf at position {position} of batch row {row_idx}: the teacher predicts nothing there"
    )]
    AllMasked {
        /// Row in the batch.
        row_idx: usize,
        /// Predicted position.
        position: usize,
    },
    /// A target id is not in the vocabulary.
    #[error(
        "target id {target} at position {position} of batch row {row_idx} is outside the vocabulary of {vocab_size}: tokens and teacher do not belong together"
    )]
    Target {
        /// Row in the batch.
        row_idx: usize,
        /// Predicted position.
        position: usize,
        /// The id.
        target: u32,
        /// V.
        vocab_size: usize,
    },
    /// More stored ids than the vocabulary has.
    #[error("K = {top_k} is larger than the vocabulary of {vocab_size}: lower K")]
    TopK {
        /// K.
        top_k: usize,
        /// V.
        vocab_size: usize,
    },
    /// The logits are narrower than the vocabulary.
    #[error(
        "the teacher gives {got} logits per position, expected at least the vocabulary of {expected}"
    )]
    Vocabulary {
        /// V as planned.
        expected: usize,
        /// V as found.
        got: usize,
    },
}

impl SignalsError {
    /// The batch row of the error, if it has one.
    pub fn row_idx(&self) -> Option<usize> {
        match *self {
            Self::NotFinite { row_idx, .. }
            | Self::AllMasked { row_idx, .. }
            | Self::Target { row_idx, .. } => Some(row_idx),
            Self::Vocabulary { .. } | Self::TopK { .. } => None,
        }
    }
}

impl Classified for SignalsError {
    fn kind(&self) -> Kind {
        Kind::BadData
    }
}
