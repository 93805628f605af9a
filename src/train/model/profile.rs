//! Where the time of a step goes.

use std::time::{Duration, Instant};

/// A part of the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Rows of the embedding, and their gradients.
    Embedding,
    /// Queries, keys, values; the output projection: matrix products.
    AttentionProjections,
    /// Scores, weights and their products.
    Attention,
    /// Rotary positions.
    Rope,
    /// RMSNorm, with residual sums.
    Norm,
    /// Gate, up and down: matrix products.
    FeedForward,
    /// The gated activation.
    Swiglu,
    /// Output head and loss.
    Head,
}

const NAMES: [&str; 8] = [
    "embedding",
    "attention projections",
    "attention",
    "rope",
    "norm",
    "feed-forward",
    "swiglu",
    "head + loss",
];

/// Time of each part, forward and backward together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Profile {
    spent: [Duration; NAMES.len()],
}

impl Profile {
    /// Runs `work` and adds its time to `part`.
    pub(super) fn time<R>(&mut self, part: Part, work: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = work();
        self.spent[part as usize] += began.elapsed();
        result
    }

    /// Name and seconds of each part.
    pub fn seconds(&self) -> impl Iterator<Item = (&'static str, f64)> {
        NAMES
            .into_iter()
            .zip(self.spent.map(|spent| spent.as_secs_f64()))
    }
}
