//! Losses of one row: compares gradients with central differences, and top-k losses with dense KD.

use super::super::row_loss::{RowGate, RowGoal, RowKd, RowLoss, row_gradient, row_score};
use super::{differences, numbers, wide};
use crate::train::batch::{HeadGate, KdLoss};
use proptest::prelude::*;

/// exp in f32 is accurate to 2e-7, and a gradient is a difference of probabilities, so this is absolute for
/// gradients below 1, and relative to the largest of the row above that.
const TOLERANCE: f64 = 1e-6;
/// For a loss: f32 logits of some tens of nats, sums in f64.
const LOSS_TOLERANCE: f64 = 5e-6;

#[track_caller]
fn assert_close(got: &[f32], expected: &[f64], tolerance: f64) {
    let largest = expected.iter().fold(1.0_f64, |a, b| a.max(b.abs()));
    for (got, expected) in got.iter().zip(expected) {
        let difference = (f64::from(*got) - expected).abs();
        assert!(
            difference <= tolerance * largest,
            "got {got}, expected {expected}, largest {largest}"
        );
    }
}

fn log_softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let log_z = max + logits.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
    logits.iter().map(|x| x - log_z).collect()
}

fn plogp(p: f64, log_q: f64) -> f64 {
    if p > 0.0 { p * (p.ln() - log_q) } else { 0.0 }
}

/// KD over the whole vocabulary: sum p log (p / q).
fn dense_kd(logits: &[f64], p: &[f64]) -> f64 {
    let log_q = log_softmax(logits);
    p.iter()
        .zip(&log_q)
        .map(|(&p, &log_q)| plogp(p, log_q))
        .sum()
}

/// The loss by its definition.
fn reference(logits: &[f64], target: u32, kd: Option<RowKd<'_>>) -> f64 {
    let ce = -log_softmax(logits)[target as usize];
    let Some(kd) = kd else { return ce };
    let tau = f64::from(kd.student_tau);
    let tempered: Vec<f64> = logits.iter().map(|x| x / tau).collect();
    let log_q = log_softmax(&tempered);
    let mut loss = f64::from(kd.negentropy);
    for (&id, &p) in kd.ids.iter().zip(kd.probs) {
        loss -= if p > 0.0 {
            f64::from(p) * log_q[id as usize]
        } else {
            0.0
        };
    }
    for (i, &tail) in kd.tails.iter().enumerate() {
        let is_kept = |id: usize| {
            let place = kd.ids.iter().position(|&kept| kept as usize == id);
            place.is_some_and(|j| !kd.in_tail.get(i * kd.ids.len() + j).unwrap_or(&false))
        };
        let q_tail: f64 = (0..logits.len())
            .filter(|&id| !is_kept(id))
            .map(|id| log_q[id].exp())
            .sum();
        loss -= if tail > 0.0 {
            f64::from(tail) * q_tail.ln()
        } else {
            0.0
        };
    }
    let omega = f64::from(kd.omega);
    (1.0 - omega) * ce + omega * tau * tau * loss
}

/// Minus the entropy of a row's KD targets, including tails.
fn negentropy(probs: &[f32], tails: &[f32]) -> f32 {
    let probs = probs.iter().chain(tails);
    probs.map(|&p| plogp(f64::from(p), 0.0)).sum::<f64>() as f32
}

fn gradient(logits: &[f32], target: u32, kd: Option<RowKd<'_>>) -> (Vec<f32>, RowLoss) {
    gated_gradient(logits, target, kd, None)
}

fn gated_gradient(
    logits: &[f32],
    target: u32,
    kd: Option<RowKd<'_>>,
    gate: Option<RowGate>,
) -> (Vec<f32>, RowLoss) {
    let mut gradient = logits.to_vec();
    let mut scratch = vec![f32::NAN; 2 * logits.len()];
    let goal = RowGoal { target, kd, gate };
    let loss = row_gradient(&mut gradient, goal, 1.0, &mut scratch);
    (gradient, loss)
}

fn total(loss: RowLoss, omega: f32) -> f64 {
    let omega = f64::from(omega);
    (1.0 - omega) * loss.ce + omega * loss.kd
}

/// Ids and probabilities of a teacher with these logits, by decreasing probability.
fn teacher(logits: &[f32]) -> Vec<(u32, f64)> {
    let log_p = log_softmax(&wide(logits));
    let mut p: Vec<(u32, f64)> = (0..).zip(log_p.iter().map(|x| x.exp())).collect();
    p.sort_by(|a, b| b.1.total_cmp(&a.1));
    p
}

/// The input of a loss: the teacher's K top ids, and with `tail-bucket` the tail.
struct Kept {
    ids: Vec<u32>,
    probs: Vec<f32>,
    tails: Vec<f32>,
}

impl Kept {
    fn new(loss: KdLoss, teacher: &[(u32, f64)], k: usize) -> Self {
        let mass: f64 = teacher[..k].iter().map(|(_, p)| p).sum();
        let divisor = if loss == KdLoss::Renormalize {
            mass
        } else {
            1.0
        };
        let tail = || teacher[k..].iter().map(|(_, p)| p).sum::<f64>() as f32;
        Self {
            ids: teacher[..k].iter().map(|&(id, _)| id).collect(),
            probs: teacher[..k]
                .iter()
                .map(|&(_, p)| (p / divisor) as f32)
                .collect(),
            tails: (loss == KdLoss::TailBucket)
                .then(tail)
                .into_iter()
                .collect(),
        }
    }

    fn kd(&self, omega: f32, student_tau: f32) -> RowKd<'_> {
        RowKd {
            student_tau,
            omega,
            ids: &self.ids,
            probs: &self.probs,
            tails: &self.tails,
            in_tail: &[],
            negentropy: negentropy(&self.probs, &self.tails),
        }
    }
}

const LOSSES: [KdLoss; 4] = [
    KdLoss::TailBucket,
    KdLoss::Sampled,
    KdLoss::Renormalize,
    KdLoss::Drop,
];

proptest! {
    #[test]
    fn every_loss_has_the_gradient_of_its_definition(
        vocab_size in 2_usize..70,
        seed in 0_u64..1000,
        k_share in 0.0_f64..=1.0,
        target_share in 0.0_f64..1.0,
        spread in 0.1_f32..12.0,
        which in 0_usize..4,
        omega in prop_oneof![Just(1.0_f32), 0.01_f32..1.0],
        student_tau in prop_oneof![Just(1.0_f32), Just(2.0), Just(0.5)],
    ) {
        let logits: Vec<f32> = numbers(vocab_size, seed).iter().map(|x| spread * x).collect();
        let teacher = teacher(&numbers(vocab_size, seed + 1).iter().map(|x| 5.0 * x).collect::<Vec<_>>());
        let k = ((vocab_size as f64 * k_share) as usize).clamp(1, vocab_size);
        let target = (vocab_size as f64 * target_share) as u32;
        let loss = LOSSES[which];
        let kept = Kept::new(loss, &teacher, k);
        let kd = Some(kept.kd(omega, student_tau));
        let (got, row) = gradient(&logits, target, kd);
        let expected = differences(&logits, |logits| reference(logits, target, kd));
        assert_close(&got, &expected, TOLERANCE * f64::from(student_tau.max(1.0)));
        let negentropy = kd.map_or(0.0, |kd| f64::from(kd.negentropy));
        let soft = row.kd - f64::from(student_tau * student_tau) * negentropy;
        prop_assert!((row.soft - soft).abs() <= LOSS_TOLERANCE * soft.abs().max(1.0), "{row:?} {soft}");
        let loss = reference(&wide(&logits), target, kd);
        prop_assert!((total(row, omega) - loss).abs() <= LOSS_TOLERANCE * loss.abs().max(1.0), "{row:?} {loss}");
    }

    #[test]
    fn cross_entropy_has_the_gradient_of_its_definition(
        vocab_size in 1_usize..2000, seed in 0_u64..1000, spread in 0.1_f32..40.0,
    ) {
        let logits: Vec<f32> = numbers(vocab_size, seed).iter().map(|x| spread * x).collect();
        let target = (seed % vocab_size as u64) as u32;
        let (got, row) = gradient(&logits, target, None);
        let log_q = log_softmax(&wide(&logits));
        let expected: Vec<f64> = (0..vocab_size)
            .map(|id| log_q[id].exp() - f64::from(u8::from(id == target as usize)))
            .collect();
        assert_close(&got, &expected, TOLERANCE);
        let nll = -log_q[target as usize];
        prop_assert!((row.ce - nll).abs() <= LOSS_TOLERANCE * nll.max(1.0));
    }

    #[test]
    fn a_score_is_the_nll_and_the_best_id_of_the_whole_softmax(
        vocab_size in 1_usize..2000, seed in 0_u64..1000, spread in 0.1_f32..40.0, n_levels in 1_u32..40,
    ) {
        // Few levels, so that many ids tie for the top.
        let level = |x: &f32| (x * n_levels as f32).round() / n_levels as f32;
        let logits: Vec<f32> = numbers(vocab_size, seed).iter().map(|x| spread * level(x)).collect();
        let log_q = log_softmax(&wide(&logits));
        let mut best = 0;
        for id in 1..vocab_size {
            if logits[id] > logits[best] {
                best = id;
            }
        }
        for target in [best, (seed % vocab_size as u64) as usize, vocab_size - 1] {
            let score = row_score(&mut logits.clone(), target as u32);
            let nll = -log_q[target];
            prop_assert!((score.nll - nll).abs() <= LOSS_TOLERANCE * nll.max(1.0));
            let best_prob = log_q[best].exp();
            prop_assert!((f64::from(score.best_prob) - best_prob).abs() <= LOSS_TOLERANCE);
            prop_assert_eq!(score.is_best, target == best);
        }
    }

    #[test]
    fn at_k_equal_to_v_every_top_k_loss_is_dense_kd(vocab_size in 2_usize..200, seed in 0_u64..1000) {
        let logits: Vec<f32> = numbers(vocab_size, seed).iter().map(|x| 6.0 * x).collect();
        let teacher = teacher(&numbers(vocab_size, seed + 1).iter().map(|x| 6.0 * x).collect::<Vec<_>>());
        let mut p = vec![0.0; vocab_size];
        teacher.iter().for_each(|&(id, value)| p[id as usize] = value);
        let expected = differences(&logits, |logits| dense_kd(logits, &p));
        let divergence = dense_kd(&wide(&logits), &p);
        for loss in [KdLoss::TailBucket, KdLoss::Renormalize, KdLoss::Drop] {
            let kept = Kept::new(loss, &teacher, vocab_size);
            let (got, row) = gradient(&logits, 0, Some(kept.kd(1.0, 1.0)));
            assert_close(&got, &expected, TOLERANCE);
            prop_assert!((row.kd - divergence).abs() <= LOSS_TOLERANCE * divergence.max(1.0));
        }
    }
}

/// Checks each formula: stored ids, tail ids, and the target in either.
#[test]
fn tail_bucket_gradients_are_the_formulas_for_kept_ids_tail_ids_and_targets() {
    let logits = [1.0_f32, 0.0, -1.0, 0.5];
    let q: Vec<f64> = log_softmax(&wide(&logits))
        .iter()
        .map(|x| x.exp())
        .collect();
    let (ids, probs, tail, omega) = ([2_u32, 0], [0.6_f32, 0.3], 0.1_f32, 0.25_f32);
    let q_tail = q[1] + q[3];
    for target in 0..4_u32 {
        let kd = RowKd {
            student_tau: 1.0,
            omega,
            ids: &ids,
            probs: &probs,
            tails: &[tail],
            in_tail: &[],
            negentropy: negentropy(&probs, &[tail]),
        };
        let (got, _) = gradient(&logits, target, Some(kd));
        let kd_part = [
            q[0] - 0.3,
            q[1] * (1.0 - 0.1 / q_tail),
            q[2] - 0.6,
            q[3] * (1.0 - 0.1 / q_tail),
        ];
        let expected: Vec<f64> = (0..4)
            .map(|id| {
                let ce = q[id] - f64::from(u8::from(id == target as usize));
                0.75 * ce + 0.25 * kd_part[id]
            })
            .collect();
        assert_close(&got, &expected, TOLERANCE);
    }
}

/// A gate is evaluated after the exponentials were summed, in another order than without a teacher.
#[track_caller]
fn assert_same(got: (Vec<f32>, RowLoss), expected: (Vec<f32>, RowLoss)) {
    assert_close(&got.0, &wide(&expected.0), TOLERANCE);
    let (got, expected) = (got.1, expected.1);
    assert_eq!((got.omega, got.weight), (expected.omega, expected.weight));
    for (got, expected) in [
        (got.ce, expected.ce),
        (got.kd, expected.kd),
        (got.soft, expected.soft),
    ] {
        assert!((got - expected).abs() < LOSS_TOLERANCE, "{got} {expected}");
    }
}

#[test]
fn the_gate_agreement_is_open_only_while_the_students_nll_is_above_the_teachers() {
    let logits: Vec<f32> = numbers(40, 3).iter().map(|x| 4.0 * x).collect();
    let teacher = teacher(&numbers(40, 4));
    let (_, plain) = gradient(&logits, 7, None);
    let nll = plain.ce as f32;
    for (loss, student_tau) in LOSSES.map(|loss| [(loss, 1.0), (loss, 2.0)]).concat() {
        let kept = Kept::new(loss, &teacher, 5);
        let open = kept.kd(0.5, student_tau);
        let gated = |teacher_nll| {
            let gate = HeadGate::Agreement;
            gated_gradient(&logits, 7, Some(open), Some(RowGate { gate, teacher_nll }))
        };
        assert_eq!(gated(nll - 0.01), gradient(&logits, 7, Some(open)));
        assert_eq!(gated(nll - 0.01).1.omega, 0.5);
        for better_student in [nll + 0.01, f32::INFINITY] {
            assert_same(gated(better_student), gradient(&logits, 7, None));
            assert_eq!(gated(better_student).1.omega, 0.0);
        }
    }
}

#[test]
fn the_gate_excess_cuts_positions_below_its_threshold() {
    let logits: Vec<f32> = numbers(40, 3).iter().map(|x| 4.0 * x).collect();
    let teacher = teacher(&numbers(40, 4));
    let (_, plain) = gradient(&logits, 7, None);
    let nll = plain.ce as f32;
    let gate = HeadGate::Excess(0.25);
    let gated =
        |kd, teacher_nll| gated_gradient(&logits, 7, kd, Some(RowGate { gate, teacher_nll }));
    let kepts = LOSSES.map(|loss| Kept::new(loss, &teacher, 5));
    let kds = kepts
        .iter()
        .flat_map(|kept| [1.0, 2.0].map(|tau| Some(kept.kd(0.5, tau))));
    for kd in kds.chain([None]) {
        for learnt in [nll - 0.26, f32::NEG_INFINITY] {
            assert_eq!(gated(kd, learnt), gradient(&logits, 7, kd));
        }
        for cut in [nll - 0.24, nll + 3.0, f32::INFINITY] {
            let (gradient, row) = gated(kd, cut);
            assert!(gradient.iter().all(|&value| value == 0.0), "{gradient:?}");
            assert!((row.ce - plain.ce).abs() < LOSS_TOLERANCE);
            let nothing = RowLoss {
                ce: row.ce,
                ..RowLoss::default()
            };
            assert_eq!(row, nothing);
        }
    }
    let no_number = [0.0, f32::NAN, 1.0];
    let gate = Some(RowGate {
        gate,
        teacher_nll: 0.0,
    });
    let (_, row) = gated_gradient(&no_number, 0, None, gate);
    assert!(
        row.ce.is_nan() && row.weight == 1.0,
        "it would go unseen: {row:?}"
    );
}

#[test]
fn the_gate_excess_weights_by_the_teachers_share_of_the_targets_probability() {
    let logits: Vec<f32> = numbers(40, 3).iter().map(|x| 4.0 * x).collect();
    let teacher = teacher(&numbers(40, 4));
    let nll = gradient(&logits, 7, None).1.ce;
    let gate = HeadGate::ExcessWeight;
    let kepts = LOSSES.map(|loss| Kept::new(loss, &teacher, 5));
    let kds = kepts
        .iter()
        .flat_map(|kept| [1.0, 2.0].map(|tau| Some(kept.kd(0.5, tau))));
    for kd in kds.chain([None]) {
        let (open, row) = gradient(&logits, 7, kd);
        for excess in [f64::NEG_INFINITY, -8.0, -0.5, 0.0, 0.5, 8.0, f64::INFINITY] {
            let teacher_nll = (nll - excess) as f32;
            let (t, q) = ((-f64::from(teacher_nll)).exp(), (-nll).exp());
            let weight = if t.is_infinite() { 1.0 } else { t / (t + q) };
            let goal = Some(RowGate { gate, teacher_nll });
            let (weighted, got) = gated_gradient(&logits, 7, kd, goal);
            assert!((f64::from(got.weight) - weight).abs() < 1e-6, "{got:?}");
            // Reported losses are unweighted; the gradient has the weight.
            assert_eq!((got.ce, got.omega), (row.ce, row.omega));
            if weight > 0.0 {
                assert!((got.kd - row.kd).abs() < LOSS_TOLERANCE, "{got:?}");
            }
            for (a, b) in weighted.iter().zip(&open) {
                assert!((f64::from(*a) - weight * f64::from(*b)).abs() < 1e-6);
            }
        }
    }
    let no_number = [0.0, f32::NAN, 1.0];
    let gate = Some(RowGate {
        gate,
        teacher_nll: 0.0,
    });
    let (_, row) = gated_gradient(&no_number, 0, None, gate);
    assert!(row.weight.is_nan(), "it would go unseen: {row:?}");
}

proptest! {
    /// Teachers with different K, compared with their separate losses.
    #[test]
    fn mixed_teachers_have_the_weighted_sum_of_their_losses_and_gradients(
        vocab_size in 3_usize..60,
        seed in 0_u64..1000,
        ks in prop::collection::vec(1_usize..20, 2..5),
        first_weight in 0.05_f64..3.0,
        spread in 0.1_f32..9.0,
        which in 0_usize..4,
        student_tau in prop_oneof![Just(1.0_f32), Just(2.0)],
    ) {
        let logits: Vec<f32> = numbers(vocab_size, seed).iter().map(|x| spread * x).collect();
        let loss = LOSSES[which];
        let kepts: Vec<Kept> = ks.iter().zip(1..).map(|(&k, i)| {
            let logits = numbers(vocab_size, seed + 100 * i);
            let teacher = teacher(&logits.iter().map(|x| 5.0 * x).collect::<Vec<_>>());
            Kept::new(loss, &teacher, k.min(vocab_size))
        }).collect();
        let n = kepts.len() as f64;
        let weights: Vec<f64> = (0..kepts.len())
            .map(|i| if i == 0 { first_weight } else { 1.0 } / (first_weight + n - 1.0))
            .collect();
        let mixed = Mixed::of(&kepts, &weights);
        let kd = mixed.kd(1.0, student_tau);
        let (got, row) = gradient(&logits, 0, Some(kd));
        let mut expected = vec![0.0; vocab_size];
        let (mut divergence, mut soft) = (0.0, 0.0);
        for (kept, weight) in kepts.iter().zip(&weights) {
            let one = Some(kept.kd(1.0, student_tau));
            for (sum, slope) in expected.iter_mut().zip(differences(&logits, |x| reference(x, 0, one))) {
                *sum += weight * slope;
            }
            divergence += weight * reference(&wide(&logits), 0, one);
            soft += weight * gradient(&logits, 0, one).1.soft;
        }
        assert_close(&got, &expected, TOLERANCE * f64::from(student_tau));
        prop_assert!((row.kd - divergence).abs() <= LOSS_TOLERANCE * divergence.abs().max(1.0));
        prop_assert!((row.soft - soft).abs() <= LOSS_TOLERANCE * soft.abs().max(1.0));
    }
}

/// Several teachers, merged into one list of ids.
struct Mixed {
    ids: Vec<u32>,
    probs: Vec<f32>,
    tails: Vec<f32>,
    in_tail: Vec<bool>,
    negentropy: f32,
}

impl Mixed {
    fn of(kepts: &[Kept], weights: &[f64]) -> Self {
        let mut ids: Vec<u32> = kepts.iter().flat_map(|kept| kept.ids.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let prob = |kept: &Kept, id: u32| {
            let place = kept.ids.iter().position(|&kept| kept == id);
            place.map(|place| f64::from(kept.probs[place]))
        };
        let weighted = || kepts.iter().zip(weights);
        let probs = ids.iter().map(|&id| {
            let parts = weighted().map(|(kept, weight)| weight * prob(kept, id).unwrap_or(0.0));
            parts.sum::<f64>() as f32
        });
        let tails = weighted()
            .filter_map(|(kept, weight)| Some((weight * f64::from(*kept.tails.first()?)) as f32));
        let in_tail = kepts.iter().filter(|kept| !kept.tails.is_empty());
        let in_tail = in_tail.flat_map(|kept| ids.iter().map(|&id| prob(kept, id).is_none()));
        let negentropies = weighted()
            .map(|(kept, weight)| weight * f64::from(negentropy(&kept.probs, &kept.tails)));
        Self {
            probs: probs.collect(),
            tails: tails.collect(),
            in_tail: in_tail.collect(),
            negentropy: negentropies.sum::<f64>() as f32,
            ids,
        }
    }

    fn kd(&self, omega: f32, student_tau: f32) -> RowKd<'_> {
        RowKd {
            student_tau,
            omega,
            ids: &self.ids,
            probs: &self.probs,
            tails: &self.tails,
            in_tail: &self.in_tail,
            negentropy: self.negentropy,
        }
    }
}

#[test]
fn a_tail_whose_exponentials_vanish_gives_no_nan() {
    let logits = [200.0_f32, 199.0, -200.0, -300.0];
    let kd = RowKd {
        student_tau: 1.0,
        omega: 1.0,
        ids: &[0, 1],
        probs: &[0.5, 0.4],
        tails: &[0.1],
        in_tail: &[],
        negentropy: negentropy(&[0.5, 0.4], &[0.1]),
    };
    let (got, row) = gradient(&logits, 2, Some(kd));
    assert!(got.iter().all(|value| value.is_finite()), "{got:?}");
    assert!(row.kd.is_finite() && row.ce > 300.0, "{row:?}");
}

#[test]
fn a_logit_that_is_no_number_makes_the_loss_one_too() {
    let (_, row) = gradient(&[0.0, f32::NAN, 1.0], 0, None);
    assert!(row.ce.is_nan());
}

/// Draws with replacement from a distribution, by its cumulative sums.
fn counts_of(teacher: &[(u32, f64)], n_draws: usize, seed: u64) -> (Vec<u32>, Vec<f32>) {
    let mut counts = vec![0_u32; teacher.len()];
    for draw in numbers(n_draws, seed) {
        let mut left = f64::from(draw + 1.0) / 2.0;
        let hit = teacher.iter().position(|(_, p)| {
            left -= p;
            left < 0.0
        });
        counts[hit.unwrap_or(teacher.len() - 1)] += 1;
    }
    let distinct = teacher.iter().zip(counts).filter(|(_, count)| *count > 0);
    distinct
        .map(|((id, _), count)| (*id, count as f32 / n_draws as f32))
        .unzip()
}

/// Mean gradient over many rounds of draws, and the largest deviation from dense KD in standard
/// errors of that mean.
fn deviation(mean: &[f64], square: &[f64], dense: &[f64], rounds: f64) -> f64 {
    (0..dense.len())
        .map(|id| {
            let variance = (square[id] - mean[id] * mean[id]).max(1e-12);
            (mean[id] - dense[id]).abs() / (variance / rounds).sqrt()
        })
        .fold(0.0, f64::max)
}

#[test]
fn the_mean_gradient_of_samples_tends_to_the_dense_one_and_that_of_drop_does_not() {
    const ROUNDS: usize = 20_000;
    let logits: Vec<f32> = numbers(12, 1).iter().map(|x| 2.0 * x).collect();
    let teacher = teacher(&numbers(12, 2).iter().map(|x| 2.0 * x).collect::<Vec<_>>());
    let mut p = vec![0.0; 12];
    teacher
        .iter()
        .for_each(|&(id, value)| p[id as usize] = value);
    let dense = differences(&logits, |logits| dense_kd(logits, &p));
    let (mut mean, mut square) = (vec![0.0; 12], vec![0.0; 12]);
    for round in 0..ROUNDS {
        let (ids, probs) = counts_of(&teacher, 8, 1000 + round as u64);
        let kept = Kept {
            ids,
            probs,
            tails: vec![],
        };
        let kd = kept.kd(1.0, 1.0);
        let (got, _) = gradient(&logits, 0, Some(kd));
        for id in 0..12 {
            let value = f64::from(got[id]);
            mean[id] += value / ROUNDS as f64;
            square[id] += value * value / ROUNDS as f64;
        }
    }
    // 12 normal deviates: the chance that one exceeds 4 standard errors is 8e-4, and the draws are fixed.
    let of_samples = deviation(&mean, &square, &dense, ROUNDS as f64);
    assert!(of_samples < 4.0, "{of_samples} standard errors");
    let kept = Kept::new(KdLoss::Drop, &teacher, 4);
    let (of_drop, _) = gradient(&logits, 0, Some(kept.kd(1.0, 1.0)));
    let of_drop = deviation(&wide(&of_drop), &square, &dense, ROUNDS as f64);
    assert!(of_drop > 20.0, "{of_drop} standard errors");
}
