//! Values and gradients of every loss, compared with golden numbers that the Python package is also tested
//! with.
//!
//! `fixtures/losses.json` is made by `SALTWORKS_BLESS=1 cargo test --lib train::loss::tests` from the slow reference
//! here: the definitions of docs/method.md in f64, over the whole vocabulary, gradients by central differences.
//! `python/tests/with_torch/test_goldens.py` reads the same file.

use super::{
    Gate, GateExcess, Joining, KdPolicy, StepKd, Teachers, TemperatureMode, join_stats, targets_of,
};
use crate::signals::{PositionSignals, Rounding};
use crate::train::batch::{KdLoss, LossSums, MicroBatch};
use crate::train::example::Example;
use crate::train::ops::{Head, HeadGradients, HeadScratch, head_loss};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// f32 compared with f64: absolute up to 1, relative above.
const TOLERANCE: f64 = 1e-5;
/// The reference compared with itself on another machine.
const SAME: f64 = 1e-8;
/// Step of central differences.
const STEP: f64 = 1e-5;
const V: usize = 11;
const D: usize = 4;
const K: usize = 3;
/// K of the other teacher.
const OTHER_K: usize = 2;
/// Weights of the two.
const WEIGHTS: [f64; 2] = [3.0, 1.0];
const TAU: f64 = 2.0;

/// Stored signals of one position; null stands for -inf.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Labels {
    target_logprob: f32,
    target_rank: u16,
    entropy: f32,
    topk_ids: Vec<u32>,
    topk_logprobs: Vec<Option<f32>>,
    tail_mass: f32,
    log_partition: f32,
    sampled_ids: Vec<u32>,
    sampled_counts: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Position {
    hidden: Vec<f32>,
    target: u32,
    /// 0 if the target is the first token of a new document.
    weight: f32,
    labels: Option<Labels>,
    /// Labels of another teacher, in cases with several.
    other: Option<Labels>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Case {
    /// `None` is cross-entropy alone.
    loss: Option<KdLoss>,
    tau: f64,
    temperature_mode: TemperatureMode,
    gate: Gate,
    gate_k: u32,
    gate_fraction: f64,
    /// What the gate `excess` does.
    #[serde(default, skip_serializing_if = "is_default")]
    gate_excess: GateExcess,
    omega: f32,
    /// Boundary of the gate `excess`, nats.
    least_excess: Option<f32>,
    /// `None`: only the first teacher.
    teachers: Option<Teachers>,
    teacher_weights: Vec<f64>,
    expected: Expected,
}

fn is_default(gate_excess: &GateExcess) -> bool {
    *gate_excess == GateExcess::default()
}

/// Means over the weighted positions, `kd` over those that learn from the teacher; gradients of `loss`. Positions
/// that the gate `excess` cuts have loss 0; if it weights, losses are multiplied by the weight.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Expected {
    loss: f64,
    ce: f64,
    kd: Option<f64>,
    n: f64,
    n_kd: f64,
    n_learnt: f64,
    dhidden: Vec<f64>,
    dweight: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Golden {
    made_by: String,
    n_ids: usize,
    d_model: usize,
    /// Temperature of `log_partition`, and of the draws in cases that use it.
    tau: f64,
    weight: Vec<f32>,
    /// Where each sequence starts among the positions.
    starts: Vec<usize>,
    positions: Vec<Position>,
    cases: Vec<Case>,
}

#[test]
fn losses_and_gradients_are_those_of_the_file_that_the_python_package_is_held_to() {
    let path = golden_path();
    if std::env::var_os("SALTWORKS_BLESS").is_some_and(|value| value == "1") {
        let text = serde_json::to_string_pretty(&made()).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let golden: Golden = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    assert_eq!(golden.cases.len(), cases().len());
    for case in &golden.cases {
        let slow = reference(&golden, case);
        assert_near(&slow, &case.expected, SAME, case);
        assert_near(&fast(&golden, case), &case.expected, TOLERANCE, case);
    }
}

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/losses.json")
}

#[track_caller]
fn assert_near(got: &Expected, expected: &Expected, tolerance: f64, case: &Case) {
    let near = |a: f64, b: f64| (a - b).abs() <= tolerance * b.abs().max(1.0);
    let all =
        |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| near(a, b));
    let kd = match (got.kd, expected.kd) {
        (Some(a), Some(b)) => near(a, b),
        (a, b) => a == b,
    };
    assert!(
        kd && near(got.loss, expected.loss)
            && near(got.ce, expected.ce)
            && (got.n, got.n_kd) == (expected.n, expected.n_kd)
            && near(got.n_learnt, expected.n_learnt)
            && all(&got.dhidden, &expected.dhidden)
            && all(&got.dweight, &expected.dweight),
        "{case:?}\ngot {got:?}"
    );
}

/// The trainer's results for a case.
fn fast(golden: &Golden, case: &Case) -> Expected {
    let policy = case.loss.map(|loss| KdPolicy {
        loss,
        tau: case.tau,
        temperature_mode: case.temperature_mode,
        gate: case.gate,
        gate_k: case.gate_k,
        gate_fraction: case.gate_fraction,
        gate_excess: case.gate_excess,
        tau_idx: vec![(case.tau != 1.0 && loss != KdLoss::Sampled).then_some(0); 2],
        joining: joining(case),
    });
    let examples = examples(golden, case);
    let kd = policy.as_ref().map(|policy| {
        StepKd::new(policy, case.omega, &examples, true).with_least_excess(case.least_excess)
    });
    let batch = targets_of(&examples, kd, true);
    let x_nd: Vec<f32> = golden
        .positions
        .iter()
        .flat_map(|p| p.hidden.clone())
        .collect();
    let (mut dx_nd, mut dweight_vd) = (vec![0.0; x_nd.len()], vec![0.0; golden.weight.len()]);
    let n: f32 = batch.weights_n.iter().sum();
    let sums = run_head(
        golden,
        &x_nd,
        &batch,
        n.recip(),
        (&mut dx_nd, &mut dweight_vd),
    );
    Expected {
        loss: sums.loss / sums.n,
        ce: sums.ce / sums.n,
        kd: (sums.n_kd > 0.0).then(|| sums.kd / sums.n_kd),
        n: sums.n,
        n_kd: sums.n_kd,
        n_learnt: sums.n_learnt,
        dhidden: wide(&dx_nd),
        dweight: wide(&dweight_vd),
    }
}

fn run_head(
    golden: &Golden,
    x_nd: &[f32],
    batch: &MicroBatch,
    scale: f32,
    (dx_nd, dweight_vd): (&mut [f32], &mut [f32]),
) -> LossSums {
    let head = Head {
        weight_vd: &golden.weight,
        vocab_size: golden.n_ids,
        d_model: golden.d_model,
    };
    let grads = HeadGradients {
        dx_nd,
        dweight_vd,
        fresh: true,
    };
    let mut scratch = HeadScratch::new(batch.n_positions(), golden.n_ids, 1);
    head_loss(head, x_nd, batch, scale, grads, &mut scratch, 1)
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

fn joining(case: &Case) -> Joining {
    case.teachers.map_or(Joining::default(), |how| {
        Joining::new(how, &case.teacher_weights)
    })
}

/// The positions as sequences, with a document boundary where a position has no weight.
fn examples(golden: &Golden, case: &Case) -> Vec<Example> {
    let ranges = golden.starts.windows(2).enumerate();
    ranges
        .map(|(seq_id, range)| example(seq_id as u64, &golden.positions[range[0]..range[1]], case))
        .collect()
}

fn example(seq_id: u64, positions: &[Position], case: &Case) -> Example {
    let boundaries = positions
        .iter()
        .enumerate()
        .filter(|(_, p)| p.weight == 0.0);
    let starts = boundaries.map(|(t, _)| t as u32 + 1);
    let of = |labels: fn(&Position) -> Option<&Labels>| {
        let labels: Vec<&Labels> = positions.iter().filter_map(labels).collect();
        (!labels.is_empty()).then(|| signals(&labels))
    };
    let mut first = of(|position| position.labels.as_ref());
    let others = of(|position| position.other.as_ref());
    let others: Vec<PositionSignals> = others
        .filter(|_| case.teachers.is_some())
        .into_iter()
        .collect();
    let joined = first.as_mut().filter(|_| !others.is_empty());
    let chosen_t = joined.map(|first| join_stats(first, &others, &joining(case)));
    Example {
        others,
        chosen_t: chosen_t.unwrap_or_default(),
        seq_id,
        input_ids: std::iter::once(0)
            .chain(positions.iter().map(|p| p.target))
            .collect(),
        doc_starts: std::iter::once(0).chain(starts).collect(),
        signals: first,
    }
}

fn signals(labels: &[&Labels]) -> PositionSignals {
    let mut signals = PositionSignals {
        log_partition_xt: vec![labels.iter().map(|l| l.log_partition).collect()],
        sample_offsets: vec![0],
        ..PositionSignals::default()
    };
    for position in labels {
        signals.target_logprob_t.push(position.target_logprob);
        signals.target_rank_t.push(position.target_rank);
        signals.entropy_t.push(position.entropy);
        signals.topk_ids_tk.extend(&position.topk_ids);
        let logprobs = position.topk_logprobs.iter();
        signals
            .topk_logprobs_tk
            .extend(logprobs.map(|l| l.unwrap_or(f32::NEG_INFINITY)));
        signals.tail_mass_t.push(position.tail_mass);
        signals.sampled_ids.extend(&position.sampled_ids);
        signals.sampled_counts.extend(&position.sampled_counts);
        signals
            .sample_offsets
            .push(signals.sampled_ids.len() as u32);
    }
    signals
}

/// The definitions, in f64.
fn reference(golden: &Golden, case: &Case) -> Expected {
    let hidden: Vec<f64> = golden
        .positions
        .iter()
        .flat_map(|p| wide(&p.hidden))
        .collect();
    let weight = wide(&golden.weight);
    // Constant with respect to the gradient.
    let shares = excess_shares(golden, case);
    let means = |hidden: &[f64], weight: &[f64]| means(golden, case, hidden, weight, &shares);
    Expected {
        dhidden: differences(&hidden, |hidden| means(hidden, &weight).loss),
        dweight: differences(&weight, |weight| means(&hidden, weight).loss),
        ..means(&hidden, &weight)
    }
}

fn differences(x: &[f64], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let value = x[i];
            x[i] = value + STEP;
            let above = f(&x);
            x[i] = value - STEP;
            let below = f(&x);
            x[i] = value;
            (above - below) / (2.0 * STEP)
        })
        .collect()
}

/// For each position: T / (T + q) of the target if the gate `excess` weights, else 1.
fn excess_shares(golden: &Golden, case: &Case) -> Vec<f64> {
    let is_weighted = case.gate == Gate::Excess && case.gate_excess == GateExcess::Weight;
    let share = |position: &Position| {
        let Some(stats) = stats_of(position, case).filter(|_| is_weighted) else {
            return 1.0;
        };
        let (t, q) = (
            stats.target_logprob.exp(),
            (-nll_of(golden, position)).exp(),
        );
        t / (t + q)
    };
    golden.positions.iter().map(share).collect()
}

/// The student's NLL of the target.
fn nll_of(golden: &Golden, position: &Position) -> f64 {
    let hidden = wide(&position.hidden);
    let rows = golden.weight.chunks(golden.d_model);
    let product = |row: &[f32]| wide(row).iter().zip(&hidden).map(|(a, b)| a * b).sum();
    let logits: Vec<f64> = rows.map(product).collect();
    -log_softmax(&logits, 1.0)[position.target as usize]
}

fn means(golden: &Golden, case: &Case, hidden: &[f64], weight: &[f64], shares: &[f64]) -> Expected {
    let mut sums = Expected::default();
    let mut kd_sum = 0.0;
    let min_entropy = min_entropy(golden, case);
    let positions = golden.positions.iter().zip(shares);
    for ((position, share), h) in positions.zip(hidden.chunks(golden.d_model)) {
        let rows = weight.chunks(golden.d_model);
        let logits: Vec<f64> = rows
            .map(|w| w.iter().zip(h).map(|(a, b)| a * b).sum())
            .collect();
        let w = f64::from(position.weight);
        let ce = -log_softmax(&logits, 1.0)[position.target as usize];
        sums.n += w;
        sums.ce += w * ce;
        let stats = stats_of(position, case);
        if stats.is_some_and(|stats| is_cut(stats, ce, case)) {
            continue;
        }
        let learnt = w * share;
        sums.n_learnt += learnt;
        let is_open = stats.is_some_and(|stats| is_open(stats, ce, min_entropy, case));
        let omega = f64::from(case.omega);
        match kd_of(&logits, position, case).filter(|_| is_open && omega > 0.0) {
            None => sums.loss += learnt * ce,
            Some(kd) => {
                sums.loss += learnt * ((1.0 - omega) * ce + omega * kd);
                sums.n_kd += w;
                kd_sum += w * kd;
            }
        }
    }
    Expected {
        loss: sums.loss / sums.n,
        ce: sums.ce / sums.n,
        kd: (sums.n_kd > 0.0).then(|| kd_sum / sums.n_kd),
        ..sums
    }
}

fn log_softmax(logits: &[f64], tau: f64) -> Vec<f64> {
    let z: f64 = logits.iter().map(|s| (s / tau).exp()).sum();
    logits.iter().map(|s| s / tau - z.ln()).collect()
}

/// The entropy from which the gate `entropy` is open.
fn min_entropy(golden: &Golden, case: &Case) -> f32 {
    let counted = golden.positions.iter().filter(|p| p.weight > 0.0);
    let mut sorted: Vec<f32> = counted
        .filter_map(|position| Some(stats_of(position, case)?.entropy as f32))
        .collect();
    sorted.sort_by(f32::total_cmp);
    sorted[(case.gate_fraction * sorted.len() as f64) as usize]
}

/// The statistics that gates use.
#[derive(Clone, Copy)]
struct Stats {
    target_logprob: f64,
    target_rank: u16,
    entropy: f64,
}

impl Stats {
    fn of(labels: &Labels) -> Self {
        Self {
            target_logprob: labels.target_logprob.into(),
            target_rank: labels.target_rank,
            entropy: labels.entropy.into(),
        }
    }
}

/// Statistics of the teacher, or of two combined; `None` for a position without labels.
fn stats_of(position: &Position, case: &Case) -> Option<Stats> {
    let first = Stats::of(position.labels.as_ref()?);
    let Some(how) = case.teachers else {
        return Some(first);
    };
    let other = Stats::of(position.other.as_ref()?);
    let [a, b] = weights(case);
    Some(match how {
        Teachers::Mix => Stats {
            target_logprob: (a * first.target_logprob.exp() + b * other.target_logprob.exp()).ln(),
            target_rank: first.target_rank.min(other.target_rank),
            entropy: a * first.entropy + b * other.entropy,
        },
        Teachers::LowerNll if other.target_logprob > first.target_logprob => other,
        Teachers::LowerNll => first,
    })
}

fn weights(case: &Case) -> [f64; 2] {
    let sum: f64 = case.teacher_weights.iter().sum();
    [0, 1].map(|i| case.teacher_weights[i] / sum)
}

fn is_open(stats: Stats, student_nll: f64, min_entropy: f32, case: &Case) -> bool {
    match case.gate {
        Gate::None | Gate::Excess => true,
        Gate::Learnable => u32::from(stats.target_rank) < case.gate_k,
        Gate::Entropy => stats.entropy as f32 >= min_entropy,
        Gate::Agreement => student_nll > -stats.target_logprob,
    }
}

fn is_cut(stats: Stats, student_nll: f64, case: &Case) -> bool {
    let excess = student_nll + stats.target_logprob;
    case.gate == Gate::Excess
        && case
            .least_excess
            .is_some_and(|least| excess < f64::from(least))
}

/// Midpoint of the two excesses around the gate's fraction, by the reference.
fn reference_excess_threshold(golden: &Golden, case: &Case) -> f32 {
    let counted = golden.positions.iter().filter(|p| p.weight > 0.0);
    let mut excesses: Vec<f64> = counted
        .filter_map(|p| Some(nll_of(golden, p) + stats_of(p, case)?.target_logprob))
        .collect();
    excesses.sort_by(f64::total_cmp);
    let place = (case.gate_fraction * excesses.len() as f64) as usize;
    f64::midpoint(excesses[place - 1], excesses[place]) as f32
}

/// KD of one position; `None` without labels or without a KD loss.
fn kd_of(logits: &[f64], position: &Position, case: &Case) -> Option<f64> {
    let first = position.labels.as_ref()?;
    let of = |labels| kd_of_teacher(logits, labels, case);
    let Some(how) = case.teachers else {
        return of(first);
    };
    let other = position.other.as_ref()?;
    let [a, b] = weights(case);
    match how {
        Teachers::Mix => Some(a * of(first)? + b * of(other)?),
        Teachers::LowerNll if other.target_logprob > first.target_logprob => of(other),
        Teachers::LowerNll => of(first),
    }
}

fn kd_of_teacher(logits: &[f64], labels: &Labels, case: &Case) -> Option<f64> {
    let loss = case.loss?;
    let student_tau = match case.temperature_mode {
        TemperatureMode::Both => case.tau,
        TemperatureMode::Teacher => 1.0,
    };
    let log_q = log_softmax(logits, student_tau);
    let (kept, tail) = teacher(labels, loss, case.tau);
    let mut kd: f64 = kept
        .iter()
        .map(|&(id, p)| plogp(p, log_q[id as usize]))
        .sum();
    if tail > 0.0 {
        let is_kept = |id: usize| kept.iter().any(|&(kept, _)| kept as usize == id);
        let others = (0..logits.len()).filter(|&id| !is_kept(id));
        kd += plogp(tail, others.map(|id| log_q[id].exp()).sum::<f64>().ln());
    }
    Some(student_tau * student_tau * kd)
}

fn plogp(p: f64, log_q: f64) -> f64 {
    if p > 0.0 { p * (p.ln() - log_q) } else { 0.0 }
}

/// Ids with the target probabilities of a loss, and the probability of all other ids.
fn teacher(labels: &Labels, loss: KdLoss, tau: f64) -> (Vec<(u32, f64)>, f64) {
    if loss == KdLoss::Sampled {
        let n: f64 = labels.sampled_counts.iter().map(|&c| f64::from(c)).sum();
        let shares = labels.sampled_counts.iter().map(|&c| f64::from(c) / n);
        return (
            labels.sampled_ids.iter().copied().zip(shares).collect(),
            0.0,
        );
    }
    let log_partition = if tau == 1.0 {
        0.0
    } else {
        f64::from(labels.log_partition)
    };
    let stored = labels
        .topk_logprobs
        .iter()
        .map(|l| l.map_or(f64::NEG_INFINITY, f64::from));
    let p: Vec<f64> = stored.map(|l| (l / tau - log_partition).exp()).collect();
    let (sum, stored_tail): (f64, f64) = (p.iter().sum(), labels.tail_mass.into());
    let has_tail = tau == 1.0 || (stored_tail > 0.0 && sum <= 1.0);
    let (factor, tail) = match loss {
        KdLoss::Renormalize => (1.0 / sum, 0.0),
        KdLoss::TailBucket if !has_tail => (1.0 / sum, 0.0),
        KdLoss::TailBucket if tau == 1.0 => ((1.0 - stored_tail) / sum, stored_tail),
        KdLoss::TailBucket => (1.0, 1.0 - sum),
        KdLoss::Drop | KdLoss::Sampled => (1.0, 0.0),
    };
    let scaled = p.iter().map(|p| p * factor);
    (labels.topk_ids.iter().copied().zip(scaled).collect(), tail)
}

/// Generates the file's contents.
fn made() -> Golden {
    let numbers = |n: usize, seed: u64, size: f32| -> Vec<f32> {
        let mut state = seed;
        let draw = |_| (crate::splitmix::next(&mut state) >> 54) as f32 / 512.0 - 1.0;
        (0..n).map(draw).map(|x| size * x).collect()
    };
    let positions = (0..9_u64).map(|n| Position {
        hidden: numbers(D, 100 + n, 2.0),
        target: (n as u32 * 5 + 3) % V as u32,
        weight: if n == 5 { 0.0 } else { 1.0 },
        // The last sequence has no labels.
        labels: (n < 7).then(|| {
            let logits = numbers(V, 200 + n, 3.0);
            stored(&logits, n, (n as u32 * 5 + 3) % V as u32, K)
        }),
        other: (n < 7).then(|| {
            let logits = numbers(V, 300 + n, 3.0);
            stored(&logits, n + 2, (n as u32 * 5 + 3) % V as u32, OTHER_K)
        }),
    });
    let mut golden = Golden {
        made_by: "SALTWORKS_BLESS=1 cargo test --lib train::loss::tests".to_owned(),
        n_ids: V,
        d_model: D,
        tau: TAU,
        weight: numbers(V * D, 1, 1.5),
        starts: vec![0, 4, 7, 9],
        positions: positions.collect(),
        cases: cases(),
    };
    let thresholds: Vec<Option<f32>> = golden
        .cases
        .iter()
        .map(|case| {
            let cuts = case.gate == Gate::Excess && case.gate_excess == GateExcess::Cut;
            cuts.then(|| reference_excess_threshold(&golden, case))
        })
        .collect();
    for (case, threshold) in golden.cases.iter_mut().zip(thresholds) {
        case.least_excess = threshold;
    }
    let expected: Vec<Expected> = golden
        .cases
        .iter()
        .map(|case| reference(&golden, case))
        .collect();
    for (case, expected) in golden.cases.iter_mut().zip(expected) {
        case.expected = expected;
    }
    golden
}

/// Labels of a position with `k` ids, rounded to m5. Position 1 has only two possible ids: no tail, and a
/// stored id of probability 0.
fn stored(logits: &[f32], n: u64, target: u32, k: usize) -> Labels {
    let mut logits = wide(logits);
    if n == 1 {
        (2..V).for_each(|id| logits[id] = f64::NEG_INFINITY);
    }
    let log_p = log_softmax(&logits, 1.0);
    let mut order: Vec<u32> = (0..V as u32).collect();
    order.sort_by(|&a, &b| {
        log_p[b as usize]
            .total_cmp(&log_p[a as usize])
            .then(a.cmp(&b))
    });
    let rounded = |&id: &u32| Rounding::M5.round(log_p[id as usize] as f32);
    let tail: f64 = order[k..].iter().map(|&id| log_p[id as usize].exp()).sum();
    let tempered: f64 = log_p.iter().map(|l| (l / TAU).exp()).sum();
    let drawn = n % 3 + 1;
    Labels {
        target_logprob: log_p[target as usize].max(-50.0) as f32,
        entropy: -log_p.iter().map(|l| plogp(l.exp(), 0.0)).sum::<f64>() as f32,
        target_rank: order.iter().position(|&id| id == target).unwrap() as u16,
        topk_logprobs: order[..k]
            .iter()
            .map(rounded)
            .map(|l| l.is_finite().then_some(l))
            .collect(),
        topk_ids: order[..k].to_vec(),
        tail_mass: tail as f32,
        log_partition: tempered.ln() as f32,
        sampled_ids: (0..drawn).map(|i| (i * 3 + n) as u32 % V as u32).collect(),
        sampled_counts: (0..drawn).map(|i| (i * 2 + 1) as u16).collect(),
    }
}

/// Every loss at three temperings, alone, mixed with each gate, and with two teachers; two teachers with each
/// gate; cross-entropy with the gate `excess`; and finally `excess` with weights.
fn cases() -> Vec<Case> {
    let losses = [
        KdLoss::TailBucket,
        KdLoss::Sampled,
        KdLoss::Renormalize,
        KdLoss::Drop,
    ];
    let temperings = [
        (1.0, TemperatureMode::Teacher),
        (TAU, TemperatureMode::Teacher),
        (TAU, TemperatureMode::Both),
    ];
    let mut cases = vec![case(None, (1.0, TemperatureMode::Teacher), Gate::None, 0.0)];
    for loss in losses {
        for tempering in temperings {
            cases.push(case(Some(loss), tempering, Gate::None, 1.0));
            for gate in GATES {
                cases.push(case(Some(loss), tempering, gate, 0.25));
            }
            for teachers in TEACHERS {
                let of_one = case(Some(loss), tempering, Gate::None, 0.75);
                cases.push(by_two(of_one, teachers));
            }
        }
    }
    let plain = (1.0, TemperatureMode::Teacher);
    for teachers in TEACHERS {
        let gated = |gate| case(Some(KdLoss::TailBucket), plain, gate, 0.25);
        cases.extend(GATES.map(|gate| by_two(gated(gate), teachers)));
    }
    cases.push(case(Some(KdLoss::TailBucket), plain, Gate::Excess, 0.0));
    let weighting = |case: &Case| Case {
        gate_excess: GateExcess::Weight,
        ..case.clone()
    };
    let by_excess = cases.iter().filter(|case| case.gate == Gate::Excess);
    let weighted: Vec<Case> = by_excess.map(weighting).collect();
    cases.extend(weighted);
    cases
}

const GATES: [Gate; 4] = [
    Gate::Learnable,
    Gate::Entropy,
    Gate::Agreement,
    Gate::Excess,
];
const TEACHERS: [Teachers; 2] = [Teachers::Mix, Teachers::LowerNll];

fn by_two(case: Case, teachers: Teachers) -> Case {
    Case {
        teachers: Some(teachers),
        teacher_weights: WEIGHTS.to_vec(),
        ..case
    }
}

fn case(
    loss: Option<KdLoss>,
    (tau, temperature_mode): (f64, TemperatureMode),
    gate: Gate,
    omega: f32,
) -> Case {
    Case {
        loss,
        tau,
        temperature_mode,
        gate,
        gate_k: 4,
        gate_fraction: 0.35,
        gate_excess: GateExcess::Cut,
        omega,
        least_excess: None,
        teachers: None,
        teacher_weights: vec![1.0],
        expected: Expected::default(),
    }
}
