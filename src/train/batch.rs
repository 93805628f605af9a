//! A micro-batch, flattened: N positions of several concatenated sequences, without padding.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// N positions with their targets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MicroBatch {
    /// `[N]` inputs.
    pub ids_n: Vec<u32>,
    /// `[N]` next tokens.
    pub targets_n: Vec<u32>,
    /// `[N]` 1, or 0 for a position that does not count in the loss.
    pub weights_n: Vec<f32>,
    /// `[n_sequences + 1]` where each sequence starts; the last is N. Attention stays inside one,
    /// and positions count from 0 in each.
    pub starts: Vec<usize>,
    /// The teacher's part, if there is one.
    pub kd: Option<KdTargets>,
}

/// How the stored part of the teacher's distribution becomes a target.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum KdLoss {
    /// The K stored ids and one bucket for the rest.
    TailBucket,
    /// Fractions of samples from the teacher; unbiased at the temperature of the samples.
    Sampled,
    /// The stored ids, rescaled to sum to 1; biased, for comparison.
    Renormalize,
    /// The stored ids as they are; biased, for comparison.
    Drop,
}

impl std::fmt::Display for KdLoss {
    /// The value in the configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TailBucket => "tail-bucket",
            Self::Sampled => "sampled",
            Self::Renormalize => "renormalize",
            Self::Drop => "drop",
        })
    }
}

/// Maximum number of teachers per position.
pub const MAX_TEACHERS: usize = 8;

/// A gate that depends on the student's NLL of the target, so the head evaluates it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeadGate {
    /// KD only if the student's NLL is above the teacher's.
    Agreement,
    /// Positions where the student's NLL minus the teacher's is below this, in nats, do not count in the loss.
    Excess(f32),
    /// Each position is weighted by T / (T + q), with q the student's and T the teacher's probability of the
    /// target: the logistic function of the student's NLL minus the teacher's.
    ExcessWeight,
}

/// The teacher's distribution at each of N positions, stored ids only; with several teachers, the union of
/// their ids.
#[derive(Debug, Clone, PartialEq)]
pub struct KdTargets {
    /// Which loss.
    pub loss: KdLoss,
    /// Temperature of the student's softmax in the KD part; 1 unless both are tempered.
    pub student_tau: f32,
    /// `[N]` omega of each position; 0 where a gate that depends only on the labels is closed.
    pub omega_n: Vec<f32>,
    /// The gate that the head evaluates; `None` if the labels alone decide.
    pub gate: Option<HeadGate>,
    /// `[N]` the teacher's NLL of each target, nats, with the gates `agreement` and `excess`; -inf, which
    /// `excess` never cuts, at positions without labels. Empty with every other gate.
    pub teacher_nll_n: Vec<f32>,
    /// `[N + 1]` where the stored ids of each position start.
    pub offsets: Vec<u32>,
    /// Stored ids, distinct within a position.
    pub ids: Vec<u32>,
    /// Their probabilities as the loss uses them: tempered, and rescaled if the loss requires it. With several
    /// teachers, the weighted sum, where a teacher that does not store the id contributes 0.
    pub probs: Vec<f32>,
    /// Tails per position with `tail-bucket`: one per mixed teacher, or 1 for a single teacher; 0 with every
    /// other loss.
    pub n_tails: usize,
    /// `[N * n_tails]` each teacher's probability outside its own ids, times the teacher's weight.
    pub tails: Vec<f32>,
    /// Whether each id is in the tail of each teacher: for each position, `n_tails` lists over its ids. Empty
    /// with fewer than two tails.
    pub in_tail: Vec<bool>,
    /// `[N]` sum of p log p over the target distribution, nats: over ids and tails of the teachers, weighted.
    pub negentropy_n: Vec<f32>,
}

/// A model's score at one position, from the forward pass only.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PositionScore {
    /// -log q_y, nats.
    pub nll: f64,
    /// Probability of the model's top id, max_v q_v: its confidence.
    pub best_prob: f32,
    /// Whether the target is that id; of tied ids, the lowest counts.
    pub is_best: bool,
}

/// Sums over the weighted positions of one or more micro-batches.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSums {
    /// Weighted positions.
    pub n: f64,
    /// The loss that was differentiated, nats.
    pub loss: f64,
    /// -log q_y, nats.
    pub ce: f64,
    /// KD over the positions that learn from the teacher, not multiplied by omega, nats.
    pub kd: f64,
    /// Positions that learn from the teacher: omega > 0 and the gate open.
    pub n_kd: f64,
    /// Positions that count in the loss: all except those that the gate `excess` cuts, or the sum of the
    /// weights if it weights them.
    pub n_learnt: f64,
}

impl MicroBatch {
    /// N.
    pub fn n_positions(&self) -> usize {
        self.ids_n.len()
    }

    /// Longest sequence.
    pub fn longest(&self) -> usize {
        self.starts
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .max()
            .unwrap_or(0)
    }
}

impl std::ops::AddAssign for LossSums {
    fn add_assign(&mut self, other: Self) {
        self.n += other.n;
        self.loss += other.loss;
        self.ce += other.ce;
        self.kd += other.kd;
        self.n_kd += other.n_kd;
        self.n_learnt += other.n_learnt;
    }
}
