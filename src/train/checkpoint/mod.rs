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
//! A checkpoint is written under a hidden name beside its own, every file and then the directory is
//! fsynced, and it gets its name by one rename: a process killed at any instant leaves the older
//! ones as they were, and at most a hidden directory that the next run sweeps. So a `step-N` that
//! lacks its `checkpoint.json`, or has a file that is not as it says, was damaged by something else;
//! it is refused, and the last good one is named.
//!
//! Old ones are removed only after the new one is whole, and by a rename first, so that a kill in
//! the midst of a removal leaves no half one under its name. Those that a run went back behind are not
//! removed: they become `step-N.abandoned`, which is no checkpoint's name.

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
