//! From examples to the targets of a micro-batch.

use super::mixture::{Mixture, TeacherTargets};
use super::{Gate, KdPolicy, StepKd, Teachers, TemperatureMode};
use crate::signals::PositionSignals;
use crate::train::batch::{KdLoss, KdTargets, MicroBatch};
use crate::train::example::Example;
use rayon::prelude::*;
use std::ops::Range;

/// Minimum number of positions that one task of the pool converts.
const TASK_POSITIONS: usize = 32;

/// Concatenates examples without padding and converts their labels. O(N K), in parallel on the current rayon
/// pool; the result does not depend on the pool.
///
/// Weights are 1, except that with `mask_document_borders` they are 0 for a target that is the first token of a
/// new document.
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
/// At tau = 1 the stored values are rounded and p_tail is not, so they are rescaled (unless all p are 0). At
/// other temperatures there is no unrounded tail mass to rescale to. But a tail that is 0 at tau = 1, as for K
/// = V, is 0 at every temperature; if it is 0, or if rounding makes the sum larger than 1, the values are
/// scaled to sum to 1. So with `tail-bucket`, values and tail always sum to 1, which the gradient of the loss
/// relies on. omega is 0 where the gate `learnable` is closed (`target_rank` at or past `gate_k`), where
/// `entropy` is (see [`StepKd`]), and at positions of examples without stored ids (`sampled`: without draws),
/// which have no KD targets. The gates `agreement` and `excess` are evaluated in the head, where the student's
/// NLL is known.
///
/// Several teachers are each converted by the table. With `mix`, a position then has the ids of all, with the
/// weighted sums of the probabilities, and with `tail-bucket` one tail per teacher; with `lower-nll`, the
/// targets of the chosen one.
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
        for t in example.document_boundary_targets() {
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
        gate: step.head_gate(),
        teacher_nll_n: Vec::new(),
        offsets: vec![0],
        ids: Vec::new(),
        probs: Vec::new(),
        n_tails: n_tails(policy),
        tails: Vec::new(),
        in_tail: Vec::new(),
        negentropy_n: Vec::new(),
    };
    for example in examples {
        push_teacher_nll(&mut kd, example, policy.gate);
        let teachers = teachers_of(example);
        let has_targets = |signals: &&PositionSignals| match policy.loss {
            KdLoss::Sampled => !signals.sampled_ids.is_empty(),
            _ => !signals.topk_ids_tk.is_empty(),
        };
        match &example.signals {
            Some(signals) if teachers.iter().all(has_targets) => {
                let omega_t = (0..example.n_targets()).map(|t| step.omega_at(signals, t));
                kd.omega_n.extend(omega_t);
                push_teachers(&mut kd, example, &teachers, policy);
            }
            _ => push_nothing(&mut kd, example.n_targets()),
        }
    }
    kd
}

/// Number of tails per position.
fn n_tails(policy: &KdPolicy) -> usize {
    match (policy.loss, policy.joining.how) {
        (KdLoss::TailBucket, Teachers::Mix) => policy.joining.n_teachers(),
        (KdLoss::TailBucket, Teachers::LowerNll) => 1,
        _ => 0,
    }
}

/// Signals of each teacher; empty for an example without labels.
fn teachers_of(example: &Example) -> Vec<&PositionSignals> {
    let others = example.others.iter();
    example.signals.iter().chain(others).collect()
}

fn push_nothing(kd: &mut KdTargets, n: usize) {
    let len = kd.omega_n.len() + n;
    kd.omega_n.resize(len, 0.0);
    kd.offsets.resize(len + 1, kd.ids.len() as u32);
    kd.tails.resize(len * kd.n_tails, 0.0);
    kd.negentropy_n.resize(len, 0.0);
}

/// Appends the teacher's NLL, for gates that compare it with the student's.
fn push_teacher_nll(kd: &mut KdTargets, example: &Example, gate: Gate) {
    if !matches!(gate, Gate::Agreement | Gate::Excess) {
        return;
    }
    let len = kd.teacher_nll_n.len() + example.n_targets();
    if let Some(signals) = &example.signals {
        let logprob_t = &signals.target_logprob_t[..example.n_targets()];
        kd.teacher_nll_n
            .extend(logprob_t.iter().map(|logprob| -logprob));
    }
    kd.teacher_nll_n.resize(len, f32::NEG_INFINITY);
}

fn push_teachers(
    kd: &mut KdTargets,
    example: &Example,
    teachers: &[&PositionSignals],
    policy: &KdPolicy,
) {
    let n = example.n_targets();
    match teachers {
        [signals] if policy.loss == KdLoss::Sampled => push_draws(kd, n, signals),
        [signals] => push_kept(kd, n, signals, policy),
        _ => push_mixtures(kd, example, teachers, policy),
    }
}

/// Appends the draws of a single teacher.
fn push_draws(kd: &mut KdTargets, n: usize, signals: &PositionSignals) {
    let first = kd.ids.len();
    kd.ids.extend_from_slice(&signals.sampled_ids);
    kd.probs.resize(kd.ids.len(), 0.0);
    for t in 0..n {
        let drawn = drawn_at(signals, t);
        let probs = &mut kd.probs[first..][drawn.clone()];
        kd.negentropy_n.push(share_draws(signals, t, probs) as f32);
        kd.offsets.push((first + drawn.end) as u32);
    }
}

fn drawn_at(signals: &PositionSignals, t: usize) -> Range<usize> {
    signals.sample_offsets[t] as usize..signals.sample_offsets[t + 1] as usize
}

/// count / N of each distinct id; N is the sum of counts at the position. Returns sum p log p.
fn share_draws(signals: &PositionSignals, t: usize, probs: &mut [f32]) -> f64 {
    let counts = &signals.sampled_counts[drawn_at(signals, t)];
    let n_draws: u32 = counts.iter().map(|&count| u32::from(count)).sum();
    for (prob, &count) in probs.iter_mut().zip(counts) {
        *prob = f32::from(count) / n_draws as f32;
    }
    negentropy(probs, 0.0)
}

/// Appends the stored ids of a single teacher.
fn push_kept(kd: &mut KdTargets, n: usize, signals: &PositionSignals, policy: &KdPolicy) {
    let k = signals.topk_ids_tk.len() / n;
    let first = kd.ids.len();
    kd.ids.extend_from_slice(&signals.topk_ids_tk);
    kd.probs.resize(kd.ids.len(), 0.0);
    kd.offsets.extend((1..=n).map(|t| (first + t * k) as u32));
    let rows = kd.probs[first..].par_chunks_mut(k).enumerate();
    let (tails, negentropies): (Vec<f32>, Vec<f32>) = rows
        .with_min_len(TASK_POSITIONS)
        .map(|(t, probs_k)| {
            let tail = convert(signals, t, policy, policy.tau_idx[0], probs_k);
            (tail, negentropy(probs_k, tail) as f32)
        })
        .unzip();
    if kd.n_tails > 0 {
        kd.tails.extend(tails);
    }
    kd.negentropy_n.extend(negentropies);
}

/// Appends the targets of several teachers, mixed or chosen.
fn push_mixtures(
    kd: &mut KdTargets,
    example: &Example,
    teachers: &[&PositionSignals],
    policy: &KdPolicy,
) {
    let mixtures: Vec<Mixture> = (0..example.n_targets())
        .into_par_iter()
        .with_min_len(TASK_POSITIONS)
        .map(|t| match example.chosen_t.get(t) {
            Some(&chosen) => {
                let chosen = usize::from(chosen);
                Mixture::of(&[teacher_targets(teachers[chosen], t, policy, chosen, 1.0)])
            }
            None => {
                let weights = policy.joining.weights.iter().enumerate();
                let teachers =
                    weights.map(|(i, &weight)| teacher_targets(teachers[i], t, policy, i, weight));
                Mixture::of(&teachers.collect::<Vec<_>>())
            }
        })
        .collect();
    for mixture in mixtures {
        kd.ids.extend(mixture.ids);
        kd.probs.extend(mixture.probs);
        kd.offsets.push(kd.ids.len() as u32);
        kd.negentropy_n.push(mixture.negentropy as f32);
        if kd.n_tails > 0 {
            kd.tails.extend(mixture.tails);
        }
        if kd.n_tails > 1 {
            kd.in_tail.extend(mixture.in_tail);
        }
    }
}

/// The targets of position `t` from teacher number `i`.
fn teacher_targets<'a>(
    signals: &'a PositionSignals,
    t: usize,
    policy: &KdPolicy,
    i: usize,
    weight: f64,
) -> TeacherTargets<'a> {
    let ids = match policy.loss {
        KdLoss::Sampled => &signals.sampled_ids[drawn_at(signals, t)],
        _ => {
            let k = signals.topk_ids_tk.len() / signals.tail_mass_t.len();
            &signals.topk_ids_tk[t * k..][..k]
        }
    };
    let mut probs = vec![0.0; ids.len()];
    let (tail, negentropy) = match policy.loss {
        KdLoss::Sampled => (0.0, share_draws(signals, t, &mut probs)),
        _ => {
            let tail = convert(signals, t, policy, policy.tau_idx[i], &mut probs);
            (tail, negentropy(&probs, tail))
        }
    };
    TeacherTargets {
        weight,
        ids,
        probs,
        tail,
        negentropy,
    }
}

/// Sum of p log p over ids and tail; a logarithm in f32 is enough, since it affects only the reported loss, not
/// the gradient.
fn negentropy(probs: &[f32], tail: f32) -> f64 {
    let all = probs.iter().copied().chain([tail]);
    let possible = all.filter(|&p| p > 0.0);
    possible.map(|p| f64::from(p) * f64::from(p.ln())).sum()
}

/// Converts one position; returns the probability outside the stored ids.
fn convert(
    signals: &PositionSignals,
    t: usize,
    policy: &KdPolicy,
    tau_idx: Option<usize>,
    probs_k: &mut [f32],
) -> f32 {
    let k = probs_k.len();
    let logprobs_k = &signals.topk_logprobs_tk[t * k..][..k];
    let tail = signals.tail_mass_t[t];
    let sum = match tau_idx {
        None => fill(probs_k, logprobs_k, 1.0, 0.0),
        Some(x) => {
            let log_partition = f64::from(signals.log_partition_xt[x][t]);
            fill(probs_k, logprobs_k, policy.tau.recip(), log_partition)
        }
    };
    match policy.loss {
        KdLoss::TailBucket if tau_idx.is_none() => {
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

/// exp(scale * logprob - shift) for each; returns their sum.
fn fill(probs_k: &mut [f32], logprobs_k: &[f32], scale: f64, shift: f64) -> f64 {
    let mut sum = 0.0;
    for (prob, &logprob) in probs_k.iter_mut().zip(logprobs_k) {
        let p = (f64::from(logprob) * scale - shift).exp();
        *prob = p as f32;
        sum += p;
    }
    sum
}

/// Scales values from one sum to another; if all are 0 they stay 0.
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
