//! One step: batches forward and backward, a look at the numbers, the update.

use super::inputs::Inputs;
use crate::train::data::Example;
use crate::train::loss::{LossSums, MicroBatch, targets_of};
use crate::train::model::Network;
use crate::train::ops::{AdamW, AdamWConfig};
use crate::train::schedule::StepPlan;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// What it was to do.
    pub plan: StepPlan,
    /// Sums over its positions, nats.
    pub sums: LossSums,
    /// Mean NLL of the teacher over the same positions, nats; `None` where the labels do not say.
    pub teacher_nll: Option<f64>,
    /// Norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Learning rate of its update.
    pub lr: f64,
}

impl StepReport {
    /// Mean loss, nats a position.
    pub fn loss(&self) -> f64 {
        mean(self.sums.loss, self.sums.n)
    }

    /// Mean cross-entropy, nats a position.
    pub fn ce(&self) -> f64 {
        mean(self.sums.ce, self.sums.n)
    }

    /// Mean KD over the positions that have it, nats; `None` where there are none.
    pub fn kd(&self) -> Option<f64> {
        (self.sums.n_kd > 0.0).then(|| self.sums.kd / self.sums.n_kd)
    }
}

/// A step in which every target is masked has no loss.
fn mean(sum: f64, n: f64) -> f64 {
    if n > 0.0 { sum / n } else { 0.0 }
}

/// The micro-batches of one step, and what else is known of its sequences.
pub(super) struct StepBatch {
    pub(super) micro_batches: Vec<MicroBatch>,
    pub(super) teacher_nll: Option<f64>,
    pub(super) seq_ids: Vec<u64>,
}

impl StepBatch {
    /// Cuts a step's examples into micro-batches with their targets.
    pub(super) fn new(examples: Vec<Example>, inputs: &Inputs, omega: f64) -> Self {
        let policy = inputs.policy.as_ref().filter(|_| omega > 0.0);
        let mask = inputs.config.data.mask_document_borders;
        let mut teacher = TeacherNll::default();
        let mut micro_batches = Vec::new();
        for chunk in examples.chunks(inputs.config.train.micro_batch_size()) {
            let batch = targets_of(chunk, policy, omega as f32, mask);
            teacher.add(chunk, &batch.weights_n);
            micro_batches.push(batch);
        }
        Self {
            micro_batches,
            teacher_nll: teacher.mean(),
            seq_ids: examples.iter().map(|example| example.seq_id).collect(),
        }
    }

    /// Weighted positions of the whole step.
    fn n_weighted(&self) -> f64 {
        let weights = self.micro_batches.iter().flat_map(|batch| &batch.weights_n);
        weights.map(|&weight| f64::from(weight)).sum()
    }

    /// Gradients of the step's mean loss, and the sums.
    pub(super) fn differentiate(&self, network: &mut Network) -> LossSums {
        network.zero_grads();
        let n_weighted = self.n_weighted();
        let scale = if n_weighted > 0.0 {
            1.0 / n_weighted
        } else {
            0.0
        };
        let mut sums = LossSums::default();
        for batch in &self.micro_batches {
            sums += network.forward_backward(batch, scale as f32);
        }
        sums
    }
}

/// The teacher's mean NLL over weighted positions; lost where a sequence has none stored.
#[derive(Default)]
struct TeacherNll {
    sum: f64,
    n: f64,
    is_incomplete: bool,
}

impl TeacherNll {
    fn add(&mut self, examples: &[Example], weights_n: &[f32]) {
        let mut rest = weights_n;
        for example in examples {
            let (weights_t, behind) = rest.split_at(example.n_targets());
            rest = behind;
            let signals = example.signals.as_ref();
            let logprob_t = signals.map_or(&[][..], |signals| &signals.target_logprob_t);
            self.is_incomplete |= logprob_t.len() != weights_t.len();
            for (&logprob, &weight) in logprob_t.iter().zip(weights_t) {
                // Not weight * logprob throughout: 0 * -inf is no number.
                if weight > 0.0 {
                    self.sum -= f64::from(weight) * f64::from(logprob);
                    self.n += f64::from(weight);
                }
            }
        }
    }

    fn mean(&self) -> Option<f64> {
        (!self.is_incomplete && self.n > 0.0).then(|| self.sum / self.n)
    }
}

/// Refuses to update with what is no number.
pub(super) fn check_finite(loss: f64, grad_norm: f64) -> Result<(), (&'static str, f64)> {
    for (what, value) in [("the loss", loss), ("the gradient norm", grad_norm)] {
        if !value.is_finite() {
            return Err((what, value));
        }
    }
    Ok(())
}

/// Updates all parameters; `step` counts from 1.
pub(super) fn update(
    network: &mut Network,
    optimizer: &mut AdamW,
    inputs: &Inputs,
    report: &StepReport,
    step: u64,
) {
    let config = &inputs.config.optimizer;
    let adamw = AdamWConfig {
        beta1: config.beta1,
        beta2: config.beta2,
        eps: config.eps,
        weight_decay: config.weight_decay,
    };
    let is_clipped = config.grad_clip > 0.0 && report.grad_norm > config.grad_clip;
    let grad_scale = if is_clipped {
        config.grad_clip / report.grad_norm
    } else {
        1.0
    };
    let (params, grads) = (&mut network.params, &network.grads);
    optimizer.update(
        &adamw,
        &params.layout,
        &mut params.values,
        grads,
        report.lr as f32,
        grad_scale as f32,
        step,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::PositionSignals;

    /// Two targets, of the log-probabilities that a teacher gave them.
    fn example(target_logprob_t: &[f32]) -> Example {
        Example {
            seq_id: 0,
            input_ids: vec![1, 2, 3],
            doc_starts: vec![0],
            signals: Some(PositionSignals {
                target_logprob_t: target_logprob_t.to_vec(),
                ..PositionSignals::default()
            }),
        }
    }

    fn teacher_nll(examples: &[Example], weights_n: &[f32]) -> Option<f64> {
        let mut teacher = TeacherNll::default();
        teacher.add(examples, weights_n);
        teacher.mean()
    }

    #[test]
    fn the_teachers_nll_is_a_mean_over_the_positions_that_are_learnt_from() {
        let examples = [example(&[-1.0, -2.0]), example(&[-4.0, -8.0])];
        assert_eq!(teacher_nll(&examples, &[1.0; 4]), Some(3.75));
        assert_eq!(teacher_nll(&examples, &[1.0, 0.0, 0.0, 1.0]), Some(4.5));
        let ruled_out = [example(&[f32::NEG_INFINITY, -2.0])];
        assert_eq!(teacher_nll(&ruled_out, &[0.0, 1.0]), Some(2.0));
    }

    #[test]
    fn where_a_sequence_has_no_stats_there_is_no_teachers_nll() {
        let unlabelled = Example {
            signals: None,
            ..example(&[])
        };
        let both = [example(&[-1.0, -2.0]), unlabelled];
        assert_eq!(teacher_nll(&both, &[1.0; 4]), None);
        assert_eq!(teacher_nll(&[example(&[])], &[1.0; 2]), None);
        assert_eq!(teacher_nll(&both[..1], &[0.0; 2]), None);
    }

    #[test]
    fn a_loss_or_a_norm_that_is_no_number_is_found() {
        assert!(check_finite(1.0, 2.0).is_ok());
        assert_eq!(check_finite(f64::INFINITY, 2.0).unwrap_err().0, "the loss");
        let (what, value) = check_finite(1.0, f64::NAN).unwrap_err();
        assert_eq!(what, "the gradient norm");
        assert!(value.is_nan());
    }
}
