//! The lines of `metrics.jsonl`.

use crate::train::schedule::Stage;
use serde::{Deserialize, Deserializer, Serialize};

/// One line. JSON has no NaN and no infinity: both are written as null, and read as NaN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum MetricsLine {
    /// A step that is logged.
    Train(TrainLine),
    /// A validation.
    Valid(ValidLine),
    /// The first step of another stage.
    Stage(StageLine),
}

/// A step that is logged. Losses are means over the targets of the step, nats per token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainLine {
    /// Steps done, this one included.
    pub step: u64,
    /// Targets learnt from so far; a masked position is none.
    pub tokens: u64,
    /// Time of all steps so far, over all processes that worked on the run: without validations
    /// and checkpoints, and without steps that a killed process had to leave to be done again.
    pub seconds: f64,
    /// Which stage the step belongs to.
    pub stage: Stage,
    /// What is minimised: (1 - omega) * ce + omega * kd.
    #[serde(deserialize_with = "nan_if_null")]
    pub loss: f64,
    /// Cross-entropy: what runs of different modes can be compared by.
    #[serde(deserialize_with = "nan_if_null")]
    pub ce: f64,
    /// KD part; null in steps that do not learn from a teacher.
    #[serde(default)]
    pub kd: Option<f64>,
    /// Fraction of KD in the loss.
    pub omega: f64,
    /// Fraction of the step's positions that learn from the teacher, below 1 where `kd.gate` is closed
    /// at some; absent in steps that do not learn from one, and in lines of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kd_fraction: Option<f64>,
    /// Fraction of the step's positions that anything is learnt from, or their mean weight where
    /// `kd.gate_excess` is `weight`; with the gate `excess`, of whose steps the loss is a mean over those
    /// alone, or weighted, else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learnt_fraction: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// Norm of all gradients together, before clipping.
    #[serde(deserialize_with = "nan_if_null")]
    pub grad_norm: f64,
    /// Positions a second since the last line, those that are masked too, by the time of the steps.
    #[serde(deserialize_with = "nan_if_null")]
    pub tokens_per_s: f64,
    /// Model-FLOP utilisation, from 0 to 1; null where the machine's peak is not known.
    #[serde(default)]
    pub mfu: Option<f64>,
    /// The teacher's own NLL on the step's labelled positions; null in stage 2.
    #[serde(default)]
    pub teacher_nll: Option<f64>,
    /// The student's NLL on the same positions.
    #[serde(default)]
    pub student_nll: Option<f64>,
    /// How far apart the losses of the step's positions are; absent in stage 2, and in lines of
    /// earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variance: Option<Box<LossVariance>>,
}

/// Sample variances, nats squared, over the positions of one step: of the one-hot loss -log q_y and
/// of the soft-label loss, the cross-entropy of the student with the teacher's stored distribution as
/// the KD loss has it. Both are over the same positions: those that learn from the teacher, or, in a
/// step that learns by cross-entropy alone, all that are learnt from, of which only the first is
/// known.
///
/// What they bear on: bounds of the generalization error by the spread of the training loss
/// (empirical Bernstein bounds, such as that of the SALT paper) have a term that grows with the square
/// root of the sample variance of the minimised loss over independent examples. The expectation of
/// -log q_y over the teacher's distribution varies less than -log q_y of one target drawn, and makes
/// that term smaller, at the price of another that grows with omega and with the teacher's distance
/// from the data, which these figures do not show (what labels bound of that distance is in the
/// statistics of a label set). The minimised loss is (1 - omega) of the first and omega of the second,
/// up to the teacher's entropy, which no weight changes: its standard deviation is at most the same
/// mixture of theirs.
///
/// What they are not: the variance of such a bound. They are over positions, and an independent
/// example is a whole sequence, whose positions are correlated; they are of one step's weights and
/// batch, as noisy as that; and they bound no error by themselves. Nor is the second lower than the
/// first by necessity. `tail-bucket` counts all ids outside the kept ones as one, so where the
/// tail mass is large and differs from position to position, as in the first steps or with a small
/// K, that difference is in the second alone; the noise of the draws is in that of `sampled`; and
/// those of `renormalize` and `drop` are of other distributions than the teacher's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LossVariance {
    /// Of -log q_y.
    #[serde(deserialize_with = "nan_if_null")]
    pub ce: f64,
    /// Of the soft-label loss; null in steps that do not learn from a teacher.
    #[serde(default)]
    pub soft: Option<f64>,
    /// The first by the teacher's NLL of the position: easy, medium, hard, between the borders
    /// `log.bucket_borders`. Within a bucket they say how much is left once the difficulty that the
    /// teacher sees is taken out. A bucket of fewer than 2 positions has null; null as a whole where
    /// the labels lack the group `stats`.
    #[serde(default)]
    pub ce_by_bucket: Option<[Option<f64>; 3]>,
    /// The second in the same way.
    #[serde(default)]
    pub soft_by_bucket: Option<[Option<f64>; 3]>,
}

/// A validation after `step` steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidLine {
    /// Steps done.
    pub step: u64,
    /// Targets learnt from so far.
    pub tokens: u64,
    /// Time of all steps so far, this validation not counted.
    pub seconds: f64,
    /// Mean NLL over the validation's targets, nats per token.
    #[serde(deserialize_with = "nan_if_null")]
    pub val_nll: f64,
    /// Targets of the validation.
    pub val_n_targets: u64,
}

/// The first step of another stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageLine {
    /// The first step of the stage, counted as in the other lines: the first of a run is 1. It may
    /// be written before or after that step is done; either way a resumed run has it once.
    pub step: u64,
    /// Targets learnt from before it.
    pub tokens: u64,
    /// Time of all steps before it.
    pub seconds: f64,
    /// The stage that begins.
    pub stage: Stage,
}

impl MetricsLine {
    /// The step it is of.
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
