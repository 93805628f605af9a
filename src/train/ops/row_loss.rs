//! Loss and gradient of one row of logits, in place.
//!
//! With q = softmax(s), kept probabilities p, their mass a = sum p, tail p_t and q_t = sum of q over
//! ids that are not kept, weights w_ce = 1 - omega and w_kd = omega:
//!
//! ```text
//! cross-entropy          q_j - [j = y]
//! tail-bucket, kept      q_j - p_j
//! tail-bucket, others    q_j (1 - p_t / q_t)
//! the other losses       a q_j - p_j
//! ```
//!
//! q_t is the sum of the others' own exponentials: 1 - (sum of the kept) would cancel. So K ids cost
//! O(K) beside the two passes over V that cross-entropy needs anyway.

use super::simd::{exp_in_place, max, vectorized};
use crate::train::batch::{KdLoss, PositionScore};

/// What one position is to learn from a teacher.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowKd<'a> {
    pub(super) loss: KdLoss,
    pub(super) student_tau: f32,
    pub(super) omega: f32,
    /// Kept ids, distinct, and their probabilities.
    pub(super) ids: &'a [u32],
    pub(super) probs: &'a [f32],
    /// Probability outside them; `tail-bucket` only.
    pub(super) tail: f32,
    /// Learnt only while the student's NLL of the target is above this, the teacher's, nats.
    pub(super) teacher_nll: Option<f32>,
}

/// Nats of one position.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RowLoss {
    /// -log q_y.
    pub ce: f64,
    /// KD, with its factor tau^2 where the student is tempered; 0 without a teacher.
    pub kd: f64,
    /// The soft-label loss: cross-entropy with the teacher's distribution as the loss has it, tail
    /// bucket included, that is KD and the entropy of that distribution, with the same factor. 0
    /// without a teacher.
    pub soft: f64,
    /// Fraction of KD in the loss of the position; 0 where it learns by cross-entropy alone.
    pub omega: f32,
}

/// Turns logits into `scale` times their gradient. `scratch` has room for two rows.
pub(super) fn row_gradient(
    logits_v: &mut [f32],
    target: u32,
    kd: Option<RowKd<'_>>,
    scale: f32,
    scratch: &mut [f32],
) -> RowLoss {
    let (kept, copy) = scratch.split_at_mut(logits_v.len());
    let kd = kd.filter(|kd| is_open(kd, logits_v, target, kept));
    match kd {
        None => mixed(logits_v, target, None, 1.0, 1.0, scale, kept),
        Some(kd) if kd.student_tau == 1.0 => {
            mixed(logits_v, target, Some(kd), 1.0 - kd.omega, 1.0, scale, kept)
        }
        Some(kd) => both_tempered(logits_v, target, kd, scale, kept, copy),
    }
}

/// Whether the gate `agreement` lets the position learn from its teacher. Which side the student is on
/// counts as a constant: nothing is differentiated through it.
fn is_open(kd: &RowKd<'_>, logits_v: &[f32], target: u32, copy: &mut [f32]) -> bool {
    let Some(teacher_nll) = kd.teacher_nll else {
        return true;
    };
    let copy = &mut copy[..logits_v.len()];
    copy.copy_from_slice(logits_v);
    row_score(copy, target).nll > f64::from(teacher_nll)
}

/// NLL of the target, and how sure the model is of its best id; the logits are used up. The best id's
/// probability is e^0 over the sum that the NLL needs anyway, so it costs nothing.
pub(super) fn row_score(logits_v: &mut [f32], target: u32) -> PositionScore {
    let target = target as usize;
    let target_logit = logits_v[target];
    vectorized(
        #[inline(always)]
        || {
            let largest = max(logits_v);
            let is_best = target_logit == largest && !logits_v[..target].contains(&largest);
            let sum = exp_in_place(logits_v, largest, 1.0);
            PositionScore {
                nll: sum.ln() + f64::from(largest) - f64::from(target_logit),
                best_prob: sum.recip() as f32,
                is_best,
            }
        },
    )
}

/// Student tempered too: L = (1 - omega) CE + omega tau^2 KD(p, softmax(s / tau)), and since
/// d/ds = 1/tau d/d(s/tau), the KD part's gradient has the factor tau.
fn both_tempered(
    logits_v: &mut [f32],
    target: u32,
    kd: RowKd<'_>,
    scale: f32,
    kept: &mut [f32],
    copy: &mut [f32],
) -> RowLoss {
    let tau = kd.student_tau;
    let copy = &mut copy[..logits_v.len()];
    copy.copy_from_slice(logits_v);
    let inverse = 1.0 / tau;
    let tempered = mixed(copy, target, Some(kd), 0.0, inverse, scale * tau, kept);
    let scale = scale * (1.0 - kd.omega);
    let plain = mixed(logits_v, target, None, 1.0, 1.0, scale, kept);
    vectorized(
        #[inline(always)]
        || {
            for (gradient, part) in logits_v.iter_mut().zip(copy.iter()) {
                *gradient += part;
            }
        },
    );
    RowLoss {
        ce: plain.ce,
        kd: tempered.kd * f64::from(tau * tau),
        soft: tempered.soft * f64::from(tau * tau),
        omega: kd.omega,
    }
}

/// `ce_weight` CE + omega KD over softmax(factor * s): the gradient by factor * s, times `scale`.
fn mixed(
    logits_v: &mut [f32],
    target: u32,
    kd: Option<RowKd<'_>>,
    ce_weight: f32,
    factor: f32,
    scale: f32,
    kept: &mut [f32],
) -> RowLoss {
    let target = target as usize;
    let largest = vectorized(
        #[inline(always)]
        || max(logits_v),
    );
    let softmax = Softmax {
        largest,
        factor,
        scale: f64::from(scale),
        ce_weight: f64::from(ce_weight),
    };
    let target_logit = f64::from(logits_v[target] - largest) * f64::from(factor);
    let omega = kd.map_or(0.0, |kd| kd.omega);
    let (log_z, kd) = match kd {
        None => (softmax.plain(logits_v), KdNats::default()),
        Some(kd) if kd.loss == KdLoss::TailBucket => {
            softmax.tail_bucket(logits_v, &kd, &mut kept[..kd.ids.len()])
        }
        Some(kd) => softmax.scaled(logits_v, &kd),
    };
    logits_v[target] -= scale * ce_weight;
    RowLoss {
        ce: log_z - target_logit,
        kd: kd.kd,
        soft: kd.soft,
        omega,
    }
}

/// KD of one row and its cross-entropy alone, nats; of parts of a row while they are added up.
#[derive(Default)]
struct KdNats {
    kd: f64,
    soft: f64,
}

/// What the three kinds of rows share. Each turns logits into gradients but for the target's own
/// part, and returns log sum e^(factor (s - largest)) and the KD.
struct Softmax {
    largest: f32,
    factor: f32,
    scale: f64,
    ce_weight: f64,
}

impl Softmax {
    fn exp_in_place(&self, values: &mut [f32]) -> f64 {
        vectorized(
            #[inline(always)]
            || exp_in_place(values, self.largest, self.factor),
        )
    }

    fn plain(&self, logits_v: &mut [f32]) -> f64 {
        let z = self.exp_in_place(logits_v);
        multiply(logits_v, self.scale * self.ce_weight / z);
        z.ln()
    }

    fn tail_bucket(&self, logits_v: &mut [f32], kd: &RowKd<'_>, kept: &mut [f32]) -> (f64, KdNats) {
        let (cross, mass) = self.cross_with_kept(logits_v, kd);
        // The stored ids step aside, so that what is left sums to the tail.
        for (&id, logit) in kd.ids.iter().zip(kept.iter_mut()) {
            *logit = std::mem::replace(&mut logits_v[id as usize], f32::NEG_INFINITY);
        }
        let (kept_z, tail_z) = (self.exp_in_place(kept), self.exp_in_place(logits_v));
        let z = kept_z + tail_z;
        let (omega, tail) = (f64::from(kd.omega), f64::from(kd.tail));
        let q_tail = (tail_z / z).max(f64::from(f32::MIN_POSITIVE));
        let per_exp = self.scale / z;
        multiply(
            logits_v,
            per_exp * (self.ce_weight + omega * (1.0 - tail / q_tail)),
        );
        let of_kept = per_exp * (self.ce_weight + omega);
        for ((&id, &p), &e) in kd.ids.iter().zip(kd.probs).zip(kept.iter()) {
            let gradient = f64::from(e) * of_kept - self.scale * omega * f64::from(p);
            logits_v[id as usize] = gradient as f32;
        }
        let log_z = z.ln();
        let (of_tail, soft_of_tail) = if tail > 0.0 {
            (tail * (tail.ln() - q_tail.ln()), -tail * q_tail.ln())
        } else {
            (0.0, 0.0)
        };
        let nats = KdNats {
            kd: of_tail + cross.kd + mass * log_z,
            soft: soft_of_tail + cross.soft + mass * log_z,
        };
        (log_z, nats)
    }

    /// `sampled`, `renormalize` and `drop` differ in their probabilities alone.
    fn scaled(&self, logits_v: &mut [f32], kd: &RowKd<'_>) -> (f64, KdNats) {
        let (cross, mass) = self.cross_with_kept(logits_v, kd);
        let z = self.exp_in_place(logits_v);
        let omega = f64::from(kd.omega);
        multiply(logits_v, self.scale / z * (self.ce_weight + omega * mass));
        for (&id, &p) in kd.ids.iter().zip(kd.probs) {
            logits_v[id as usize] -= (self.scale * omega * f64::from(p)) as f32;
        }
        let log_z = z.ln();
        let nats = KdNats {
            kd: cross.kd + mass * log_z,
            soft: cross.soft + mass * log_z,
        };
        (log_z, nats)
    }

    /// Of the stored ids: sum p (log p - factor (s - largest)), the same without log p, and sum p.
    fn cross_with_kept(&self, logits_v: &[f32], kd: &RowKd<'_>) -> (KdNats, f64) {
        let (mut cross, mut mass) = (KdNats::default(), 0.0);
        for (&id, &p) in kd.ids.iter().zip(kd.probs) {
            let shifted = (logits_v[id as usize] - self.largest) * self.factor;
            // A logarithm in f32 is enough: it is for the loss that is told, not for the gradient.
            let (log_ratio, minus_log) = if p > 0.0 {
                (p.ln() - shifted, -shifted)
            } else {
                (0.0, 0.0)
            };
            cross.kd += f64::from(p) * f64::from(log_ratio);
            cross.soft += f64::from(p) * f64::from(minus_log);
            mass += f64::from(p);
        }
        (cross, mass)
    }
}

fn multiply(row: &mut [f32], factor: f64) {
    let factor = factor as f32;
    vectorized(
        #[inline(always)]
        || {
            for value in row {
                *value *= factor;
            }
        },
    );
}
