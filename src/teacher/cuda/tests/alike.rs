//! Compares the emulated kernel's results with those of `signals` on the CPU.

use super::emulator::Batch;
use crate::signals::{SequenceSignals, SignalsConfig};

/// Nats or probabilities as stored: one rounding to f32 (6e-8 of the value, so 1e-6 for logits
/// around 16), and sums of four f32 terms in another order.
const STORED_TOLERANCE: f64 = 2e-6;
/// Scores in f64, nats: only the order of f32 sums of four or 64 terms differs.
pub(super) const SCORE_TOLERANCE: f64 = 2e-7;
/// Relative, since a tail is small and depends on its own terms.
const TAIL_TOLERANCE: f64 = 1e-6;
/// Draws whose uniform falls within rounding of a boundary may differ: sums agree to 1e-16 of the
/// total, so among 1e5 draws none is expected, and one in 1e4 would already be a fault.
const MAX_DIFFERING_DRAWS: f64 = 1e-4;

fn assert_close(what: &str, got: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let (got, expected) = (f64::from(got), f64::from(expected));
        let is_close =
            got == expected || (got - expected).abs() <= tolerance * expected.abs().max(1.0);
        assert!(is_close, "{what} {i}: {got}, on the CPU {expected}");
    }
}

/// Compares exact values by equality, all others with their tolerance.
pub(super) fn assert_alike(got: &SequenceSignals, expected: &SequenceSignals) {
    let (a, b) = (&got.positions, &expected.positions);
    assert_eq!(a.target_rank_t, b.target_rank_t);
    assert_eq!(a.topk_ids_tk, b.topk_ids_tk);
    assert_eq!(a.log_partition_xt.len(), b.log_partition_xt.len());
    assert_close(
        "target_logprob",
        &a.target_logprob_t,
        &b.target_logprob_t,
        STORED_TOLERANCE,
    );
    assert_close("entropy", &a.entropy_t, &b.entropy_t, STORED_TOLERANCE);
    assert_close(
        "logsumexp",
        &a.logsumexp_t,
        &b.logsumexp_t,
        STORED_TOLERANCE,
    );
    assert_close(
        "topk_logprob",
        &a.topk_logprobs_tk,
        &b.topk_logprobs_tk,
        STORED_TOLERANCE,
    );
    for (got, expected) in a.log_partition_xt.iter().zip(&b.log_partition_xt) {
        assert_close("log_partition", got, expected, STORED_TOLERANCE);
    }
    for (&got, &expected) in a.tail_mass_t.iter().zip(&b.tail_mass_t) {
        let error = (f64::from(got) - f64::from(expected)).abs();
        assert!(
            error <= TAIL_TOLERANCE * f64::from(expected),
            "tail {got}, on the CPU {expected}"
        );
    }
    assert_eq!(a.tail_mass_t.len(), b.tail_mass_t.len());
    assert_scores_alike(got, expected);
    assert_draws_alike(got, expected);
}

fn assert_scores_alike(got: &SequenceSignals, expected: &SequenceSignals) {
    let (a, b) = (&got.scores, &expected.scores);
    assert_eq!(a.learnable_fraction, b.learnable_fraction);
    assert_eq!(a.salt.is_some(), b.salt.is_some());
    let pairs = [
        (a.salt.unwrap_or(0.0), b.salt.unwrap_or(0.0)),
        (a.salt_masked, b.salt_masked),
        (a.mean_nll, b.mean_nll),
        (a.median_nll, b.median_nll),
        (a.mean_entropy, b.mean_entropy),
        (a.mean_topk_mass, b.mean_topk_mass),
    ];
    for (i, (got, expected)) in pairs.into_iter().enumerate() {
        let is_close = got == expected || (got - expected).abs() <= SCORE_TOLERANCE;
        assert!(is_close, "score {i}: {got}, on the CPU {expected}");
    }
}

/// Individual draws of each position, in increasing order.
fn drawn(signals: &SequenceSignals) -> Vec<u32> {
    let lists = &signals.positions;
    assert_eq!(lists.sampled_ids.len(), lists.sampled_counts.len());
    let pairs = lists.sampled_ids.iter().zip(&lists.sampled_counts);
    pairs
        .flat_map(|(&id, &count)| std::iter::repeat_n(id, usize::from(count)))
        .collect()
}

fn assert_draws_alike(got: &SequenceSignals, expected: &SequenceSignals) {
    let (a, b) = (drawn(got), drawn(expected));
    assert_eq!(a.len(), b.len());
    let n_different = a.iter().zip(&b).filter(|(a, b)| a != b).count();
    let allowed = MAX_DIFFERING_DRAWS * a.len() as f64;
    assert!(
        n_different as f64 <= allowed,
        "{n_different} of {} draws differ",
        a.len()
    );
}

pub(super) fn assert_emulation_agrees(batch: &Batch, config: &SignalsConfig, n_threads: u32) {
    let expected = batch.on_cpu(config).unwrap();
    let got = batch.emulated(config, n_threads).unwrap();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert_alike(got, expected);
    }
}
