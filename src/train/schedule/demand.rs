//! What a run wants of labels, before there are any.

use super::StagePlan;
use crate::train::config::RunConfig;
use serde::Serialize;

/// The labelled sequences of a run, counted before anything is labelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct LabelDemand {
    /// Steps that read labelled sequences; with `auto` at most.
    pub n_steps: u64,
    /// Sequences a step.
    pub batch_size: u64,
    /// Times that a labelled sequence may be seen.
    pub epochs: u32,
    /// Sequences that these steps read, each time counted.
    pub n_seen: u64,
    /// Sequences that need labels.
    pub n_sequences: u64,
}

impl LabelDemand {
    /// What a valid configuration asks for.
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
