//! KD of one step: the run's policy, with thresholds computed from the step's sequences.

use super::{Gate, GateExcess, KdPolicy};
use crate::signals::PositionSignals;
use crate::train::batch::HeadGate;
use crate::train::example::Example;

/// How the sequences of one step learn from their labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepKd<'a> {
    /// The run's policy.
    pub policy: &'a KdPolicy,
    /// Fraction of KD in the loss, from 0 to 1.
    pub omega: f32,
    /// The gate `entropy` is closed where the teacher's entropy is below this, nats; `None` with every
    /// other gate.
    min_entropy: Option<f32>,
    /// The gate `excess` cuts where the student's NLL minus the teacher's is below this, nats.
    least_excess: Option<f32>,
}

impl<'a> StepKd<'a> {
    /// For a step that learns from all of `examples`, independent of how they are split into micro-batches.
    /// With `mask_document_borders`, masked positions do not count for the gate `entropy`.
    pub fn new(
        policy: &'a KdPolicy,
        omega: f32,
        examples: &[Example],
        mask_document_borders: bool,
    ) -> Self {
        let min_entropy = (policy.gate == Gate::Entropy)
            .then(|| min_entropy(examples, policy.gate_fraction, mask_document_borders))
            .flatten();
        Self {
            policy,
            omega,
            min_entropy,
            least_excess: None,
        }
    }

    /// Sets the boundary of the gate `excess`, nats: [`least_excess`] of the previous step. It is ignored by
    /// other gates, and by `excess` if it weights; without it nothing is cut.
    pub fn with_least_excess(self, least_excess: Option<f32>) -> Self {
        Self {
            least_excess: least_excess.filter(|_| self.policy.cuts_excess()),
            ..self
        }
    }

    /// The gate that the head must evaluate, since it needs the student's NLL.
    pub(super) fn head_gate(&self) -> Option<HeadGate> {
        match self.policy.gate {
            Gate::Agreement => Some(HeadGate::Agreement),
            Gate::Excess => match self.policy.gate_excess {
                GateExcess::Cut => self.least_excess.map(HeadGate::Excess),
                GateExcess::Weight => Some(HeadGate::ExcessWeight),
            },
            Gate::None | Gate::Learnable | Gate::Entropy => None,
        }
    }

    /// omega at a position, or 0 if the labels alone close the gate.
    ///
    /// # Panics
    /// If the gate needs a list of the group `stats` and `signals` lack it.
    pub(super) fn omega_at(&self, signals: &PositionSignals, t: usize) -> f32 {
        let is_open = match self.policy.gate {
            Gate::None | Gate::Agreement | Gate::Excess => true,
            Gate::Learnable => u32::from(signals.target_rank_t[t]) < self.policy.gate_k,
            Gate::Entropy => self
                .min_entropy
                .is_none_or(|min| signals.entropy_t[t] >= min),
        };
        if is_open { self.omega } else { 0.0 }
    }
}

/// The entropy below which `fraction` of the labelled positions lie. Positions equal to it are open, so at most
/// `fraction` are closed. `None` without labels. O(n).
fn min_entropy(examples: &[Example], fraction: f64, mask_document_borders: bool) -> Option<f32> {
    let mut entropies: Vec<f32> = Vec::new();
    for example in examples {
        let Some(signals) = &example.signals else {
            continue;
        };
        let masked = mask_document_borders.then(|| example.document_boundary_targets());
        let mut masked = masked.into_iter().flatten().peekable();
        for (t, &entropy) in signals.entropy_t.iter().enumerate() {
            if masked.next_if_eq(&t).is_none() {
                entropies.push(entropy);
            }
        }
    }
    value_above(entropies, fraction)
}

/// The boundary of the gate `excess` for the next step: the value below which `fraction` of `excesses` lie.
/// Those are the student's NLL minus the teacher's, nats, at all labelled positions with a weight, cut or not.
/// `None` without any, or if the boundary is not finite. O(n).
pub fn least_excess(excesses: Vec<f32>, fraction: f64) -> Option<f32> {
    value_above(excesses, fraction).filter(|threshold| threshold.is_finite())
}

/// The value at index floor(fraction n) of the n sorted values; `None` without values.
fn value_above(mut values: Vec<f32>, fraction: f64) -> Option<f32> {
    let place = (fraction * values.len() as f64) as usize;
    if place >= values.len() {
        return None;
    }
    let (_, value, _) = values.select_nth_unstable_by(place, f32::total_cmp);
    Some(*value)
}

#[cfg(test)]
mod tests;
