//! How many labels a run needs.

use super::StagePlan;
use crate::train::config::RunConfig;
use serde::Serialize;

/// The number of labelled sequences that a run needs, known before anything is labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LabelDemand {
    /// Steps that read labelled sequences; with `auto`, the maximum.
    pub n_steps: u64,
    /// Sequences per step.
    pub batch_size: u64,
    /// How often a labelled sequence may be read.
    pub epochs: u32,
    /// Sequences that these steps read, including repeats.
    pub n_seen: u64,
    /// Sequences that need labels.
    pub n_sequences: u64,
}

impl LabelDemand {
    /// The demand of a valid configuration.
    pub fn of(config: &RunConfig) -> Self {
        let n_steps = StagePlan::of(config).max_labelled_steps();
        let (batch_size, epochs) = (config.train.batch_size as u64, config.data.label_epochs());
        let n_seen = n_steps.saturating_mul(batch_size);
        LabelDemand {
            n_steps,
            batch_size,
            epochs,
            n_seen,
            n_sequences: n_seen.div_ceil(u64::from(epochs.max(1))),
        }
    }
}
