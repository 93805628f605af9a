//! Checkpoints: everything that a run resumes from, bit for bit.
//!
//! ```text
//! RUN/checkpoints/step-N/
//!   config.json              with the next one: a Hugging Face Llama directory
//!   model.safetensors
//!   optimizer.safetensors    moments of AdamW: `m.` and `v.` before each tensor's name
//!   state.json               step, loader position, schedule state, configuration
//!   checkpoint.json          size and BLAKE3 of the files above, written last
//! ```
//!
//! A checkpoint is written to a hidden directory next to its final path; every file and then the directory is
//! fsynced, and one rename publishes it. A process killed at any time leaves older checkpoints unchanged, and
//! at most a hidden directory that the next run removes. So a `step-N` without its `checkpoint.json`, or with a
//! file that does not match it, was damaged by something else; it is refused, and the error names the last good
//! one.
//!
//! Old checkpoints are removed only once the new one is complete, and are renamed first, so that a kill during
//! the removal leaves no partial checkpoint under its name. If a run resumes from an earlier step, later
//! checkpoints are not removed but renamed to `step-N.abandoned`, which is not the name of a checkpoint.

mod contents;
mod error;
mod seal;
mod store;
#[cfg(test)]
mod tests;

pub use contents::Contents;
pub use error::{CheckpointError, Fault};
pub use seal::{CHECKPOINT_FORMAT_VERSION, SEAL_NAME, Seal};
pub use store::{Checkpoint, CheckpointStore, step_of};
