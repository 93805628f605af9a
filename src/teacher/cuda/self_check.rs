//! Compares the kernel with the CPU, on the actual device, before anything is labelled with it: a kernel that gives
//! wrong numbers on some device must not fill shards with them.

use super::error::CudaError;
use super::reducer::DeviceReducer;
use crate::signals::{
    PositionSignals, Rounding, Scores, SequenceSignals, SequenceTargets, SignalsConfig,
    reduce_batch,
};
use crate::teacher::calls::TokenBatch;
use crate::teacher::error::TeacherError;
use crate::teacher::model::Model;

/// Tokens of the batch that is reduced in both ways.
const CHECK_TOKENS: u32 = 16;
/// Nats, plus one step of the rounding. Sums differ by at most 1e-6; two runs of a model on one device by its own
/// noise.
const TOLERANCE_NATS: f64 = 1e-3;
/// Fraction of stored ids that may have swapped places, because of near ties.
const MAX_DIFFERING_IDS: f64 = 0.05;
/// Fraction of draws that may have another id, for uniforms next to a boundary; at least one.
const MAX_DIFFERING_DRAWS: f64 = 0.03;
/// Relative difference allowed for a rank: if 20,000 ids rank above the target, the noise of two runs moves a few past
/// it. For the first hundred ranks, where ids are far apart, it allows nothing.
const RANK_TOLERANCE: f64 = 0.01;
/// Fraction of positions whose rank may differ by more, because of near ties; at least one.
const MAX_DIFFERING_RANKS: f64 = 0.05;

/// Reduces a small batch on the device and on the CPU, and compares.
///
/// # Errors
/// [`CudaError::Disagrees`]; any error of running.
pub(in crate::teacher) fn self_check(
    model: &mut Model,
    reducer: &mut DeviceReducer,
    seq_len_max: u32,
    config: &SignalsConfig,
) -> Result<(), TeacherError> {
    let batch = check_batch(model, seq_len_max);
    let sequence = SequenceTargets {
        seq_id: 0,
        targets: &batch.ids_bt,
    };
    let host_signals = model.lend(&batch, |logits| reduce_batch(logits, &[sequence], config))?;
    // The teacher's logits for made-up tokens may have no signals; then there is nothing to compare.
    let Ok(host_signals) = host_signals else {
        return Ok(());
    };
    let device_signals = super::reduce(model, reducer, &batch, &[sequence])?;
    match disagreement(&device_signals[0], &host_signals[0], config) {
        None => Ok(()),
        Some(what) => Err(CudaError::Disagrees {
            device: reducer.device(),
            what,
        })?,
    }
}

/// One row of the lowest ids.
fn check_batch(model: &Model, seq_len_max: u32) -> TokenBatch {
    let smallest = model.smallest_batch();
    if model.signature.fixed_seq_len.is_some() {
        return smallest;
    }
    let width = CHECK_TOKENS.min(seq_len_max).max(1);
    TokenBatch {
        ids_bt: (0..width).map(|i| i % 2).collect(),
        n_rows: 1,
        n_fillers: 0,
        width: width as usize,
        lengths: vec![width],
    }
}

/// The first quantity in which the two differ by more than allowed.
fn disagreement(
    device_signals: &SequenceSignals,
    host_signals: &SequenceSignals,
    config: &SignalsConfig,
) -> Option<&'static str> {
    let (a, b) = (&device_signals.positions, &host_signals.positions);
    let samples = || samples_differ(a, b).then_some("samples");
    let scores = || scores_differ(&device_signals.scores, &host_signals.scores).then_some("scores");
    differing_stats(a, b, config.top_k)
        .or_else(|| differing_topk(a, b, config.rounding))
        .or_else(samples)
        .or_else(scores)
}

fn differing_stats(a: &PositionSignals, b: &PositionSignals, top_k: usize) -> Option<&'static str> {
    first_far([
        (
            "target_logprob",
            differ(&a.target_logprob_t, &b.target_logprob_t, 0.0),
        ),
        ("target_rank", ranks_differ(a, b, top_k)),
        ("entropy", differ(&a.entropy_t, &b.entropy_t, 0.0)),
        ("logsumexp", differ(&a.logsumexp_t, &b.logsumexp_t, 0.0)),
    ])
}

fn differing_topk(
    a: &PositionSignals,
    b: &PositionSignals,
    rounding: Rounding,
) -> Option<&'static str> {
    let logprobs = (&a.topk_logprobs_tk, &b.topk_logprobs_tk);
    let tails = (&a.tail_mass_t, &b.tail_mass_t);
    first_far([
        (
            "topk_logprobs",
            differ(logprobs.0, logprobs.1, rounding.step()),
        ),
        ("tail_mass", differ(tails.0, tails.1, rounding.tail_step())),
        ("topk_ids", ids_differ(&a.topk_ids_tk, &b.topk_ids_tk)),
        ("log_partition", partitions_differ(a, b)),
    ])
}

fn first_far<const N: usize>(checks: [(&'static str, bool); N]) -> Option<&'static str> {
    let far = checks.into_iter().find(|(_, is_far)| *is_far);
    far.map(|(what, _)| what)
}

/// Values in nats or probabilities, of which `b` was rounded by a relative `step`.
fn differ(a: &[f32], b: &[f32], step: f64) -> bool {
    let is_near = |(&a, &b): (&f32, &f32)| {
        let tolerance = TOLERANCE_NATS + step * f64::from(b).abs();
        a == b || (f64::from(a) - f64::from(b)).abs() <= tolerance
    };
    a.len() != b.len() || !a.iter().zip(b).all(is_near)
}

fn partitions_differ(a: &PositionSignals, b: &PositionSignals) -> bool {
    let (a, b) = (&a.log_partition_xt, &b.log_partition_xt);
    a.len() != b.len() || a.iter().zip(b).any(|(a, b)| differ(a, b, 0.0))
}

fn ids_differ(a: &[u32], b: &[u32]) -> bool {
    let n_moved = a.iter().zip(b).filter(|(a, b)| a != b).count();
    a.len() != b.len() || n_moved as f64 > MAX_DIFFERING_IDS * b.len() as f64
}

/// If the stored ids differ, so did the logits, and the rank may differ with them.
fn ranks_differ(a: &PositionSignals, b: &PositionSignals, top_k: usize) -> bool {
    let (ranks_a, ranks_b) = (&a.target_rank_t, &b.target_rank_t);
    let is_far = |&t: &usize| {
        let of_t = t * top_k..(t + 1) * top_k;
        let (kept_a, kept_b) = (a.topk_ids_tk.get(of_t.clone()), b.topk_ids_tk.get(of_t));
        let off = f64::from(ranks_a[t].abs_diff(ranks_b[t]));
        kept_a == kept_b && off > RANK_TOLERANCE * f64::from(ranks_b[t])
    };
    let n_positions = ranks_b.len();
    ranks_a.len() != n_positions
        || (0..n_positions).filter(is_far).count() > few(MAX_DIFFERING_RANKS, n_positions)
}

/// Position by position, as multisets, since the order of draws is not kept.
fn samples_differ(a: &PositionSignals, b: &PositionSignals) -> bool {
    if a.sample_offsets.len() != b.sample_offsets.len() {
        return true;
    }
    let mut n_moved = 0;
    let mut n_draws = 0;
    for (a, b) in draws(a).zip(draws(b)) {
        let (Some(a), Some(b)) = (a, b) else {
            return true;
        };
        if a.total() != b.total() {
            return true;
        }
        n_draws += b.total();
        n_moved += b.total() - b.n_shared(a);
    }
    n_moved > few(MAX_DIFFERING_DRAWS, n_draws)
}

/// The draws of each position; `None` if the lists are inconsistent.
fn draws(signals: &PositionSignals) -> impl Iterator<Item = Option<Draws<'_>>> {
    signals.sample_offsets.windows(2).map(|window| {
        let of_position = window[0] as usize..window[1] as usize;
        Some(Draws {
            ids: signals.sampled_ids.get(of_position.clone())?,
            counts: signals.sampled_counts.get(of_position)?,
        })
    })
}

/// Distinct ids drawn at one position, and how often each was.
#[derive(Clone, Copy)]
struct Draws<'a> {
    ids: &'a [u32],
    counts: &'a [u16],
}

impl Draws<'_> {
    fn total(self) -> usize {
        self.counts.iter().map(|&count| usize::from(count)).sum()
    }

    /// How often `id` was drawn.
    fn count_of(self, id: u32) -> u16 {
        let pairs = self.ids.iter().zip(self.counts);
        let of_id = pairs.filter(|&(&drawn, _)| drawn == id);
        of_id.map(|(_, &count)| count).sum()
    }

    /// Number of draws that both have in common.
    fn n_shared(self, other: Draws<'_>) -> usize {
        let pairs = self.ids.iter().zip(self.counts);
        let shared = pairs.map(|(&id, &count)| usize::from(count.min(other.count_of(id))));
        shared.sum()
    }
}

fn scores_differ(a: &Scores, b: &Scores) -> bool {
    let differences = [
        a.mean_nll - b.mean_nll,
        a.mean_entropy - b.mean_entropy,
        a.mean_topk_mass - b.mean_topk_mass,
    ];
    let is_far = |d: &f64| d.is_nan() || d.abs() > TOLERANCE_NATS;
    differences.iter().any(is_far)
}

/// A fraction of `n`, rounded up, so that a few allow at least one.
fn few(share: f64, n: usize) -> usize {
    (share * n as f64).ceil() as usize
}

#[cfg(test)]
mod tests;
