//! What a label set says of its teacher: how far it is, at least and at most, from the text it was
//! shown, and how much the text that it was trained on flatters it.
//!
//! P is what the text draws each next token y from, T the teacher. `[rank < k]` has the mean P gives to
//! the teacher's k best ids, so beside the mass that T gives them it bounds the total variation TV
//! from below; 1 - T(y) bounds it from above; Pinsker's inequality and the NLL bound KL(P, T):
//!
//! ```text
//! | mean `[rank < k]` - mean top-k mass |  <=  E TV(P, T)  <=  mean (1 - T(y))
//! 2 (lower bound)^2  <=  E KL(P, T)  <=  mean NLL  =  E H(P) + E KL(P, T)
//! ```
//!
//! They are bounds of expectations: of means over a sample they hold up to its sampling error, which
//! stands beside every mean. And they need y to be a draw that T has not seen: on the teacher's own
//! training text `[rank < k]` is not one, and only labels of held-out text tell of P.
//!
//! Over part of the positions they hold where the part is chosen by the context alone, so the buckets
//! of bounds are those of the teacher's entropy. Choosing by the NLL of y, as easy, medium and hard do,
//! chooses by the outcome: in the easy third even T = P has more hits than mass. Of those buckets
//! there are means of the NLL and no bounds.
//!
//! Tokens of one document are of one kind and not independent. Standard errors are those of a ratio of
//! sums over documents (the cluster estimator, linearised), or over blocks of neighbouring documents, at
//! most [`MAX_BLOCKS`], so memory does not grow with the set. On novels they are four times those that
//! sequences on their own would give.

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

pub use blocks::{BlocksOf, MAX_BLOCKS};
pub use collect::{TeacherCollector, teacher_figures};
pub use error::BoundsError;
pub use estimate::Estimate;
pub use figures::{DivergenceBounds, EntropyBucket, NllBucket, TeacherFigures};
pub use held_out::{HeldOut, compare_held_out, have_sequences_in_common};
