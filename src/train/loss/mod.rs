//! The training targets of a position: cross-entropy with the next token, knowledge distillation (KD)
//! from a teacher's stored signals, or both.
//!
//! One row, student logits s, q = softmax(s), next token y, omega in `[0, 1]`:
//!
//! ```text
//! L = (1 - omega) * -log q_y  +  omega * KD(p, q)
//! ```
//!
//! With several teachers, KD is the weighted sum of their losses ([`Teachers::Mix`]), or at each position the
//! loss of the teacher that gives the target the highest probability.
//!
//! [`targets_of`] turns examples into a [`MicroBatch`](super::MicroBatch): flattened ids, targets, weights and,
//! with a teacher, the stored probabilities of each position, ready for the fused head. The maths on one row of
//! logits is in `ops`, fused with the head.

mod mixture;
mod step;
mod targets;
mod teachers;
#[cfg(test)]
mod tests;

pub use step::{StepKd, least_excess};
pub use targets::targets_of;
pub use teachers::{Joining, Teachers, join_stats};

use super::batch::KdLoss;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which distributions are tempered.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum TemperatureMode {
    /// Only the teacher's.
    #[default]
    Teacher,
    /// The teacher's and the student's; the loss is multiplied by tau squared.
    Both,
}

/// Which positions learn from the teacher.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// All positions.
    #[default]
    None,
    /// Positions whose target is among the teacher's top `gate_k` ids; the others learn by
    /// cross-entropy.
    Learnable,
    /// All but the fraction `gate_fraction` of each step's labelled positions where the teacher's
    /// entropy is lowest. There the teacher's distribution adds little to its best id.
    Entropy,
    /// Positions where the teacher's NLL of the target is below the student's: what `transition =
    /// "auto"` decides once for the run, decided at each position.
    Agreement,
    /// By how much the student's NLL of the target exceeds the teacher's: little where the student has learnt
    /// it, or where the teacher finds it no easier. With `gate_excess = "cut"`, nothing is learnt, by KD or
    /// cross-entropy, from the fraction `gate_fraction` of labelled positions where this excess is least: the
    /// threshold is the value below which this fraction of the previous step's positions lay; the first step
    /// learns from all. With `"weight"`, the excess weights what is learnt at each position.
    Excess,
}

/// What the gate `excess` does.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum GateExcess {
    /// A fraction of the positions is left out.
    #[default]
    Cut,
    /// CE and KD of a position have the weight T / (T + q), with T the teacher's and q the student's
    /// probability of the target; the loss of a step is the weighted mean. A position without labels has
    /// the weight 1. It depends only on the current step, so it applies from the first one on.
    Weight,
}

/// How labels become targets.
#[derive(Debug, Clone, PartialEq)]
pub struct KdPolicy {
    /// The loss.
    pub loss: KdLoss,
    /// Temperature, positive. With `sampled` it is the temperature of the samples; with the others, if
    /// not 1, it is among the labels' stored temperatures.
    pub tau: f64,
    /// Which distributions are tempered.
    pub temperature_mode: TemperatureMode,
    /// Which positions learn from the teacher.
    pub gate: Gate,
    /// k of the gate `learnable`.
    pub gate_k: u32,
    /// Fraction of the gates `entropy` and `excess`, in `[0, 1)`.
    pub gate_fraction: f64,
    /// What the gate `excess` does.
    pub gate_excess: GateExcess,
    /// Index of `tau` among the extra temperatures of each teacher's labels; `None` if it is 1, and with
    /// `sampled`.
    pub tau_idx: Vec<Option<usize>>,
    /// How several teachers are combined.
    pub joining: Joining,
}

impl KdPolicy {
    /// Whether the gate cuts a fraction, by a boundary from the previous step.
    pub fn cuts_excess(&self) -> bool {
        self.gate == Gate::Excess && self.gate_excess == GateExcess::Cut
    }

    /// The loss at temperature 1 and at every position, with a single teacher.
    pub fn of(loss: KdLoss) -> Self {
        Self {
            loss,
            tau: 1.0,
            temperature_mode: TemperatureMode::Teacher,
            gate: Gate::None,
            gate_k: 1,
            gate_fraction: 0.0,
            gate_excess: GateExcess::Cut,
            tau_idx: vec![None],
            joining: Joining::default(),
        }
    }
}
