//! Choosing the sequences of stage 1 by their scores only, without teacher or tokens.
//!
//! A [`Policy`] defines the order of sequences ([`Order`]), how many to keep ([`Amount`]), and which are
//! not eligible: those without a score, and those below a minimum of `score_learnable_fraction`. A
//! sequence's rank is its place in that order, from 0; the selection keeps the first ranks, up to the
//! amount. Equal keys are ordered by `seq_id`, so a selection depends only on scores and policy, not on
//! the order of rows on disk.
//!
//! | order | key of a sequence | |
//! | --- | --- | --- |
//! | `top` | score | hardest first |
//! | `bottom` | -score | easiest first |
//! | `middle` | -distance from the median, in places | nearest to the median first |
//! | `random` | u | the control |
//! | `weighted` | score / temperature - ln(-ln u) | sampling without replacement, weights exp(score / temperature) (Gumbel-top-k, arXiv 1903.06059) |
//!
//! u is uniform in (0, 1) and a function of (seed, seq_id) alone. The score may be the difference of
//! two label sets' scores, joined by `seq_id` (MiniPLM, arXiv 2410.17215: the NLL of a reference minus
//! that of the teacher).
//!
//! Memory is bounded: rows pass through `sort`, which spills sorted runs into an unlinked temporary
//! file next to the output, once in the policy's order (twice for `middle`) and once by `seq_id`.
//!
//! `documents` does the same for documents, by their results in `documents/`.
//!
//! Invariant: this room reads only the columns `seq_id` and `n_targets` and the requested scores of a
//! label set, or its documents.

mod documents;
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

pub use documents::{
    DocumentExample, DocumentPolicy, DocumentSummary, Join, LeftOut, Per, SourceSummary,
    select_documents,
};
pub use error::SelectError;
pub(crate) use examples::Smallest;
pub use examples::{Example, Examples};
pub use histogram::{ScoreBar, ScoreHistogram, ScoreSummary};
pub use policy::{Amount, Order, Policy};
pub use run::{Summary, select};
