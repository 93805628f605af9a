//! Sequences of a step, from label shards or from token files.
//!
//! ```text
//! label directory ─▶ LabelSource ─┐ windows of row groups          ┌─▶ next_labelled ─▶ Vec<Example>
//! selection ───────▶      │       ├─▶ Loader, a thread a stream ───┤
//! token corpus ────▶ TokenSource ─┘ without what stage 1 may use   └─▶ next_tokens ───▶ Vec<Example>
//! ```
//!
//! Everything that can be known is checked before the first step: provenance, what the loss needs
//! of the labels, file sizes, ids, and whether there are sequences enough for all steps. Which
//! sequence stands at which position is a pure function of seed and epoch (see `order`), so a run
//! resumes at any position without reading what lies before it, and prefetching changes nothing.
//!
//! Labelled sequences that stage 1 will not reach are free for the token stage: only the first
//! `labelled_steps * batch_size` sequences of the labels' order are left out of it.
//!
//! Examples are plain; [`crate::train::loss::targets_of`] makes targets of them on the training
//! threads, since omega changes from step to step and the work is under 1% of a step.

mod error;
mod facts;
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
