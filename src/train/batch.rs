//! A micro-batch, flattened: N positions of several sequences, one after the other, no padding.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// N positions with their targets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MicroBatch {
    /// `[N]` inputs.
    pub ids_n: Vec<u32>,
    /// `[N]` next tokens.
    pub targets_n: Vec<u32>,
    /// `[N]` 1, or 0 for a position that is not learnt from.
    pub weights_n: Vec<f32>,
    /// `[n_sequences + 1]` where each sequence starts; the last is N. Attention stays inside one,
    /// and positions count from 0 in each.
    pub starts: Vec<usize>,
    /// The teacher's part, where there is one.
    pub kd: Option<KdTargets>,
}

/// How what is stored of a teacher's distribution becomes one to learn.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum KdLoss {
    /// The K stored ids and one bucket for the rest.
    TailBucket,
    /// Counts of draws from the teacher over their number; unbiased at the temperature they were made at.
    Sampled,
    /// The stored ids, rescaled to sum to 1; biased, for comparison.
    Renormalize,
    /// The stored ids as they are; biased, for comparison.
    Drop,
}

impl std::fmt::Display for KdLoss {
    /// The word of the configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TailBucket => "tail-bucket",
            Self::Sampled => "sampled",
            Self::Renormalize => "renormalize",
            Self::Drop => "drop",
        })
    }
}

/// Most teachers that one position learns from.
pub const MAX_TEACHERS: usize = 8;

/// A gate that needs the student's NLL of the target, so that the head decides it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeadGate {
    /// KD only where the student's NLL is above the teacher's.
    Agreement,
    /// Nothing is learnt where the student's NLL less the teacher's is below this, nats.
    Excess(f32),
    /// What a position learns has a weight: with q the student's and T the teacher's probability of the target,
    /// T / (T + q), which is the logistic function of the student's NLL less the teacher's.
    ExcessWeight,
}

/// The teacher's distribution at each of N positions, stored ids only; of several teachers, all of theirs.
#[derive(Debug, Clone, PartialEq)]
pub struct KdTargets {
    /// Which loss.
    pub loss: KdLoss,
    /// Temperature of the student's softmax in the KD part; 1 unless both are tempered.
    pub student_tau: f32,
    /// `[N]` omega of each position; 0 where a gate that the labels alone decide is closed.
    pub omega_n: Vec<f32>,
    /// The gate that the head decides; `None` where labels alone decide.
    pub gate: Option<HeadGate>,
    /// `[N]` the teacher's NLL of each target, nats, with the gates `agreement` and `excess`; -inf, which
    /// `excess` never cuts, of a position without labels. Empty with every other gate.
    pub teacher_nll_n: Vec<f32>,
    /// `[N + 1]` where the stored ids of each position start.
    pub offsets: Vec<u32>,
    /// Kept ids, distinct inside a position.
    pub ids: Vec<u32>,
    /// Their probabilities as the loss uses them: tempered, and rescaled where the loss says so. Of
    /// several teachers: their weighted sum, 0 for a teacher that does not keep the id.
    pub probs: Vec<f32>,
    /// Tails of a position: one of each teacher that is mixed with `tail-bucket`, 1 of a single teacher,
    /// 0 with every other loss.
    pub n_tails: usize,
    /// `[N * n_tails]` probability outside the ids of each teacher, times the teacher's weight.
    pub tails: Vec<f32>,
    /// Whether each id is in the tail of each teacher, for each position `[n_tails]` lists of its ids;
    /// empty with fewer than two tails.
    pub in_tail: Vec<bool>,
    /// `[N]` sum of p log p over what is learnt, nats: over ids and tail of each teacher, weighted.
    pub negentropy_n: Vec<f32>,
}

/// What a model makes of one position: forward only.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PositionScore {
    /// -log q_y, nats.
    pub nll: f64,
    /// Probability of the model's best id, max_v q_v: its confidence.
    pub best_prob: f32,
    /// Whether the target is that id; of ids that tie for it, the lowest is the best.
    pub is_best: bool,
}

/// Sums over the weighted positions of one or more micro-batches.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LossSums {
    /// Weighted positions.
    pub n: f64,
    /// Nats: the loss that was differentiated.
    pub loss: f64,
    /// Nats: -log q_y.
    pub ce: f64,
    /// Nats: KD over the positions that learn from the teacher, not multiplied by omega.
    pub kd: f64,
    /// Positions that learn from the teacher: omega > 0 and the gate open.
    pub n_kd: f64,
    /// Positions that anything is learnt from: all, but for those that the gate `excess` cuts; where it
    /// weights, the sum of their weights.
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
