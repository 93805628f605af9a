//! The plain data that other rooms receive.

use serde::{Deserialize, Serialize};

/// The k of every score: SALT uses 10 (eq. 10).
pub const SCORE_K: usize = 10;

/// Which lists over positions are requested besides the scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Groups {
    /// Target log-probability and rank, entropy, logsumexp.
    pub stats: bool,
    /// The K best ids with their log-probabilities, the tail mass, extra temperatures.
    pub topk: bool,
}

/// The quantities to which each row of logits is reduced.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalsConfig {
    /// The requested lists.
    pub groups: Groups,
    /// K, at most `vocab_size`.
    pub top_k: usize,
    /// Extra temperatures, each positive; one log-partition per position for each.
    pub temperatures: Vec<f64>,
    /// Precision of kept log-probabilities.
    pub rounding: Rounding,
    /// V: logits beyond it (a padded head) are left out as if they were -inf.
    pub vocab_size: usize,
    /// Draws from each position's distribution, if requested.
    pub sampling: Option<Sampling>,
}

/// Random-sampling KD ("Sparse Logit Sampling", arXiv 2503.16870): draws with replacement from the
/// tempered distribution of each position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// N draws per position, 1 to 65,535.
    pub n_draws: u16,
    /// tau_s, positive: draws are from p^(1/tau_s) / sum p^(1/tau_s).
    pub tau: f64,
    /// The draws depend only on this, `seq_id` and position.
    pub seed: u64,
}

/// What the logits of one batch row predict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SequenceTargets<'a> {
    /// The sequence, which identifies its draws.
    pub seq_id: u64,
    /// `[T]` target ids: position t predicts `targets[t]`.
    pub targets: &'a [u32],
}

/// One batch of the teacher's logits: row-major `[B, T, V]`, never copied.
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

/// Lists over the T predicted positions of one sequence; empty if the group was not requested.
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
    /// `[T * K]` ids by descending logit, ties by id. Group `topk`.
    pub topk_ids_tk: Vec<u32>,
    /// `[T * K]` nats, full-softmax log-probabilities rounded to the recorded precision. Group `topk`.
    pub topk_logprobs_tk: Vec<f32>,
    /// `[T]` probability outside the K best, summed before any rounding. Group `topk`.
    pub tail_mass_t: Vec<f32>,
    /// `[X][T]` nats, for each extra temperature tau: log sum_v p_v^(1/tau). Group `topk`.
    pub log_partition_xt: Vec<Vec<f32>>,
    /// Distinct ids drawn, position by position, ascending in each. Group `samples`.
    pub sampled_ids: Vec<u32>,
    /// How often each was drawn: at least 1, adding up to N in each position. Group `samples`.
    pub sampled_counts: Vec<u16>,
    /// `[T + 1]` offsets at which each position begins in the two lists; the first is 0, the last their length. Group
    /// `samples`.
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
    /// Fraction of positions with `target_rank < k`, in `[0, 1]`.
    pub learnable_fraction: f64,
    /// Mean entropy.
    pub mean_entropy: f64,
    /// Mean probability of the k best, in `[0, 1]`.
    pub mean_topk_mass: f64,
}

impl Scores {
    /// Whether the targets have an NLL. If one of them has probability 0 they do not: then `salt` is `None` and the
    /// other scores by NLL are infinite.
    pub fn has_nll(&self) -> bool {
        self.mean_nll != f64::INFINITY
    }
}

/// Precision that kept log-probabilities are rounded to (they are stored as f32 in any case), to
/// the nearest, ties to even.
///
/// `m6`, `m5` and `m4` are bfloat16 with fewer mantissa bits, for labels that take less space;
/// `docs/experiments.md` gives their cost in nats.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// No rounding.
    F32,
    /// IEEE half precision: relative error of at most 2^-11.
    F16,
    /// bfloat16: relative error of at most 2^-8.
    Bf16,
    /// 6 explicit mantissa bits: relative error of at most 2^-7.
    M6,
    /// 5 explicit mantissa bits: relative error of at most 2^-6.
    M5,
    /// 4 explicit mantissa bits: relative error of at most 2^-5.
    M4,
}

/// Explicit mantissa bits of a rounded tail mass: a relative error of at most 2^-11, which is negligible beside that of
/// the log-probabilities.
const TAIL_MANTISSA_BITS: u32 = 10;

impl Rounding {
    /// Every precision, finest first.
    pub const ALL: [Rounding; 6] = [
        Rounding::F32,
        Rounding::F16,
        Rounding::Bf16,
        Rounding::M6,
        Rounding::M5,
        Rounding::M4,
    ];

    /// `value` at this precision, as f32. `-inf` and 0 are unchanged.
    pub fn round(self, value: f32) -> f32 {
        match self {
            Rounding::F32 => value,
            Rounding::F16 => half::f16::from_f32(value).to_f32(),
            Rounding::Bf16 => half::bf16::from_f32(value).to_f32(),
            Rounding::M6 | Rounding::M5 | Rounding::M4 => {
                round_mantissa(value, self.mantissa_bits())
            }
        }
    }

    /// A tail mass as stored with log-probabilities of this precision: as f32, and with `m6`, `m5` and `m4` rounded to
    /// 10 explicit mantissa bits.
    pub fn round_tail(self, tail_mass: f64) -> f32 {
        let bits = self.tail_mantissa_bits();
        round_mantissa(tail_mass as f32, bits)
    }

    /// Largest distance between neighbouring values relative to the smaller one (in f16, above its subnormals).
    pub fn step(self) -> f64 {
        f64::from(self.mantissa_bits()).exp2().recip()
    }

    /// The same for tail masses.
    pub fn tail_step(self) -> f64 {
        f64::from(self.tail_mantissa_bits()).exp2().recip()
    }

    fn mantissa_bits(self) -> u32 {
        match self {
            Rounding::F32 => F32_MANTISSA_BITS,
            Rounding::F16 => 10,
            Rounding::Bf16 => 7,
            Rounding::M6 => 6,
            Rounding::M5 => 5,
            Rounding::M4 => 4,
        }
    }

    fn tail_mantissa_bits(self) -> u32 {
        match self {
            Rounding::F32 | Rounding::F16 | Rounding::Bf16 => F32_MANTISSA_BITS,
            Rounding::M6 | Rounding::M5 | Rounding::M4 => TAIL_MANTISSA_BITS,
        }
    }
}

/// Explicit mantissa bits of an f32.
const F32_MANTISSA_BITS: u32 = f32::MANTISSA_DIGITS - 1;

/// The nearest f32 with `bits` explicit mantissa bits, ties to even. A carry out of the mantissa increments the
/// exponent, which gives the next power of two, as it should. `value` must not be NaN.
fn round_mantissa(value: f32, bits: u32) -> f32 {
    let n_dropped = F32_MANTISSA_BITS - bits;
    if n_dropped == 0 {
        return value;
    }
    let word = value.to_bits();
    let below_half = (1 << (n_dropped - 1)) - 1;
    let is_odd = (word >> n_dropped) & 1;
    // The mantissa of infinities is 0, so nothing carries out of it; the next larger patterns are NaN.
    f32::from_bits(((word + below_half + is_odd) >> n_dropped) << n_dropped)
}

#[cfg(test)]
mod tests;
