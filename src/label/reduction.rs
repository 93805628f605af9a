//! From what a plan stores for a position to the reduction that computes it.

use crate::shards::{Group, PlanSignals};
use crate::signals::{Groups, Sampling, SignalsConfig};

/// The reduction that a plan requires, over V ids.
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

/// How ids are drawn according to a plan.
pub(super) fn sampling_of(signals: &PlanSignals) -> Option<Sampling> {
    signals.samples.map(|samples| Sampling {
        n_draws: samples.n_draws,
        tau: samples.tau,
        seed: samples.seed,
    })
}
