//! The figures, as plain data.

use super::blocks::BlocksOf;
use super::estimate::Estimate;
use serde::{Deserialize, Serialize};

/// What labelled text says of the teacher. Bounds are of its divergence from what drew the text, and
/// hold on text that it was not trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherFigures {
    /// Sequences that were read and have an NLL: what all figures are of.
    pub n_sequences: u64,
    /// Sequences that have none, as the teacher gives one of their targets no probability.
    #[serde(default)]
    pub n_without_nll: u64,
    /// Predicted positions in them.
    pub n_targets: u64,
    /// What the blocks of text are that standard errors are taken over.
    pub blocks_of: BlocksOf,
    /// How many of them there are.
    pub n_blocks: usize,
    /// Mean NLL, nats per position: at least KL(P, T) in the mean.
    pub nll: Estimate,
    /// Fraction of positions whose target is the teacher's best id. Null without the group `stats`.
    pub accuracy: Option<Estimate>,
    /// With the k of the scores (10), whose mass is exact: summed in f64 before any rounding.
    pub by_scores: DivergenceBounds,
    /// With k of the ids that are stored. Null without the groups `stats` and `topk`.
    pub by_topk: Option<DivergenceBounds>,
    /// The same by thirds of the teacher's entropy, lowest first; empty where `by_topk` is null.
    pub entropy_buckets: Vec<EntropyBucket>,
    /// By thirds of the NLL, lowest first; empty without the group `stats`. They select by the target, so
    /// nothing is bounded on them.
    pub nll_buckets: Vec<NllBucket>,
}

/// Bounds on how far the teacher's distribution T is from the data's P, in the mean over positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DivergenceBounds {
    /// How many of the teacher's best ids the lower bound looks at.
    pub k: u32,
    /// Fraction of positions with target_rank < k: an estimate of P's mass on the k best.
    pub hit_rate: Estimate,
    /// Mean of T's mass on the k best.
    pub topk_mass: Estimate,
    /// `hit_rate` minus `topk_mass`, paired by position: above 0 where the teacher is less sure of its best
    /// ids than it might be, below 0 where it is too sure.
    pub difference: Estimate,
    /// By how much the rounding of what is stored may have moved `topk_mass`, at most.
    pub rounding: f64,
    /// Lower bound of E TV(P, T): |difference|.
    pub tv_at_least: f64,
    /// The same less two standard errors and the rounding. At 0 the lower bound is within noise.
    pub tv_at_least_beyond_noise: f64,
    /// Upper bound of E TV(P, T): mean of 1 - T(y). Null without the group `stats`.
    pub tv_at_most: Option<Estimate>,
    /// Lower bound of E KL(P, T), nats: 2 tv_at_least^2.
    pub kl_at_least: f64,
    /// Upper bound of E KL(P, T), nats: the mean NLL, which is larger by P's own entropy.
    pub kl_at_most: Estimate,
}

/// Bounds over the positions whose entropy, a function of the context alone, lies in a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntropyBucket {
    /// `low`, `middle` or `high`.
    pub name: String,
    /// Nats; from this on.
    pub from: f64,
    /// Nats; below this. Null in the highest.
    pub below: Option<f64>,
    /// Positions in it.
    pub n_targets: u64,
    /// The bounds.
    pub bounds: DivergenceBounds,
}

/// The NLL of the positions whose NLL lies in a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NllBucket {
    /// `easy`, `medium` or `hard`.
    pub name: String,
    /// Nats; from this on.
    pub from: f64,
    /// Nats; below this. Null in the hardest.
    pub below: Option<f64>,
    /// Positions in it.
    pub n_targets: u64,
    /// Mean NLL, nats.
    pub nll: Estimate,
}
