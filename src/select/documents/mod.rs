//! Choosing documents of a corpus by what a label set says of them.
//!
//! The orders and amounts are those of sequences ([`Order`](super::Order), [`Amount`](super::Amount)), over
//! the rows of `documents/`; ties are by `doc_index`. With `per`, every source has a ranking and an amount of
//! its own. The score may be the difference of two label sets', also of models with different tokenizers:
//! then documents are joined by id, or by source and record, and the score must not depend on how a text is
//! cut into tokens. Only what both sets labelled alike has a difference; the others are counted by why.
//!
//! Memory is bounded: rows pass through sorts that spill. `join` makes the differences, `run` ranks and writes.

mod join;
mod policy;
mod record;
mod rows;
mod run;
mod summary;

#[cfg(test)]
mod tests;

pub use policy::{DocumentPolicy, Join, Per};
pub use run::select_documents;
pub use summary::{DocumentExample, DocumentSummary, LeftOut, SourceSummary};
