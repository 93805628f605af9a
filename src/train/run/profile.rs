//! How the time of the steps is spent.

use crate::train::model::Network;
use std::time::Instant;

/// Parts outside the network.
const OUTSIDE: [&str; 4] = ["waiting for data", "targets", "gradient norm", "optimizer"];

/// A part of the step outside the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outside {
    /// Waiting for the loader.
    Data,
    /// Assembling micro-batches with targets.
    Targets,
    /// Norm of all gradients.
    GradientNorm,
    /// AdamW.
    Optimizer,
}

/// Seconds of each part of the steps of one process, without validations and checkpoints.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepProfile {
    outside: [f64; OUTSIDE.len()],
    network: Vec<(&'static str, f64)>,
    total: f64,
}

impl StepProfile {
    /// Runs `work`, and adds its time to `part`.
    pub(super) fn time<R>(&mut self, part: Outside, work: impl FnOnce() -> R) -> R {
        let began = Instant::now();
        let result = work();
        self.outside[part as usize] += began.elapsed().as_secs_f64();
        result
    }

    /// Runs `work`, whose parts the network times itself.
    pub(super) fn time_network<R>(
        &mut self,
        network: &mut Network,
        work: impl FnOnce(&mut Network) -> R,
    ) -> R {
        let before: Vec<f64> = seconds(network).map(|(_, seconds)| seconds).collect();
        let result = work(network);
        let spent = seconds(network).zip(before);
        let spent = spent.map(|((name, after), before)| (name, after - before));
        if self.network.is_empty() {
            self.network = spent.collect();
        } else {
            for (sum, (_, seconds)) in self.network.iter_mut().zip(spent) {
                sum.1 += seconds;
            }
        }
        result
    }

    /// Adds the time of a whole step.
    pub(super) fn add_step(&mut self, seconds: f64) {
        self.total += seconds;
    }

    /// Name and fraction of each part, from 0 to 1, the largest first; `other` is the time outside all parts.
    pub fn shares(&self) -> Vec<(&'static str, f64)> {
        let outside = OUTSIDE.into_iter().zip(self.outside);
        let mut parts: Vec<(&'static str, f64)> =
            self.network.iter().copied().chain(outside).collect();
        let known: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
        parts.sort_by(|a, b| b.1.total_cmp(&a.1));
        parts.push(("other", (self.total - known).max(0.0)));
        let total = self.total.max(f64::MIN_POSITIVE);
        parts
            .into_iter()
            .map(|(name, seconds)| (name, seconds / total))
            .collect()
    }
}

fn seconds(network: &Network) -> impl Iterator<Item = (&'static str, f64)> {
    network.profile().seconds().collect::<Vec<_>>().into_iter()
}
