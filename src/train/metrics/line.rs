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

/// A step that is logged. Losses are means over the targets of the step, nats a token.
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
    /// Share of KD in the loss.
    pub omega: f64,
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
    /// Mean NLL over the validation's targets, nats a token.
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
