//! The lines of `metrics.jsonl`.

use crate::train::schedule::Stage;
use serde::{Deserialize, Deserializer, Serialize};

/// One line. JSON has no NaN or infinity: both are written as null and read as NaN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MetricsLine {
    /// A logged step.
    Train(TrainLine),
    /// A validation.
    Valid(ValidLine),
    /// The first step of a new stage.
    Stage(StageLine),
}

/// A logged step. Losses are means over the targets of the step, nats per token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainLine {
    /// Steps done, including this one.
    pub step: u64,
    /// Targets trained on so far, without masked positions.
    pub tokens: u64,
    /// Time of all steps so far, over all processes of the run, without validations, checkpoints, and steps of
    /// killed processes that had to be repeated.
    pub seconds: f64,
    /// Which stage the step belongs to.
    pub stage: Stage,
    /// The minimised loss: (1 - omega) * ce + omega * kd.
    #[serde(deserialize_with = "nan_if_null")]
    pub loss: f64,
    /// Cross-entropy, by which runs of different modes can be compared.
    #[serde(deserialize_with = "nan_if_null")]
    pub ce: f64,
    /// KD part; null in steps that do not learn from a teacher.
    #[serde(default)]
    pub kd: Option<f64>,
    /// Fraction of KD in the loss.
    pub omega: f64,
    /// Fraction of the step's positions that learn from the teacher, below 1 if `kd.gate` is closed at some;
    /// absent in steps that do not learn from a teacher, and in lines of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kd_fraction: Option<f64>,
    /// With the gate `excess`: fraction of the step's positions that count in the loss, which is a mean over
    /// only these, or their mean weight in a weighted mean if `kd.gate_excess` is `weight`. Otherwise absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt_fraction: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// Norm of all gradients together, before clipping.
    #[serde(deserialize_with = "nan_if_null")]
    pub grad_norm: f64,
    /// Positions per second since the last line, including masked ones, by the time of the steps.
    #[serde(deserialize_with = "nan_if_null")]
    pub tokens_per_s: f64,
    /// Model-FLOP utilisation, from 0 to 1; null if the machine's peak is unknown.
    #[serde(default)]
    pub mfu: Option<f64>,
    /// The teacher's own NLL on the step's labelled positions; null in stage 2.
    #[serde(default)]
    pub teacher_nll: Option<f64>,
    /// The student's NLL on the same positions.
    #[serde(default)]
    pub student_nll: Option<f64>,
    /// Variance of the losses over the step's positions; absent in stage 2, and in lines of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance: Option<Box<LossVariance>>,
}

/// Sample variances, nats squared, over the positions of one step: of the one-hot loss -log q_y and of the
/// soft-label loss, the cross-entropy of the student with the teacher's distribution as the KD loss uses it.
/// Both are over the same positions: those that learn from the teacher. In a step that learns only by
/// cross-entropy, there is only the first, over all positions that count in the loss.
///
/// Why they matter: bounds of the generalization error by the spread of the training loss (empirical Bernstein
/// bounds, such as that of the SALT paper) have a term that grows with the square root of the sample variance
/// of the minimised loss over independent examples. The expectation of -log q_y over the teacher's distribution
/// varies less than -log q_y of one drawn target, and makes that term smaller, at the price of another that
/// grows with omega and with the teacher's distance from the data, which these figures do not show (the
/// statistics of a label set bound that distance). The minimised loss is (1 - omega) times the first plus omega
/// times the second, up to the teacher's entropy, which does not depend on the weights: its standard deviation
/// is at most the same mixture of theirs.
///
/// They are not the variance in such a bound. They are over positions, whereas an independent example is a
/// whole sequence, with correlated positions; they are as noisy as the one step's batch from which they come;
/// and they bound no error by themselves. Nor is the second necessarily lower than the first. `tail-bucket`
/// counts all ids outside the stored ones as one, so if the tail mass is large and varies between positions, as
/// in the first steps or with a small K, that variation is only in the second; with `sampled` it includes the
/// noise of the draws; and `renormalize` and `drop` use distributions other than the teacher's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossVariance {
    /// Variance of -log q_y.
    #[serde(deserialize_with = "nan_if_null")]
    pub ce: f64,
    /// Variance of the soft-label loss; null in steps that do not learn from a teacher.
    #[serde(default)]
    pub soft: Option<f64>,
    /// `ce` by the teacher's NLL of the position: easy, medium, hard, with the boundaries `log.bucket_borders`.
    /// Within a bucket they show how much variance remains at similar difficulty for the teacher. A bucket of
    /// fewer than 2 positions has null; null as a whole if the labels lack the group `stats`.
    #[serde(default)]
    pub ce_by_bucket: Option<[Option<f64>; 3]>,
    /// `soft` in the same way.
    #[serde(default)]
    pub soft_by_bucket: Option<[Option<f64>; 3]>,
}

/// A validation after `step` steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidLine {
    /// Steps done.
    pub step: u64,
    /// Targets trained on so far.
    pub tokens: u64,
    /// Time of all steps so far, without this validation.
    pub seconds: f64,
    /// Mean NLL over the validation's targets, nats per token.
    #[serde(deserialize_with = "nan_if_null")]
    pub val_nll: f64,
    /// Targets of the validation.
    pub val_n_targets: u64,
}

/// The first step of a new stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageLine {
    /// The first step of the stage, counted as in the other lines: the first of a run is 1. It may be written
    /// before or after that step; a resumed run has it once in either case.
    pub step: u64,
    /// Targets trained on before it.
    pub tokens: u64,
    /// Time of all steps before it.
    pub seconds: f64,
    /// The stage that begins.
    pub stage: Stage,
}

impl MetricsLine {
    /// Its step.
    pub fn step(&self) -> u64 {
        match self {
            Self::Train(line) => line.step,
            Self::Valid(line) => line.step,
            Self::Stage(line) => line.step,
        }
    }
}

fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
