//! Loss and gradient of one row of logits, in place.
//!
//! With q = softmax(s), stored probabilities p, their mass a = sum p, tail p_t, and q_t = sum of q over ids
//! that are not stored, weights w_ce = 1 - omega and w_kd = omega:
//!
//! ```text
//! cross-entropy          q_j - [j = y]
//! tail-bucket, kept      q_j - p_j
//! tail-bucket, others    q_j (1 - p_t / q_t)
//! the other losses       a q_j - p_j
//! ```
//!
//! q_t is the sum of the exponentials of the other ids; computing it as 1 - (sum over the stored) would lose
//! precision. So K ids cost O(K) on top of the two passes over V that cross-entropy needs anyway.
//!
//! With several teachers, the loss is a weighted sum of such losses. Their ids are merged into one list without
//! duplicates, with p_j the weighted sum of theirs, and every teacher i has its own tail: the ids outside the
//! list, and those in the list that i does not store. With p_t,i its weighted tail mass, an id j in the list
//! has
//!
//! ```text
//! tail-bucket            q_j (1 - sum of p_t,i / q_t,i over i that do not keep j) - p_j
//! ```
//!
//! A gate that depends on the student's NLL is evaluated after the exponentials are computed. Every case of the
//! gradient needs those, so the gate is free.

use super::simd::{exp_in_place, max, vectorized};
use crate::train::batch::{HeadGate, MAX_TEACHERS, PositionScore};

/// The targets of one position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowGoal<'a> {
    /// The next token.
    pub(super) target: u32,
    /// `None` for a position that learns only by cross-entropy.
    pub(super) kd: Option<RowKd<'a>>,
    pub(super) gate: Option<RowGate>,
}

/// The targets of one position from one or more teachers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowKd<'a> {
    pub(super) student_tau: f32,
    pub(super) omega: f32,
    /// Stored ids, distinct, and their probabilities.
    pub(super) ids: &'a [u32],
    pub(super) probs: &'a [f32],
    /// Each teacher's probability outside its ids, at most [`MAX_TEACHERS`] values; empty except with
    /// `tail-bucket`.
    pub(super) tails: &'a [f32],
    /// Whether each id is in the tail of each teacher, teacher by teacher; empty with one tail.
    pub(super) in_tail: &'a [bool],
    /// Weighted sum of the teachers' p log p, including tails: minus the entropy.
    pub(super) negentropy: f32,
}

/// A gate, and the teacher's NLL of the target, nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowGate {
    pub(super) gate: HeadGate,
    pub(super) teacher_nll: f32,
}

/// Weights of cross-entropy and KD in the loss of a position: 1 - omega and omega, times the gate's weight.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Shares {
    ce: f64,
    kd: f64,
    omega: f32,
    weight: f64,
}

impl Shares {
    fn new(omega: f32, weight: f64) -> Self {
        Self {
            ce: weight * f64::from(1.0 - omega),
            kd: weight * f64::from(omega),
            omega,
            weight,
        }
    }

    /// With omega if the gate is open, for a student whose NLL of the target is `ce`. The gate's decision and
    /// weight are treated as constants: no gradient flows through them.
    fn of(gate: Option<RowGate>, omega: f32, ce: f64) -> Self {
        let open = Self::new(omega, 1.0);
        let Some(RowGate { gate, teacher_nll }) = gate else {
            return open;
        };
        let excess = ce - f64::from(teacher_nll);
        match gate {
            HeadGate::Agreement if excess > 0.0 => open,
            HeadGate::Agreement => Self::new(0.0, 1.0),
            // A NaN is not cut, so that it does not go unnoticed.
            HeadGate::Excess(threshold) if excess < f64::from(threshold) => Self::new(0.0, 0.0),
            HeadGate::Excess(_) => open,
            HeadGate::ExcessWeight => Self::new(omega, logistic(excess)),
        }
    }
}

/// 1 / (1 + e^-x); 0 and 1 at the infinities.
fn logistic(x: f64) -> f64 {
    (1.0 + (-x).exp()).recip()
}

/// Losses of one position, nats.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RowLoss {
    /// -log q_y.
    pub ce: f64,
    /// KD, with its factor tau^2 if the student is tempered; 0 without a teacher.
    pub kd: f64,
    /// The soft-label loss: cross-entropy with the teacher's distribution as the loss uses it, including the
    /// tail bucket. It is KD plus the entropy of that distribution, with the same factor. 0 without a teacher.
    pub soft: f64,
    /// Fraction of KD in the loss of the position; 0 if it learns only by cross-entropy.
    pub omega: f32,
    /// Weight of the position by the gate `excess`: 0 if that cuts it; 1 with every other gate.
    pub weight: f32,
}

/// Turns logits into `scale` times their gradient. `scratch` has room for two rows.
pub(super) fn row_gradient(
    logits_v: &mut [f32],
    goal: RowGoal<'_>,
    scale: f32,
    scratch: &mut [f32],
) -> RowLoss {
    let (kept, copy) = scratch.split_at_mut(logits_v.len());
    let omega = goal.kd.map_or(0.0, |kd| kd.omega);
    let shares = |ce| Shares::of(goal.gate, omega, ce);
    match goal.kd {
        Some(kd) if kd.student_tau != 1.0 => {
            both_tempered(logits_v, goal.target, kd, shares, scale, kept, copy)
        }
        kd => Pass::plain(goal.target, kd, scale).run(logits_v, shares, kept),
    }
}

/// NLL of the target, and the model's confidence in its top id; overwrites the logits. The top id's probability
/// is e^0 divided by the sum that the NLL needs anyway, so it is free.
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

/// Both tempered: L = (1 - omega) CE + omega tau^2 KD(p, softmax(s / tau)), and since d/ds = 1/tau d/d(s/tau),
/// the KD part's gradient has the factor tau.
fn both_tempered(
    logits_v: &mut [f32],
    target: u32,
    kd: RowKd<'_>,
    shares: impl Fn(f64) -> Shares,
    scale: f32,
    kept: &mut [f32],
    copy: &mut [f32],
) -> RowLoss {
    let tau = kd.student_tau;
    let copy = &mut copy[..logits_v.len()];
    copy.copy_from_slice(logits_v);
    // This pass evaluates the gate, which depends on the untempered NLL.
    let plain = Pass::plain(target, None, scale).run(logits_v, shares, kept);
    if plain.omega == 0.0 {
        return plain;
    }
    let pass = Pass {
        kd: Some(kd),
        factor: 1.0 / tau,
        ..Pass::plain(target, None, scale * tau)
    };
    let of_kd = Shares {
        ce: 0.0,
        ..Shares::new(plain.omega, f64::from(plain.weight))
    };
    let tempered = pass.run(copy, |_| of_kd, kept);
    vectorized(
        #[inline(always)]
        || {
            for (gradient, part) in logits_v.iter_mut().zip(copy.iter()) {
                *gradient += part;
            }
        },
    );
    RowLoss {
        kd: tempered.kd * f64::from(tau * tau),
        soft: tempered.soft * f64::from(tau * tau),
        ..plain
    }
}

/// One softmax of a row: w_ce CE + w_kd KD over softmax(factor s), and the gradient with respect to factor s,
/// times `scale`.
struct Pass<'a> {
    target: usize,
    kd: Option<RowKd<'a>>,
    factor: f32,
    scale: f32,
}

/// Sums over a row after its logits are replaced by the exponentials e^(factor (s - largest)).
#[derive(Default)]
struct Exponentials {
    /// Their sum.
    z: f64,
    /// Sum over what is left in the row: with a tail, the ids that are not stored, else all.
    outside_z: f64,
    /// -sum of p factor (s - largest) over stored ids.
    cross: f64,
    /// Sum of p.
    mass: f64,
}

/// q of a tail. If its exponentials underflow, the smallest number with a finite inverse.
fn share_of_tail(tail_z: f64, z: f64) -> f64 {
    (tail_z / z).max(f64::from(f32::MIN_POSITIVE))
}

impl<'a> Pass<'a> {
    fn plain(target: u32, kd: Option<RowKd<'a>>, scale: f32) -> Self {
        Self {
            target: target as usize,
            kd,
            factor: 1.0,
            scale,
        }
    }

    fn run(
        &self,
        logits_v: &mut [f32],
        shares: impl Fn(f64) -> Shares,
        kept: &mut [f32],
    ) -> RowLoss {
        let largest = vectorized(
            #[inline(always)]
            || max(logits_v),
        );
        let target_logit = f64::from(logits_v[self.target] - largest) * f64::from(self.factor);
        let kept = &mut kept[..self.kd.map_or(0, |kd| kd.ids.len())];
        let found = self.exponentials(logits_v, largest, kept);
        let ce = found.z.ln() - target_logit;
        let shares = shares(ce);
        let mut row = RowLoss {
            ce,
            omega: shares.omega,
            weight: shares.weight as f32,
            ..RowLoss::default()
        };
        match self.kd {
            None => multiply(logits_v, self.per_exp(&found) * shares.ce),
            Some(kd) if kd.tails.is_empty() => self.scaled(logits_v, &kd, &found, shares),
            Some(kd) => self.tail_bucket(logits_v, &kd, &found, shares, kept),
        }
        logits_v[self.target] -= self.scale * shares.ce as f32;
        if let Some(kd) = self.kd.filter(|_| shares.kd > 0.0) {
            row.soft = found.soft(&kd, kept);
            row.kd = row.soft + f64::from(kd.negentropy);
        }
        row
    }

    fn per_exp(&self, found: &Exponentials) -> f64 {
        f64::from(self.scale) / found.z
    }

    fn exponentials(&self, logits_v: &mut [f32], largest: f32, kept: &mut [f32]) -> Exponentials {
        let exp_in_place = |values: &mut [f32]| {
            vectorized(
                #[inline(always)]
                || exp_in_place(values, largest, self.factor),
            )
        };
        let Some(kd) = &self.kd else {
            return Exponentials {
                z: exp_in_place(logits_v),
                ..Exponentials::default()
            };
        };
        let (mut cross, mut mass) = (0.0, 0.0);
        for (&id, &p) in kd.ids.iter().zip(kd.probs) {
            // Skipped if p is 0, since 0 * -inf is NaN.
            if p > 0.0 {
                let shifted = (logits_v[id as usize] - largest) * self.factor;
                cross -= f64::from(p) * f64::from(shifted);
                mass += f64::from(p);
            }
        }
        let mut kept_z = 0.0;
        if !kd.tails.is_empty() {
            // Takes the stored ids out of the row, so that the rest sums to the tail.
            for (&id, logit) in kd.ids.iter().zip(kept.iter_mut()) {
                *logit = std::mem::replace(&mut logits_v[id as usize], f32::NEG_INFINITY);
            }
            kept_z = exp_in_place(kept);
        }
        let outside_z = exp_in_place(logits_v);
        Exponentials {
            z: kept_z + outside_z,
            outside_z,
            cross,
            mass,
        }
    }

    fn tail_bucket(
        &self,
        logits_v: &mut [f32],
        kd: &RowKd<'_>,
        found: &Exponentials,
        shares: Shares,
        kept: &[f32],
    ) {
        let mut pulls = [0.0; MAX_TEACHERS];
        for ((i, &tail), pull) in kd.tails.iter().enumerate().zip(&mut pulls) {
            *pull = f64::from(tail) / share_of_tail(found.tail_z(kd, i, kept), found.z);
        }
        let pulls = &pulls[..kd.tails.len()];
        let (per_exp, of_all) = (self.per_exp(found), shares.ce + shares.kd);
        let pull: f64 = pulls.iter().sum();
        multiply(logits_v, per_exp * (shares.ce + shares.kd * (1.0 - pull)));
        let of_probs = f64::from(self.scale) * shares.kd;
        for (j, ((&id, &p), &e)) in kd.ids.iter().zip(kd.probs).zip(kept).enumerate() {
            // Only teachers that do not store the id.
            let pull: f64 = match kd.in_tail {
                [] => 0.0,
                in_tail => {
                    let pulls = pulls.iter().enumerate();
                    let pulls = pulls.filter(|(i, _)| in_tail[i * kd.ids.len() + j]);
                    pulls.map(|(_, pull)| pull).sum()
                }
            };
            let of_exp = per_exp * (of_all - shares.kd * pull);
            let gradient = f64::from(e) * of_exp - of_probs * f64::from(p);
            logits_v[id as usize] = gradient as f32;
        }
    }

    /// `sampled`, `renormalize` and `drop` differ only in their probabilities.
    fn scaled(&self, logits_v: &mut [f32], kd: &RowKd<'_>, found: &Exponentials, shares: Shares) {
        let of_mass = shares.ce + shares.kd * found.mass;
        multiply(logits_v, self.per_exp(found) * of_mass);
        let of_probs = f64::from(self.scale) * shares.kd;
        for (&id, &p) in kd.ids.iter().zip(kd.probs) {
            logits_v[id as usize] -= (of_probs * f64::from(p)) as f32;
        }
    }
}

impl Exponentials {
    /// Sum over the tail of teacher `i`; `kept` has the exponentials of the list of ids.
    fn tail_z(&self, kd: &RowKd<'_>, i: usize, kept: &[f32]) -> f64 {
        if kd.in_tail.is_empty() {
            return self.outside_z;
        }
        let in_tail = &kd.in_tail[i * kept.len()..][..kept.len()];
        let of_list = in_tail.iter().zip(kept).filter(|(in_tail, _)| **in_tail);
        self.outside_z + of_list.map(|(_, &e)| f64::from(e)).sum::<f64>()
    }

    /// Cross-entropy with the target distribution, including tails.
    fn soft(&self, kd: &RowKd<'_>, kept: &[f32]) -> f64 {
        let of_tail = |(i, &tail): (usize, &f32)| match tail > 0.0 {
            true => -f64::from(tail) * share_of_tail(self.tail_z(kd, i, kept), self.z).ln(),
            false => 0.0,
        };
        let of_tails: f64 = kd.tails.iter().enumerate().map(of_tail).sum();
        self.cross + self.mass * self.z.ln() + of_tails
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
