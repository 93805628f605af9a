//! From examples to the targets of a micro-batch.

use super::{Gate, KdPolicy, StepKd, TemperatureMode};
use crate::signals::PositionSignals;
use crate::train::batch::{KdLoss, KdTargets, MicroBatch};
use crate::train::example::Example;
use rayon::prelude::*;

/// Minimum number of positions that one task of the pool converts.
const TASK_POSITIONS: usize = 32;

/// Flattens examples, one after the other without padding, and converts their labels. O(N K), in parallel
/// on the rayon pool that it is called in; the result does not depend on the pool.
///
/// Weights are 1, except that with `mask_document_borders` they are 0 for a target that is the first
/// token of another document.
///
/// With a policy, the target probabilities of a position are, with p the stored ones (`-inf` gives 0) and
/// p_tail the stored tail mass:
///
/// | loss | tau = 1 | another tau |
/// | --- | --- | --- |
/// | `tail-bucket` | p (1 - p_tail) / sum(p), tail p_tail | p^(1/tau) / exp(log-partition), tail 1 - their sum |
/// | `renormalize` | p / sum(p) | the same, scaled to sum to 1 |
/// | `drop` | p | the same |
/// | `sampled` | count / N | the same, of samples at that temperature |
///
/// At tau = 1 the stored values are rounded and p_tail is not, so they are rescaled (unless all p are 0).
/// At other temperatures there is no unrounded tail mass to rescale to. But a tail that is 0 at tau = 1,
/// as with K = V, is 0 at every temperature; if it is 0, or if rounding makes the sum larger than 1, the
/// values are scaled to sum to 1. So with `tail-bucket`, values and tail always sum to 1, which the
/// gradient of the loss relies on. omega is 0 where the gate `learnable` is closed
/// (`target_rank` at or past `gate_k`), where `entropy` is (see [`StepKd`]), and at positions of examples
/// without stored ids (`sampled`: without draws), which have no targets of KD. The gate `agreement` is
/// decided in the head, where the student's NLL is known.
///
/// # Panics
/// If the policy's `tau_idx` is not an index of the labels' temperatures, or a gate needs the group
/// `stats` and the labels lack it: [`crate::train::data::LabelSource::check_needs`] refuses both.
pub fn targets_of(
    examples: &[Example],
    kd: Option<StepKd<'_>>,
    mask_document_borders: bool,
) -> MicroBatch {
    let n_positions = examples.iter().map(Example::n_targets).sum();
    let mut batch = MicroBatch {
        ids_n: Vec::with_capacity(n_positions),
        targets_n: Vec::with_capacity(n_positions),
        weights_n: Vec::with_capacity(n_positions),
        starts: vec![0],
        kd: kd.map(|kd| kd_targets(examples, kd)),
    };
    for example in examples.iter().filter(|example| example.n_targets() > 0) {
        push_tokens(&mut batch, example, mask_document_borders);
    }
    batch
}

fn push_tokens(batch: &mut MicroBatch, example: &Example, mask_document_borders: bool) {
    let n = example.n_targets();
    let first = batch.ids_n.len();
    batch.ids_n.extend_from_slice(&example.input_ids[..n]);
    batch.targets_n.extend_from_slice(&example.input_ids[1..]);
    batch.weights_n.resize(first + n, 1.0);
    batch.starts.push(first + n);
    if mask_document_borders {
        for t in example.border_targets() {
            batch.weights_n[first + t] = 0.0;
        }
    }
}

fn kd_targets(examples: &[Example], step: StepKd<'_>) -> KdTargets {
    let policy = step.policy;
    let mut kd = KdTargets {
        loss: policy.loss,
        student_tau: match policy.temperature_mode {
            TemperatureMode::Both => policy.tau as f32,
            TemperatureMode::Teacher => 1.0,
        },
        omega_n: Vec::new(),
        teacher_nll_n: Vec::new(),
        offsets: vec![0],
        ids: Vec::new(),
        probs: Vec::new(),
        tail_n: Vec::new(),
    };
    for example in examples {
        let n = example.n_targets();
        let is_sampled = policy.loss == KdLoss::Sampled;
        let has_targets = |s: &&PositionSignals| match is_sampled {
            true => !s.sampled_ids.is_empty(),
            false => !s.topk_ids_tk.is_empty(),
        };
        let Some(signals) = example.signals.as_ref().filter(has_targets) else {
            push_nothing(&mut kd, n, policy.gate);
            continue;
        };
        push_gate(&mut kd, n, signals, step);
        if is_sampled {
            push_draws(&mut kd, signals);
        } else {
            push_kept(&mut kd, n, signals, policy);
        }
    }
    kd
}

fn push_nothing(kd: &mut KdTargets, n: usize, gate: Gate) {
    let len = kd.omega_n.len() + n;
    kd.omega_n.resize(len, 0.0);
    kd.offsets.resize(len + 1, kd.ids.len() as u32);
    if kd.loss == KdLoss::TailBucket {
        kd.tail_n.resize(len, 0.0);
    }
    if gate == Gate::Agreement {
        kd.teacher_nll_n.resize(len, 0.0);
    }
}

fn push_gate(kd: &mut KdTargets, n: usize, signals: &PositionSignals, step: StepKd<'_>) {
    kd.omega_n.extend((0..n).map(|t| step.omega_at(signals, t)));
    if step.policy.gate == Gate::Agreement {
        let nll_t = signals.target_logprob_t[..n].iter().map(|logprob| -logprob);
        kd.teacher_nll_n.extend(nll_t);
    }
}

/// count / N of each distinct id; N is the sum of the counts of a position.
fn push_draws(kd: &mut KdTargets, signals: &PositionSignals) {
    let first = kd.ids.len() as u32;
    kd.ids.extend_from_slice(&signals.sampled_ids);
    for bounds in signals.sample_offsets.windows(2) {
        let counts = &signals.sampled_counts[bounds[0] as usize..bounds[1] as usize];
        let n_draws: u32 = counts.iter().map(|&count| u32::from(count)).sum();
        let share = |&count: &u16| f32::from(count) / n_draws as f32;
        kd.probs.extend(counts.iter().map(share));
        kd.offsets.push(first + bounds[1]);
    }
}

fn push_kept(kd: &mut KdTargets, n: usize, signals: &PositionSignals, policy: &KdPolicy) {
    let k = signals.topk_ids_tk.len() / n;
    let first = kd.ids.len();
    kd.ids.extend_from_slice(&signals.topk_ids_tk);
    kd.probs.resize(kd.ids.len(), 0.0);
    kd.offsets.extend((1..=n).map(|t| (first + t * k) as u32));
    let rows = kd.probs[first..].par_chunks_mut(k).enumerate();
    let tails: Vec<f32> = rows
        .with_min_len(TASK_POSITIONS)
        .map(|(t, probs_k)| convert(signals, t, policy, probs_k))
        .collect();
    if kd.loss == KdLoss::TailBucket {
        kd.tail_n.extend(tails);
    }
}

/// Converts one position; returns the probability outside the stored ids.
fn convert(signals: &PositionSignals, t: usize, policy: &KdPolicy, probs_k: &mut [f32]) -> f32 {
    let k = probs_k.len();
    let logprobs_k = &signals.topk_logprobs_tk[t * k..][..k];
    let tail = signals.tail_mass_t[t];
    let sum = match policy.tau_idx {
        None => fill(probs_k, logprobs_k, 1.0, 0.0),
        Some(x) => {
            let log_partition = f64::from(signals.log_partition_xt[x][t]);
            fill(probs_k, logprobs_k, policy.tau.recip(), log_partition)
        }
    };
    match policy.loss {
        KdLoss::TailBucket if policy.tau_idx.is_none() => {
            rescale(probs_k, sum, 1.0 - f64::from(tail));
            tail
        }
        KdLoss::TailBucket if tail == 0.0 || sum > 1.0 => {
            rescale(probs_k, sum, 1.0);
            0.0
        }
        KdLoss::TailBucket => (1.0 - sum) as f32,
        KdLoss::Renormalize => {
            rescale(probs_k, sum, 1.0);
            0.0
        }
        KdLoss::Drop | KdLoss::Sampled => 0.0,
    }
}

/// exp(scale * logprob - shift) of each; returns their sum.
fn fill(probs_k: &mut [f32], logprobs_k: &[f32], scale: f64, shift: f64) -> f64 {
    let mut sum = 0.0;
    for (prob, &logprob) in probs_k.iter_mut().zip(logprobs_k) {
        let p = (f64::from(logprob) * scale - shift).exp();
        *prob = p as f32;
        sum += p;
    }
    sum
}

/// Scales values of a sum to another one; all 0 stay 0.
fn rescale(probs_k: &mut [f32], sum: f64, to: f64) {
    if sum > 0.0 {
        let factor = to / sum;
        probs_k
            .iter_mut()
            .for_each(|p| *p = (f64::from(*p) * factor) as f32);
    }
}

#[cfg(test)]
mod tests;
