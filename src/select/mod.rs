//! Which sequences stage 1 sees, by their scores alone: no teacher, no tokens.
//!
//! A [`Policy`] says in which order sequences are wanted ([`Order`]), how many of them ([`Amount`]),
//! and which may not be taken at all: those without a score, and those below a floor on
//! `score_learnable_fraction`. A sequence's rank is its place in that order, 0 the most wanted, and
//! the selection keeps the first ranks, up to the amount. Equal keys are ordered by `seq_id`,
//! so a selection is a pure function of scores and policy, whatever the order of rows on disk.
//!
//! | order | key of a sequence | |
//! | --- | --- | --- |
//! | `top` | score | hardest first |
//! | `bottom` | -score | easiest first |
//! | `middle` | -distance of its place from the middle place, by score | |
//! | `random` | u | the control |
//! | `weighted` | score / temperature - ln(-ln u) | draws without replacement, chances as exp(score / temperature) (Gumbel-top-k, arXiv 1903.06059) |
//!
//! u is uniform in (0, 1) and a function of (seed, seq_id) alone. The score may be the difference of
//! two label sets' scores, joined by `seq_id` (MiniPLM, arXiv 2410.17215: the NLL of a reference minus
//! that of the teacher).
//!
//! Memory is bounded: rows pass through `sort`, which spills sorted runs into an unlinked temporary
//! file next to the output, once in the policy's order (twice for `middle`) and once by `seq_id`.
//!
//! Invariant: this room reads the columns `seq_id`, `n_targets` and the scores that it is asked for, and
//! nothing else of a label set.

mod error;
mod examples;
mod histogram;
mod output;
mod policy;
mod rows;
mod run;
mod sort;

#[cfg(test)]
mod tests;

pub use error::SelectError;
pub use examples::{Example, Examples};
pub use histogram::{ScoreBar, ScoreHistogram, ScoreSummary};
pub use policy::{Amount, Order, Policy};
pub use run::{Summary, select};
