//! From what a plan stores of a position to the reduction that gives it.

use crate::shards::{Group, PlanSignals};
use crate::signals::{Groups, Sampling, SignalsConfig};

/// The reduction that a plan asks for, over V ids.
pub(super) fn signals_config(signals: &PlanSignals, vocab_size: u32) -> SignalsConfig {
    SignalsConfig {
        groups: Groups {
            stats: signals.has(Group::Stats),
            topk: signals.has(Group::Topk),
        },
        top_k: signals.top_k as usize,
        temperatures: signals.temperatures.clone(),
        rounding: signals.rounding,
        vocab_size: vocab_size as usize,
        sampling: sampling_of(signals),
    }
}

/// How a plan has ids drawn.
pub(super) fn sampling_of(signals: &PlanSignals) -> Option<Sampling> {
    signals.samples.map(|samples| Sampling {
        n_draws: samples.n_draws,
        tau: samples.tau,
        seed: samples.seed,
    })
}
