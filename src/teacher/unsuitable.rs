//! Results of the trial of a teacher: its noise, or why it cannot be a teacher.

use crate::error::{Classified, Kind};

/// Tolerance for f32 logits on other machines, nats; their noise is well below it.
pub(super) const MIN_TOLERANCE_NATS: f64 = 1e-4;
/// Tolerance in rounding errors of half-precision logits.
pub(super) const N_ROUNDINGS: f64 = 4.0;

/// Noise of a model's logits, nats.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Noise {
    /// The largest difference between calls of different shapes.
    pub shape_nats: f64,
    /// One rounding of the coarsest float in the model, at the size of its logits.
    pub rounding_nats: f64,
}

impl Noise {
    /// Tolerance between labels and a second run on another machine or runtime, nats: the largest of
    /// 1e-4, the rounding of half precision, and the measured noise.
    pub fn tolerance_nats(&self) -> f64 {
        MIN_TOLERANCE_NATS
            .max(N_ROUNDINGS * self.rounding_nats)
            .max(8.0 * self.shape_nats)
    }
}

/// Why a model cannot be a teacher.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unsuitable {
    /// Its logits depend on the ids after them.
    #[error(
        "changing the last {n_changed} of {n_ids} ids changed the logits before them by up to {moved_nats:.1e} nats (noise: {noise_nats:.1e}), so it sees the tokens that it should predict, like a masked language model, or its export misreads the attention mask; expected a causal (left-to-right) language model"
    )]
    NotCausal {
        /// Ids of the sequence.
        n_ids: usize,
        /// Ids changed at its end.
        n_changed: usize,
        /// Largest change of an earlier logit, nats.
        moved_nats: f64,
        /// Largest change with the shape of a call, nats.
        noise_nats: f64,
    },
    /// Two equal calls give different logits.
    #[error(
        "the same call gave different logits the second time, by up to {moved_nats:.1e} nats{random_nodes}; expected the same: export the model for inference, without dropout or sampling"
    )]
    NotRepeatable {
        /// Largest difference, nats.
        moved_nats: f64,
        /// The nodes that may be why; empty or begins with ": ".
        random_nodes: String,
    },
    /// Its output is not logits, but a function of them.
    #[error(
        "output {output} contains {found} (measured at {n_positions} positions); expected logits: export the model without that last step, or name the logits with --logits-output"
    )]
    NotLogits {
        /// The output.
        output: String,
        /// What it looks like.
        found: &'static str,
        /// Positions that were examined.
        n_positions: usize,
    },
}

impl Classified for Unsuitable {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

impl Unsuitable {
    /// The name under which a plan records that it was overridden.
    pub fn word(&self) -> &'static str {
        match self {
            Self::NotCausal { .. } => "not-causal",
            Self::NotRepeatable { .. } => "not-repeatable",
            Self::NotLogits { .. } => "not-logits",
        }
    }
}
