//! Pure maths on one row of logits, and on one sequence of rows. No I/O.
//!
//! For logits z over V ids at one position, L = logsumexp(z), log p_v = z_v - L, and y the next
//! token (all in nats):
//!
//! - target: log p_y, and its rank: how many ids come before y, by (descending logit, ascending id);
//! - entropy: -sum_v p_v log p_v over the full softmax;
//! - top-k: the first K ids in that order, their log-probabilities, and the tail mass
//!   1 - sum of their p, computed as the sum of the terms outside;
//! - for each extra temperature tau: log sum_v p_v^(1/tau), from which tempered probabilities of
//!   stored ids follow exactly;
//! - samples: N draws with replacement from p^(1/tau_s), keyed by (seed, seq_id, position)
//!   (random-sampling KD, arXiv 2503.16870);
//! - scores: medians and means of these over a sequence's positions (SALT eq. 10, k = 10).
//!
//! [`reduce_batch`] computes all of this while the row is in cache. Probabilities below e^-87 of the
//! largest count as 0. `reference` does the same in the most obvious way, in f64, and property tests
//! compare the two.
//!
//! `Histogram` and `Counts` are distributions of such numbers in bounded memory (bins, quantiles and
//! terciles), for all rooms that need them.

mod batch;
mod divergence;
mod draws;
mod error;
mod exp;
mod histogram;
mod kernel;
mod philox;
mod ranking;
#[cfg(test)]
mod reference;
mod scores;
mod sequence;
mod sums;
mod types;

pub use batch::{check_targets, instruction_set, reduce_batch};
pub use divergence::{KeptSequence, PositionDivergence, divergence_batch};
pub use error::SignalsError;
#[cfg(feature = "train")]
pub(crate) use exp::exp_lane as exp_of_negative;
pub(crate) use histogram::{Counts, Histogram};
pub use philox::uniform_at;
pub use scores::ScoreInputs;
pub use sequence::{PositionReduction, SequenceBuilder, SequenceSignals};
pub use sums::TargetSums;
pub use types::{
    Groups, Logits, LogitsData, PositionSignals, Rounding, SCORE_K, Sampling, Scores,
    SequenceTargets, SignalsConfig,
};
