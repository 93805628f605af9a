//! What a position is to learn: cross-entropy with the next token, knowledge distillation (KD)
//! from a teacher's stored signals, or both.
//!
//! One row, student logits s, q = softmax(s), next token y, omega in `[0, 1]`:
//!
//! ```text
//! L = (1 - omega) * -log q_y  +  omega * KD(p, q)
//! ```
//!
//! [`targets_of`] turns examples into a [`MicroBatch`](super::MicroBatch): flattened ids, targets, weights and, where
//! there is a teacher, the kept probabilities of each position, ready for the fused head. The maths
//! on one row of logits is in `ops`, beside the head that it is fused with.

mod step;
mod targets;

pub use step::StepKd;
pub use targets::targets_of;

use super::batch::KdLoss;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is tempered.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum TemperatureMode {
    /// The teacher alone.
    #[default]
    Teacher,
    /// Teacher and student; the loss is scaled by tau squared.
    Both,
}

/// Which positions learn from the teacher.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Every one.
    #[default]
    None,
    /// Those whose target is among the teacher's `gate_k` best; the others learn by cross-entropy.
    Learnable,
    /// All but the fraction `gate_fraction` of each step's labelled positions where the teacher's
    /// entropy is lowest. There the teacher's distribution has little more in it than its best id.
    Entropy,
    /// Those where the teacher's NLL of the target is below the student's: what `transition = "auto"`
    /// decides once for the run, decided at each position.
    Agreement,
}

/// How labels become targets.
#[derive(Debug, Clone, PartialEq)]
pub struct KdPolicy {
    /// The loss.
    pub loss: KdLoss,
    /// Temperature, positive. Of `sampled` it is that of the draws; of the others, if not 1, it is
    /// among the labels' stored temperatures.
    pub tau: f64,
    /// What is tempered.
    pub temperature_mode: TemperatureMode,
    /// Which positions.
    pub gate: Gate,
    /// k of the gate `learnable`.
    pub gate_k: u32,
    /// Fraction of the gate `entropy`, in `[0, 1)`.
    pub gate_fraction: f64,
    /// Index of `tau` among the labels' extra temperatures; `None` where it is 1, and with `sampled`.
    pub tau_idx: Option<usize>,
}
