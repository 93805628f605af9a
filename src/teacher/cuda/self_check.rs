//! The kernel against the processor, on the device at hand, before anything is labelled with it: a
//! kernel that gives wrong numbers on some device must not fill shards with them.

use super::error::CudaError;
use super::reducer::DeviceReducer;
use crate::signals::{SequenceSignals, SequenceTargets, SignalsConfig, reduce_batch};
use crate::teacher::error::TeacherError;
use crate::teacher::model::Model;
use crate::teacher::session::TokenBatch;

/// Tokens of the batch that is reduced both ways.
const CHECK_TOKENS: u32 = 16;
/// Nats, beside a step of the rounding. Sums differ by 1e-6 at most; two runs of a model on one
/// device by no more than its own noise.
const TOLERANCE_NATS: f64 = 1e-3;
/// Share of kept ids that may have changed places, for near ties.
const IDS_THAT_MAY_DIFFER: f64 = 0.05;

/// Reduces a small batch on the device and here, and compares.
///
/// # Errors
/// [`CudaError::Disagrees`]; whatever running gives.
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
    let here = model.lend(&batch, |logits| reduce_batch(logits, &[sequence], config))?;
    // What the teacher says of made-up tokens may be no signal at all; then there is nothing to compare.
    let Ok(here) = here else { return Ok(()) };
    let there = super::reduce(model, reducer, &batch, &[sequence])?;
    match disagreement(&there[0], &here[0], config) {
        None => Ok(()),
        Some(what) => Err(CudaError::Disagrees {
            device: reducer.device(),
            what,
        })?,
    }
}

/// One row of the first ids.
fn check_batch(model: &Model, seq_len_max: u32) -> TokenBatch {
    let smallest = model.smallest_batch();
    if model.signature.fixed_seq_len.is_some() {
        return smallest;
    }
    let width = CHECK_TOKENS.min(seq_len_max).max(1);
    TokenBatch {
        ids_bt: (0..width).map(|i| i % 2).collect(),
        n_rows: 1,
        width: width as usize,
        lengths: vec![width],
    }
}

/// The first quantity in which the two are further apart than they may be.
fn disagreement(
    there: &SequenceSignals,
    here: &SequenceSignals,
    config: &SignalsConfig,
) -> Option<&'static str> {
    let (a, b) = (&there.positions, &here.positions);
    let step = config.rounding.step();
    let far = |a: &[f32], b: &[f32], step: f64| {
        let is_near = |(&a, &b): (&f32, &f32)| {
            let tolerance = TOLERANCE_NATS + step * f64::from(b).abs();
            a == b || (f64::from(a) - f64::from(b)).abs() <= tolerance
        };
        a.len() != b.len() || !a.iter().zip(b).all(is_near)
    };
    let n_moved = a
        .topk_ids_tk
        .iter()
        .zip(&b.topk_ids_tk)
        .filter(|(a, b)| a != b);
    let n_moved = n_moved.count() as f64;
    let partitions = a.log_partition_xt.iter().zip(&b.log_partition_xt);
    let tail_step = config.rounding.tail_step();
    let scores = [
        there.scores.mean_nll - here.scores.mean_nll,
        there.scores.mean_entropy - here.scores.mean_entropy,
        there.scores.mean_topk_mass - here.scores.mean_topk_mass,
    ];
    let checks = [
        (
            "target_logprob",
            far(&a.target_logprob_t, &b.target_logprob_t, 0.0),
        ),
        ("entropy", far(&a.entropy_t, &b.entropy_t, 0.0)),
        ("logsumexp", far(&a.logsumexp_t, &b.logsumexp_t, 0.0)),
        (
            "topk_logprobs",
            far(&a.topk_logprobs_tk, &b.topk_logprobs_tk, step),
        ),
        ("tail_mass", far(&a.tail_mass_t, &b.tail_mass_t, tail_step)),
        (
            "topk_ids",
            a.topk_ids_tk.len() != b.topk_ids_tk.len()
                || n_moved > IDS_THAT_MAY_DIFFER * b.topk_ids_tk.len() as f64,
        ),
        (
            "log_partition",
            partitions.into_iter().any(|(a, b)| far(a, b, 0.0)),
        ),
        ("samples", a.sample_offsets.len() != b.sample_offsets.len()),
        (
            "scores",
            scores
                .iter()
                .any(|d| d.is_nan() || d.abs() > TOLERANCE_NATS),
        ),
    ];
    checks
        .into_iter()
        .find(|(_, apart)| *apart)
        .map(|(what, _)| what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::{Groups, Logits, LogitsData, Rounding, Sampling};

    const VOCAB_SIZE: usize = 40;

    fn config() -> SignalsConfig {
        SignalsConfig {
            groups: Groups {
                stats: true,
                topk: true,
            },
            top_k: 6,
            temperatures: vec![2.0],
            rounding: Rounding::M5,
            vocab_size: VOCAB_SIZE,
            sampling: Some(Sampling {
                n_draws: 5,
                tau: 1.0,
                seed: 0,
            }),
        }
    }

    fn signals() -> SequenceSignals {
        let values: Vec<f32> = (0..4 * VOCAB_SIZE)
            .map(|i| (i as f32).sin() * 5.0)
            .collect();
        let logits = Logits {
            data: LogitsData::F32(&values),
            n_rows: 1,
            width: 4,
            vocab_size: VOCAB_SIZE,
        };
        let sequence = SequenceTargets {
            seq_id: 0,
            targets: &[1, 2, 3, 4],
        };
        reduce_batch(logits, &[sequence], &config())
            .unwrap()
            .remove(0)
    }

    #[test]
    fn equal_signals_agree_and_so_do_those_a_step_of_the_rounding_apart() {
        let here = signals();
        assert_eq!(disagreement(&here, &here, &config()), None);
        let mut near = signals();
        near.positions.topk_logprobs_tk[3] *= 1.0 + 1.0 / 32.0;
        near.positions.entropy_t[0] += 5e-4;
        assert_eq!(disagreement(&near, &here, &config()), None);
    }

    #[test]
    fn whatever_is_further_apart_is_named() {
        let here = signals();
        type Breakage = fn(&mut SequenceSignals);
        let wrong: [(&str, Breakage); 8] = [
            ("target_logprob", |s| {
                s.positions.target_logprob_t[1] -= 0.01
            }),
            ("entropy", |s| s.positions.entropy_t[2] = f32::NAN),
            ("logsumexp", |s| s.positions.logsumexp_t.clear()),
            ("topk_logprobs", |s| s.positions.topk_logprobs_tk[0] -= 1.0),
            ("tail_mass", |s| s.positions.tail_mass_t[0] += 0.1),
            ("topk_ids", |s| s.positions.topk_ids_tk.reverse()),
            ("log_partition", |s| {
                s.positions.log_partition_xt[0][3] += 0.1
            }),
            ("scores", |s| s.scores.mean_entropy += 1.0),
        ];
        for (what, break_it) in wrong {
            let mut there = here.clone();
            break_it(&mut there);
            assert_eq!(disagreement(&there, &here, &config()), Some(what));
        }
    }
}
