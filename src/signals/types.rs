//! The plain data that leaves this room.

use serde::{Deserialize, Serialize};

/// The k of every score: SALT uses 10 (eq. 10).
pub const SCORE_K: usize = 10;

/// Which lists over positions are wanted beside the scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Groups {
    /// Target log-probability and rank, entropy, logsumexp.
    pub stats: bool,
    /// The K best ids with their log-probabilities, the tail mass, extra temperatures.
    pub topk: bool,
}

/// What to reduce each row of logits to.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalsConfig {
    /// The lists wanted.
    pub groups: Groups,
    /// K, at most `vocab_size`.
    pub top_k: usize,
    /// Extra temperatures, each positive; one log-partition a position each.
    pub temperatures: Vec<f64>,
    /// Precision of kept log-probabilities.
    pub rounding: Rounding,
    /// V: logits past it (a padded head) are left out as if they were -inf.
    pub vocab_size: usize,
    /// Draws from each position's distribution, if they are wanted.
    pub sampling: Option<Sampling>,
}

/// Random-sampling KD ("Sparse Logit Sampling", arXiv 2503.16870): draws with replacement from the
/// tempered distribution of each position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// N draws a position, 1 to 65,535.
    pub n_draws: u16,
    /// tau_s, positive: draws are from p^(1/tau_s) / sum p^(1/tau_s).
    pub tau: f64,
    /// With `seq_id` and position, all that the draws depend on.
    pub seed: u64,
}

/// What the logits of one batch row predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceTargets<'a> {
    /// The sequence; keys its draws.
    pub seq_id: u64,
    /// `[T]` target ids: position t predicts `targets[t]`.
    pub targets: &'a [u32],
}

/// One batch of logits as the teacher left them: row-major `[B, T, V]`, never copied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Logits<'a> {
    /// The values, in the teacher's own dtype.
    pub data: LogitsData<'a>,
    /// B.
    pub n_rows: usize,
    /// T of the padded batch.
    pub width: usize,
    /// V.
    pub vocab_size: usize,
}

/// Logits in one of the float dtypes that exporters write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LogitsData<'a> {
    /// IEEE single precision.
    F32(&'a [f32]),
    /// IEEE half precision.
    F16(&'a [half::f16]),
    /// bfloat16.
    Bf16(&'a [half::bf16]),
}

/// Lists over the T predicted positions of one sequence; empty where the group was not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PositionSignals {
    /// `[T]` nats, log-probability of the target under the full softmax. Group `stats`.
    pub target_logprob_t: Vec<f32>,
    /// `[T]` how many ids the teacher ranks above the target (ties: lower id first), saturating. Group `stats`.
    pub target_rank_t: Vec<u16>,
    /// `[T]` nats, entropy of the full softmax. Group `stats`.
    pub entropy_t: Vec<f32>,
    /// `[T]` nats, logsumexp of the raw logits. Group `stats`.
    pub logsumexp_t: Vec<f32>,
    /// `[T * K]` ids by falling logit, ties by id. Group `topk`.
    pub topk_ids_tk: Vec<u32>,
    /// `[T * K]` nats, full-softmax log-probabilities rounded to the recorded precision. Group `topk`.
    pub topk_logprobs_tk: Vec<f32>,
    /// `[T]` probability outside the K, before any rounding. Group `topk`.
    pub tail_mass_t: Vec<f32>,
    /// `[X][T]` nats, for each extra temperature tau: log sum_v p_v^(1/tau). Group `topk`.
    pub log_partition_xt: Vec<Vec<f32>>,
    /// Distinct ids drawn, position after position, rising in each. Group `samples`.
    pub sampled_ids: Vec<u32>,
    /// How often each was drawn: at least 1, N together in each position. Group `samples`.
    pub sampled_counts: Vec<u16>,
    /// `[T + 1]` where each position begins in the two lists; the first is 0, the last their
    /// length. Group `samples`.
    pub sample_offsets: Vec<u32>,
}

/// Selection scores of one sequence; nats unless said otherwise. k = 10 throughout (SALT eq. 10).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Scores {
    /// Median NLL over positions whose target is among the k best; `None` if no position qualifies.
    pub salt: Option<f64>,
    /// Median over all positions of `[target_rank < k] * nll`.
    pub salt_masked: f64,
    /// Mean NLL.
    pub mean_nll: f64,
    /// Median NLL.
    pub median_nll: f64,
    /// Share of positions with `target_rank < k`, in `[0, 1]`.
    pub learnable_fraction: f64,
    /// Mean entropy.
    pub mean_entropy: f64,
    /// Mean probability of the k best, in `[0, 1]`.
    pub mean_topk_mass: f64,
}

/// Precision that kept log-probabilities are rounded to (they are stored as f32 all the same).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// No rounding.
    F32,
    /// IEEE half precision: relative step 2^-11.
    F16,
    /// bfloat16: relative step 2^-8.
    Bf16,
}

impl Rounding {
    /// `value` at this precision, as f32. `-inf` and 0 stay what they are.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Rounding::F32 => value,
            Rounding::F16 => half::f16::from_f32(value).to_f32(),
            Rounding::Bf16 => half::bf16::from_f32(value).to_f32(),
        }
    }
}
