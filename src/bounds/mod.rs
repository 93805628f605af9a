//! What a label set says about its teacher: lower and upper bounds on how far it is from the text that it
//! labelled, and how much better it looks on its training text.
//!
//! P is the distribution from which the text draws each next token y, T the teacher's. The mean of `[rank < k]`
//! is the mass that P gives to the teacher's k top ids, so its difference from the mass that T gives them
//! bounds the total variation TV from below; 1 - T(y) bounds it from above; Pinsker's inequality and the NLL
//! bound KL(P, T):
//!
//! ```text
//! | mean `[rank < k]` - mean top-k mass |  <=  E TV(P, T)  <=  mean (1 - T(y))
//! 2 (lower bound)^2  <=  E KL(P, T)  <=  mean NLL  =  E H(P) + E KL(P, T)
//! ```
//!
//! These bound expectations; means over a sample satisfy them up to the sampling error, which is given with
//! every mean. They also need y to be a draw that T has not seen, so only labels of held-out text tell about P;
//! the teacher's own training text does not.
//!
//! They hold over a subset of the positions only if it is chosen by the context alone, so buckets with bounds
//! are by the teacher's entropy. The NLL of y, which defines easy, medium and hard, depends on the outcome: in
//! the easy third even T = P has more hits than mass. Those buckets have means of the NLL and no bounds.
//!
//! Tokens of one document are alike and not independent. Standard errors are those of a ratio of sums over
//! documents (the linearised cluster estimator), or over at most [`MAX_BLOCKS`] blocks of neighbouring
//! documents, so memory does not grow with the set. On novels they are four times those from treating sequences
//! as independent.

mod blocks;
mod collect;
mod error;
mod estimate;
mod figures;
mod held_out;
mod mass;
mod terciles;
#[cfg(test)]
mod tests;

pub use blocks::{BlockUnit, MAX_BLOCKS};
pub use collect::{TeacherCollector, teacher_figures};
pub use error::BoundsError;
pub use estimate::Estimate;
pub use figures::{DivergenceBounds, EntropyBucket, NllBucket, TeacherFigures};
pub use held_out::{HeldOut, compare_held_out, have_sequences_in_common};
