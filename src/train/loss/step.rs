//! KD of one step: the policy of the run, with what the step's own sequences decide.

use super::{Gate, KdPolicy};
use crate::signals::PositionSignals;
use crate::train::example::Example;

/// How the sequences of one step learn from their labels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepKd<'a> {
    /// The same in every step.
    pub policy: &'a KdPolicy,
    /// Fraction of KD in the loss, from 0 to 1.
    pub omega: f32,
    /// The gate `entropy` is closed where the teacher's entropy is below this, nats; `None` with every
    /// other gate.
    min_entropy: Option<f32>,
}

impl<'a> StepKd<'a> {
    /// Of the step that learns from `examples`, all of them: how they are cut into micro-batches
    /// changes nothing. With `mask_document_borders`, masked positions do not count for the gate
    /// `entropy`.
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
        }
    }

    /// omega at a position, or 0 where the labels alone close the gate.
    ///
    /// # Panics
    /// If the gate needs a list of the group `stats` and `signals` lack it.
    pub(super) fn omega_at(&self, signals: &PositionSignals, t: usize) -> f32 {
        let is_open = match self.policy.gate {
            Gate::None | Gate::Agreement => true,
            Gate::Learnable => u32::from(signals.target_rank_t[t]) < self.policy.gate_k,
            Gate::Entropy => self
                .min_entropy
                .is_none_or(|min| signals.entropy_t[t] >= min),
        };
        if is_open { self.omega } else { 0.0 }
    }
}

/// The entropy that `fraction` of the labelled positions lie below: the value at place
/// floor(fraction n) of the n sorted ones. Of equal ones all are open, so that at most `fraction`
/// are closed. `None` where nothing is labelled. O(n).
fn min_entropy(examples: &[Example], fraction: f64, mask_document_borders: bool) -> Option<f32> {
    let mut entropies: Vec<f32> = Vec::new();
    for example in examples {
        let Some(signals) = &example.signals else {
            continue;
        };
        let masked = mask_document_borders.then(|| example.border_targets());
        let mut masked = masked.into_iter().flatten().peekable();
        for (t, &entropy) in signals.entropy_t.iter().enumerate() {
            if masked.next_if_eq(&t).is_none() {
                entropies.push(entropy);
            }
        }
    }
    let place = (fraction * entropies.len() as f64) as usize;
    if place >= entropies.len() {
        return None;
    }
    let (_, value, _) = entropies.select_nth_unstable_by(place, f32::total_cmp);
    Some(*value)
}

#[cfg(test)]
mod tests;
