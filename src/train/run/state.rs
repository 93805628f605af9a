//! What a run goes on from, beside weights and moments.

use crate::train::config::RunConfig;
use crate::train::data::LoaderPosition;
use crate::train::schedule::AutoTransition;
use serde::{Deserialize, Serialize};

/// Where a run stands after a step: `state.json` of a checkpoint. Floating point values are written
/// so that they read back as the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// Steps done.
    pub step: u64,
    /// Predicted positions that were learnt from.
    pub n_tokens: u64,
    /// Seconds that the steps took, over all processes that worked on the run.
    pub seconds: f64,
    /// Sequences given so far.
    pub loader: LoaderPosition,
    /// The transition `auto`, where that is chosen.
    pub auto: Option<AutoTransition>,
    /// The configuration, every default filled in.
    pub config: RunConfig,
    /// What wrote this.
    pub created_by: String,
}

impl TrainState {
    /// Before the first step.
    pub fn begin(config: &RunConfig, auto: Option<AutoTransition>) -> Self {
        Self {
            step: 0,
            n_tokens: 0,
            seconds: 0.0,
            loader: LoaderPosition::default(),
            auto,
            config: config.clone(),
            created_by: format!("saltworks-train {}", env!("CARGO_PKG_VERSION")),
        }
    }
}
