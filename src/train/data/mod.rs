//! Provides the sequences of each step, from label shards or token files.
//!
//! ```text
//! label directory ─▶ LabelSource ─┐ windows of row groups          ┌─▶ next_labelled ─▶ Vec<Example>
//! selection ───────▶      │       ├─▶ Loader, a thread a stream ───┤
//! token corpus ────▶ TokenSource ─┘ without what stage 1 may use   └─▶ next_tokens ───▶ Vec<Example>
//! ```
//!
//! Before the first step, everything is checked that can be: provenance, what the loss needs from the labels, that
//! the labels of several teachers cover the same sequences, file sizes, ids, and whether there are enough sequences
//! for all steps. The sequence at each position is a pure function of seed and epoch (see `order`), so a run resumes
//! at any position without reading what comes before it, and prefetching changes nothing.
//!
//! Stage 2 excludes only the labelled sequences that stage 1 may reach: the first `labelled_steps
//! * batch_size` in the labels' order.
//!
//! Examples are plain data; [`crate::train::loss::targets_of`] converts them to targets on the training
//! threads, since omega changes between steps and the conversion takes under 1% of a step.

mod error;
mod facts;
mod joined;
mod label_stream;
mod labels;
mod loader;
mod order;
mod tokens;

pub use error::DataError;
pub use facts::{LabelNeeds, TokenizerFacts};
pub use labels::{LabelSource, LabelSourceOptions};
pub use loader::{Coverage, Loader, LoaderPosition, Stages};
pub use tokens::{TokenOptions, TokenOrder, TokenSource};

pub use crate::shards::{LABELS_FINGERPRINT_KEY, labels_fingerprint};

#[cfg(test)]
mod tests;
