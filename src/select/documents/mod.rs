//! Selects documents of a corpus by their results in a label set.
//!
//! Orders and amounts are those for sequences ([`Order`](super::Order), [`Amount`](super::Amount)), applied to the rows
//! of `documents/`; ties are by `doc_index`. With `per`, every source has its own ranking and amount. The score may be
//! the difference of two label sets', even of models with different tokenizers: then documents are joined by id, or by
//! source and record, and the score must not depend on the tokenization. Only documents that both sets label to the
//! same extent have a difference; the others are counted by reason.
//!
//! Memory is bounded: rows pass through sorters that spill. `join` makes the differences, `run` ranks and writes.

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
