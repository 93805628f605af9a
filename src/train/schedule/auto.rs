//! The `auto` transition: stage 1 ends when the student has caught up with the teacher.

use serde::{Deserialize, Serialize};

/// State of the `auto` transition: stage 1 ends when the student's running NLL has fallen to the teacher's on
/// the same positions, plus a margin. It is saved in checkpoints.
///
/// With P the data's conditional distribution, T the teacher's and S the student's, the mean NLL of
/// a model over positions is H(P) + KL(P, model). On the same positions H(P) is the same, so
///
/// ```text
/// NLL(S) - NLL(T) = KL(P, S) - KL(P, T)
/// ```
///
/// and the labels contain NLL(T) of every position. While the difference is positive, the student is
/// farther from the data than the teacher, and learning from the teacher can bring it closer. Once it is
/// 0 or less, a forward KL to the teacher pulls the student towards a distribution that is no closer to
/// the data than the student already is. The labels bound the teacher's distance:
/// `|mean [rank < k] - mean top-k mass| <= E TV(P, T) <= mean (1 - p_y)`, and KL(P, T) is at least twice
/// the square of the left side.
///
/// The argument holds only for text that neither model has memorized; the margin corrects for this. On its own
/// training text the teacher's NLL is lower than on held-out text, while the student sees most sequences for
/// the first time. Labelling held-out text and comparing the means measures the gap; with the gap as margin,
/// the student is compared with the teacher's NLL on new text. A margin of 0 would end stage 1 too late; a
/// negative one requires the student to be better than the teacher.
///
/// The means are exponential moving averages, with the same weights for both models, over batches that the
/// student sees for the first time. They are as noisy as `running_steps` batches; `min_kd` keeps the first
/// batches from deciding. Not detected: a student that overtakes the teacher on one kind of text and lags
/// on another; and labelled sequences that are read twice, where the student's NLL is too low.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AutoTransition {
    /// Minimum steps of stage 1.
    min_kd: u64,
    /// Maximum steps of stage 1.
    n_kd: u64,
    /// Steps to average over.
    running_steps: u64,
    /// How far the student's mean NLL may be above the teacher's, nats; 0 in older checkpoints without this
    /// field.
    #[serde(default)]
    margin: f64,
    /// Steps observed.
    n_observed: u64,
    /// Sum of the weights in the two sums below.
    weight: f64,
    /// Weighted sum of the student's NLLs, nats.
    student_sum: f64,
    /// Weighted sum of the teacher's NLLs, nats.
    teacher_sum: f64,
    /// Length of stage 1 in steps, once the student has caught up.
    ended_after: Option<u64>,
}

impl AutoTransition {
    /// Stage 1 lasts from `min_kd` to `n_kd` steps; NLLs are averaged over about `running_steps`.
    pub fn new(min_kd: u64, n_kd: u64, running_steps: u64) -> Self {
        Self {
            min_kd,
            n_kd,
            running_steps,
            margin: 0.0,
            n_observed: 0,
            weight: 0.0,
            student_sum: 0.0,
            teacher_sum: 0.0,
            ended_after: None,
        }
    }

    /// Sets how far the student's mean NLL may be above the teacher's, nats.
    pub fn with_margin(self, margin: f64) -> Self {
        Self { margin, ..self }
    }

    /// Records one step of stage 1: the mean NLLs of student and teacher over the step's labelled positions,
    /// nats per token. Call it once after each such step. A step without such positions has no means; it counts
    /// as a step but not in the averages.
    pub fn observe(&mut self, student_nll: f64, teacher_nll: f64) {
        self.n_observed += 1;
        if student_nll.is_finite() && teacher_nll.is_finite() {
            let kept = 1.0 - 1.0 / self.running_steps.max(1) as f64;
            self.weight = self.weight * kept + 1.0;
            self.student_sum = self.student_sum * kept + student_nll;
            self.teacher_sum = self.teacher_sum * kept + teacher_nll;
        }
        let allowed = self.teacher_sum + self.margin * self.weight;
        let has_caught_up = self.weight > 0.0 && self.student_sum <= allowed;
        if self.ended_after.is_none() && self.n_observed >= self.min_kd && has_caught_up {
            self.ended_after = Some(self.n_observed);
        }
    }

    /// Whether `step`, from 0, is past stage 1. Once ended, stage 1 does not resume.
    pub fn has_ended(&self, step: u64) -> bool {
        step >= self.ended_after.unwrap_or(self.n_kd).min(self.n_kd)
    }

    /// Minimum steps of stage 1, whatever is observed.
    pub(super) fn min_steps(&self) -> u64 {
        self.min_kd.clamp(1, self.n_kd.max(1))
    }
}
