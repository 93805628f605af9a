//! One step: forward and backward passes, checks, and the update.

use super::Interrupt;
use super::inputs::Inputs;
use super::profile::{Outside, StepProfile};
use super::variances::LossVariances;
use crate::train::batch::{LossSums, MicroBatch};
use crate::train::example::Example;
use crate::train::loss::{Gate, StepKd, least_excess, targets_of};
use crate::train::metrics::LossVariance;
use crate::train::model::Network;
use crate::train::ops::{AdamW, AdamWConfig, RowLoss};
use crate::train::schedule::StepPlan;

/// Results of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// What the step did.
    pub plan: StepPlan,
    /// Sums over its positions, nats.
    pub sums: LossSums,
    /// Mean NLL of the teacher over the same positions, nats; `None` if the labels do not have it.
    pub teacher_nll: Option<f64>,
    /// Variances of the losses over its positions; for logged steps of stage 1.
    pub variance: Option<LossVariance>,
    /// Threshold of the gate `excess` in the next step; `None` with every other gate.
    pub least_excess: Option<f32>,
    /// Whether the gate `excess` decided how much was learnt from each position.
    pub has_excess: bool,
    /// Norm of all gradients before clipping.
    pub grad_norm: f64,
    /// Learning rate of its update.
    pub lr: f64,
}

impl StepReport {
    /// Mean loss, nats per position that is learnt from; a weighted mean if the gate `excess` assigns weights.
    pub fn loss(&self) -> f64 {
        mean(self.sums.loss, self.sums.n_learnt)
    }

    /// Mean cross-entropy, nats per position.
    pub fn ce(&self) -> f64 {
        mean(self.sums.ce, self.sums.n)
    }

    /// Mean KD loss over the positions that have one, nats; `None` if there are none.
    pub fn kd(&self) -> Option<f64> {
        (self.sums.n_kd > 0.0).then(|| self.sums.kd / self.sums.n_kd)
    }

    /// Fraction of the positions that learn from the teacher.
    pub fn kd_fraction(&self) -> f64 {
        mean(self.sums.n_kd, self.sums.n)
    }

    /// Fraction of the positions that are learnt from; their mean weight if the gate `excess` assigns weights.
    pub fn learnt_fraction(&self) -> f64 {
        mean(self.sums.n_learnt, self.sums.n)
    }
}

/// 0 for `n` = 0: a step in which every target is masked has no loss.
pub(super) fn mean(sum: f64, n: f64) -> f64 {
    if n > 0.0 { sum / n } else { 0.0 }
}

/// The sequences of one step, split into micro-batches. The targets of each micro-batch are computed only when it is
/// processed: those of a whole step may be larger than the model.
pub(super) struct StepBatch<'a> {
    pub(super) examples: Vec<Example>,
    pub(super) kd: Option<StepKd<'a>>,
    pub(super) mask_document_borders: bool,
    pub(super) micro_batch_size: usize,
    /// Boundaries of the buckets, if variances are needed.
    pub(super) bucket_boundaries: Option<[f64; 2]>,
}

/// Results of the micro-batches of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct StepSums {
    pub(super) losses: LossSums,
    pub(super) teacher_nll: Option<f64>,
    pub(super) variance: Option<LossVariance>,
    pub(super) least_excess: Option<f32>,
    pub(super) has_excess: bool,
}

impl StepSums {
    /// The factor that turns the accumulated gradients into those of the mean over the positions that are learnt
    /// from: they were divided before it was known how many positions the gate `excess` cuts, or what their weights
    /// sum to.
    pub(super) fn grad_factor(&self) -> f64 {
        match self.losses.n_learnt {
            0.0 => 1.0,
            n_learnt => self.losses.n / n_learnt,
        }
    }
}

impl<'a> StepBatch<'a> {
    /// A step of `inputs` over `examples`. `least_excess` comes from the step before.
    pub(super) fn new(
        examples: Vec<Example>,
        inputs: &'a Inputs,
        plan: StepPlan,
        least_excess: Option<f32>,
    ) -> Self {
        let mask_document_borders = inputs.config.data.mask_document_borders;
        let policy = inputs.policy.as_ref();
        let policy = policy.filter(|_| inputs.stages.uses_labels(plan));
        let kd = policy.map(|policy| {
            StepKd::new(policy, plan.omega as f32, &examples, mask_document_borders)
                .with_least_excess(least_excess)
        });
        Self {
            examples,
            kd,
            mask_document_borders,
            micro_batch_size: inputs.config.train.micro_batch_size(),
            bucket_boundaries: None,
        }
    }

    /// The same step, with variances over its positions.
    pub(super) fn with_variances(self, boundaries: [f64; 2]) -> Self {
        Self {
            bucket_boundaries: Some(boundaries),
            ..self
        }
    }

    pub(super) fn seq_ids(&self) -> impl Iterator<Item = u64> {
        self.examples.iter().map(|example| example.seq_id)
    }

    pub(super) fn n_positions(&self) -> usize {
        self.examples.iter().map(Example::n_targets).sum()
    }

    /// Positions of the whole step that have a weight; its gradients are divided by their number.
    fn n_weighted(&self) -> usize {
        if !self.mask_document_borders {
            return self.n_positions();
        }
        let n_kept = |example: &Example| {
            let n_masked = example.document_boundary_targets().count();
            example.n_targets().saturating_sub(n_masked)
        };
        self.examples.iter().map(n_kept).sum()
    }

    fn micro_batch(&self, examples: &[Example]) -> MicroBatch {
        targets_of(examples, self.kd, self.mask_document_borders)
    }

    /// Computes the gradients of the step's mean loss, and the sums. `None` if a stop was requested before the last
    /// micro-batch; the gradients are then those of a part of the step.
    pub(super) fn differentiate(
        &self,
        network: &mut Network,
        profile: &mut StepProfile,
        interrupt: &Interrupt,
    ) -> Option<StepSums> {
        network.zero_grads();
        let scale = match self.n_weighted() {
            0 => 0.0,
            n => (n as f64).recip() as f32,
        };
        let (mut losses, mut teacher) = (LossSums::default(), TeacherNll::default());
        let mut variances = self.bucket_boundaries.map(LossVariances::new);
        let mut excesses = self.counted_excesses();
        for examples in self.examples.chunks(self.micro_batch_size) {
            if interrupt.is_requested() {
                return None;
            }
            let batch = profile.time(Outside::Targets, || self.micro_batch(examples));
            teacher.add(examples, &batch.weights_n);
            losses += profile.time_network(network, |n| n.forward_backward(&batch, scale));
            let rows_n = network.row_losses(batch.n_positions());
            if let Some(variances) = &mut variances {
                variances.add(examples, &batch, rows_n);
            }
            if let Some((excesses, _)) = &mut excesses {
                excesses.extend(excesses_of(&batch, rows_n));
            }
        }
        Some(StepSums {
            losses,
            teacher_nll: teacher.mean(),
            variance: variances.and_then(|variances| variances.report()),
            least_excess: excesses.and_then(|(all, fraction)| least_excess(all, fraction)),
            has_excess: self.kd.is_some_and(|kd| kd.policy.gate == Gate::Excess),
        })
    }

    /// An empty list with capacity for every excess of the step, and the fraction that the next step is to cut;
    /// `None` unless the gate is `excess` and cuts.
    fn counted_excesses(&self) -> Option<(Vec<f32>, f64)> {
        let policy = self.kd.map(|kd| kd.policy);
        let policy = policy.filter(|policy| policy.cuts_excess());
        policy.map(|policy| (Vec::with_capacity(self.n_positions()), policy.gate_fraction))
    }
}

/// The student's NLL minus the teacher's, at labelled positions with a weight, nats.
fn excesses_of(batch: &MicroBatch, rows_n: &[RowLoss]) -> impl Iterator<Item = f32> {
    let teacher_nll_n = batch.kd.iter().flat_map(|kd| &kd.teacher_nll_n);
    let positions = teacher_nll_n.zip(rows_n).zip(&batch.weights_n);
    let counted = positions
        .filter(|((teacher_nll, _), weight)| **weight > 0.0 && **teacher_nll != f32::NEG_INFINITY);
    counted.map(|((&teacher_nll, row), _)| (row.ce - f64::from(teacher_nll)) as f32)
}

/// The teacher's mean NLL over positions with a weight; unknown as soon as one sequence has none stored.
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
                // Not weight * logprob throughout: 0 * -inf is NaN.
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

/// Checks that the loss and the gradient norm are finite; else returns which is not, and its value.
pub(super) fn check_finite(loss: f64, grad_norm: f64) -> Result<(), (&'static str, f64)> {
    for (what, value) in [("the loss", loss), ("the gradient norm", grad_norm)] {
        if !value.is_finite() {
            return Err((what, value));
        }
    }
    Ok(())
}

/// Updates all parameters by the network's gradients times `grad_factor`; `step` counts from 1.
pub(super) fn update(
    network: &mut Network,
    optimizer: &mut AdamW,
    inputs: &Inputs,
    report: &StepReport,
    grad_factor: f64,
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
    let grad_scale = match is_clipped {
        true => config.grad_clip / report.grad_norm,
        false => 1.0,
    };
    let grad_scale = grad_scale * grad_factor;
    let (params, grads) = (&mut network.params, &network.grads);
    optimizer.update(
        &adamw,
        &params.layout.tensors,
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
    use crate::train::batch::KdLoss;
    use crate::train::loss::{GateExcess, KdPolicy};
    use crate::train::model::{Capacity, ModelSpec, Params};

    /// A sequence of two targets, with the log-probabilities that a teacher gave them.
    fn example(target_logprob_t: &[f32]) -> Example {
        Example {
            seq_id: 0,
            input_ids: vec![1, 2, 3],
            doc_starts: vec![0],
            signals: Some(PositionSignals {
                target_logprob_t: target_logprob_t.to_vec(),
                ..PositionSignals::default()
            }),
            ..Example::default()
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

    /// Two sequences without labels, the second of three documents.
    fn batch(micro_batch_size: usize, mask_document_borders: bool) -> StepBatch<'static> {
        let sequence = |seq_id, input_ids: &[u32], doc_starts: &[u32]| Example {
            seq_id,
            input_ids: input_ids.to_vec(),
            doc_starts: doc_starts.to_vec(),
            ..Example::default()
        };
        StepBatch {
            examples: vec![
                sequence(0, &[1, 2, 3, 4], &[0]),
                sequence(1, &[4, 3, 2, 1, 0, 1], &[0, 2, 3]),
            ],
            kd: None,
            mask_document_borders,
            micro_batch_size,
            bucket_boundaries: None,
        }
    }

    fn network() -> Network {
        let spec = ModelSpec {
            vocab_size: 5,
            d_model: 4,
            n_layers: 1,
            n_heads: 1,
            n_kv_heads: 1,
            head_dim: 4,
            d_ff: 4,
            max_seq_len: 8,
            rope_theta: 1e4,
            rope_scaling: None,
            norm_eps: 1e-5,
            tie_embeddings: false,
        };
        let capacity = Capacity {
            n_positions: 16,
            seq_len: 8,
            threads: 1,
            training: true,
            recompute: false,
        };
        Network::new(Params::init(&spec, 1), capacity)
    }

    fn differentiate(batch: &StepBatch<'_>, interrupt: &Interrupt) -> Option<(StepSums, f64)> {
        let (mut network, mut profile) = (network(), StepProfile::default());
        let sums = batch.differentiate(&mut network, &mut profile, interrupt)?;
        Some((sums, network.grad_norm()))
    }

    #[test]
    fn gradients_are_divided_by_the_positions_that_have_a_weight() {
        for mask in [false, true] {
            let (sums, whole) = differentiate(&batch(2, mask), &Interrupt::new()).unwrap();
            assert_eq!(sums.losses.n, batch(2, mask).n_weighted() as f64);
            assert_eq!(sums.losses.n, if mask { 6.0 } else { 8.0 });
            let (parts, of_parts) = differentiate(&batch(1, mask), &Interrupt::new()).unwrap();
            assert!((parts.losses.loss - sums.losses.loss).abs() < 1e-5);
            assert!(
                (of_parts - whole).abs() < 1e-5 * whole,
                "{of_parts}, {whole}"
            );
        }
    }

    /// Like [`batch`], but the first sequence is labelled, by a teacher that is better than the student at every other
    /// position.
    fn gated<'a>(policy: &'a KdPolicy, least_excess: Option<f32>, size: usize) -> StepBatch<'a> {
        let mut batch = batch(size, true);
        batch.examples[0].signals = Some(PositionSignals {
            target_logprob_t: vec![-0.1, -9.0, -0.2],
            ..PositionSignals::default()
        });
        let kd = StepKd::new(policy, 0.0, &batch.examples, true);
        StepBatch {
            kd: Some(kd.with_least_excess(least_excess)),
            ..batch
        }
    }

    #[test]
    fn excess_averages_over_the_kept_positions_for_any_micro_batch_size() {
        let policy = KdPolicy {
            gate: Gate::Excess,
            gate_fraction: 0.4,
            ..KdPolicy::of(KdLoss::TailBucket)
        };
        let go = |batch: &StepBatch<'_>| differentiate(batch, &Interrupt::new()).unwrap();
        let (open, _) = go(&gated(&policy, None, 2));
        assert_eq!(open.losses.n_learnt, open.losses.n);
        // Of three excesses floor(0.4 * 3) = 1 is cut, so the threshold is the second one.
        let threshold = open.least_excess.unwrap();
        let ((sums, norm), (parts, of_parts)) = (
            go(&gated(&policy, Some(threshold), 2)),
            go(&gated(&policy, Some(threshold), 1)),
        );
        assert_eq!((sums.losses.n, sums.losses.n_learnt), (6.0, 5.0));
        assert_eq!(sums.grad_factor(), 6.0 / 5.0);
        assert!((sums.losses.loss - parts.losses.loss).abs() < 1e-5);
        assert!((norm - of_parts).abs() < 1e-5 * norm, "{norm} {of_parts}");
        let moved = sums.least_excess.unwrap() - threshold;
        assert!(moved.abs() < 1e-5, "cut positions count too: {moved}");
        // Nothing but the cut position is missing from the loss of an ungated step.
        let cut = open.losses.loss - sums.losses.loss;
        assert!(cut > 0.0 && (open.losses.ce - sums.losses.ce).abs() < 1e-9);
        assert_eq!(
            go(&gated(&policy, Some(99.0), 2)).0.losses.n_learnt,
            3.0,
            "no labels, no cut"
        );
    }

    #[test]
    fn excess_weights_do_not_depend_on_the_micro_batch_size() {
        let policy = KdPolicy {
            gate: Gate::Excess,
            gate_excess: GateExcess::Weight,
            gate_fraction: 0.4,
            ..KdPolicy::of(KdLoss::Sampled)
        };
        let go = |size| {
            let batch = gated(&policy, Some(99.0), size);
            differentiate(&batch, &Interrupt::new()).unwrap()
        };
        let ((sums, norm), (parts, of_parts)) = (go(2), go(1));
        let (n, learnt) = (sums.losses.n, sums.losses.n_learnt);
        // The three positions without labels have weight 1; the labelled ones have less.
        assert!(n == 6.0 && 3.0 < learnt && learnt < 6.0, "{learnt}");
        assert_eq!(sums.least_excess, None, "nothing is left to the next step");
        assert!(sums.has_excess && (sums.grad_factor() - n / learnt).abs() < 1e-12);
        assert!((sums.losses.loss - parts.losses.loss).abs() < 1e-5);
        assert!((learnt - parts.losses.n_learnt).abs() < 1e-5);
        assert!((norm - of_parts).abs() < 1e-5 * norm, "{norm} {of_parts}");
    }

    #[test]
    fn a_stop_request_leaves_a_step_unfinished() {
        let interrupt = Interrupt::new();
        interrupt.request();
        assert_eq!(differentiate(&batch(1, false), &interrupt), None);
    }

    #[test]
    fn a_nonfinite_loss_or_norm_is_detected() {
        assert!(check_finite(1.0, 2.0).is_ok());
        assert_eq!(check_finite(f64::INFINITY, 2.0).unwrap_err().0, "the loss");
        let (what, value) = check_finite(1.0, f64::NAN).unwrap_err();
        assert_eq!(what, "the gradient norm");
        assert!(value.is_nan());
    }
}
