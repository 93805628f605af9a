//! The figures, as plain data.

use super::blocks::BlockUnit;
use super::estimate::Estimate;
use serde::{Deserialize, Serialize};

/// What labelled text says about the teacher. The bounds are on its divergence from the distribution of the
/// text, and hold for text that it was not trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherFigures {
    /// Sequences that were read and have an NLL; all figures are computed from these.
    pub n_sequences: u64,
    /// Sequences without an NLL, since the teacher gives one of their targets probability 0.
    #[serde(default)]
    pub n_without_nll: u64,
    /// Predicted positions in them.
    pub n_targets: u64,
    /// What the blocks of text, over which standard errors are estimated, consist of.
    pub blocks_of: BlockUnit,
    /// Number of those blocks.
    pub n_blocks: usize,
    /// Mean NLL, nats per position: an upper bound of the mean KL(P, T).
    pub nll: Estimate,
    /// Fraction of positions whose target is the teacher's top id. Null without the group `stats`.
    pub accuracy: Option<Estimate>,
    /// With the k of the scores (10), whose mass is exact: summed in f64 before any rounding.
    pub by_scores: DivergenceBounds,
    /// With k of the stored ids. Null without the groups `stats` and `topk`.
    pub by_topk: Option<DivergenceBounds>,
    /// The same by thirds of the teacher's entropy, lowest first; empty where `by_topk` is null.
    pub entropy_buckets: Vec<EntropyBucket>,
    /// By thirds of the NLL, lowest first; empty without the group `stats`. These are chosen by the target, so
    /// they have no bounds.
    pub nll_buckets: Vec<NllBucket>,
}

/// Bounds on how far the teacher's distribution T is from the data's P, averaged over positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DivergenceBounds {
    /// Number of the teacher's top ids that the lower bound uses.
    pub k: u32,
    /// Fraction of positions with target_rank < k: an estimate of P's mass on the k top ids.
    pub hit_rate: Estimate,
    /// Mean of T's mass on the k top ids.
    pub topk_mass: Estimate,
    /// `hit_rate` minus `topk_mass`, paired by position: above 0 if the teacher is underconfident in its top
    /// ids, below 0 if it is overconfident.
    pub difference: Estimate,
    /// Maximum error of `topk_mass` from the rounding of stored values.
    pub rounding: f64,
    /// Lower bound of E TV(P, T): |difference|.
    pub tv_at_least: f64,
    /// The same less two standard errors and the rounding. 0 means that the lower bound is within noise.
    pub tv_at_least_beyond_noise: f64,
    /// Upper bound of E TV(P, T): mean of 1 - T(y). Null without the group `stats`.
    pub tv_at_most: Option<Estimate>,
    /// Lower bound of E KL(P, T), nats: 2 tv_at_least^2.
    pub kl_at_least: f64,
    /// Upper bound of E KL(P, T), nats: the mean NLL, which exceeds it by P's own entropy.
    pub kl_at_most: Estimate,
}

/// Bounds over the positions whose entropy, a function of the context alone, lies in a range.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntropyBucket {
    /// `low`, `middle` or `high`.
    pub name: String,
    /// Lower limit, nats, inclusive.
    pub from: f64,
    /// Upper limit, nats, exclusive. Null in the highest.
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
    /// Lower limit, nats, inclusive.
    pub from: f64,
    /// Upper limit, nats, exclusive. Null in the hardest.
    pub below: Option<f64>,
    /// Positions in it.
    pub n_targets: u64,
    /// Mean NLL, nats.
    pub nll: Estimate,
}
