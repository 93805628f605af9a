//! What can go wrong between the parts of a run.

use crate::error::Kind;
use std::path::PathBuf;

/// An error of a run as a whole.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another process trains into the same directory.
    #[error("another process is training into {}: wait for it, or choose another --output", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory with checkpoints, and no word that they are to be used.
    #[error("{} has checkpoints already, the latest of step {step}: pass --resume to go on from there, or choose another --output", dir.display())]
    NotResumed {
        /// The directory.
        dir: PathBuf,
        /// Step of the latest.
        step: u64,
    },
    /// A directory with a trained model.
    #[error("{} holds a trained model already (final): choose another --output", dir.display())]
    Finished {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory whose files are not those of a run.
    #[error("{} is there, but it is not of a training run ({reason}): choose another --output", path.display())]
    NotARun {
        /// The file that would be overwritten.
        path: PathBuf,
        /// Why it is not.
        reason: String,
    },
    /// Inputs that changed since the run began.
    #[error("{key} has other contents than when the run in {} began ({got}, then {expected}): restore them, or begin again with another --output", run.display())]
    OtherSources {
        /// The key that names them.
        key: &'static str,
        /// What they were.
        expected: String,
        /// What they are.
        got: String,
        /// Directory of the run.
        run: PathBuf,
    },
    /// More memory than there is.
    #[error(
        "this run needs {needed} of memory ({parts}), but may take {room} ({source_of_room}): {remedy}"
    )]
    Memory {
        /// All of it.
        needed: String,
        /// Its parts.
        parts: String,
        /// What there is.
        room: String,
        /// What says so.
        source_of_room: String,
        /// Which keys make it less.
        remedy: String,
    },
    /// Two settings that do not go together, or one that lacks another.
    #[error("{key}: expected {expected}, got {got}; {remedy}")]
    Setting {
        /// The key in the configuration.
        key: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
        /// What to do.
        remedy: String,
    },
    /// The loss or the gradients are no numbers any more.
    #[error(
        "step {step}: {what} is {value}, so the weights were not updated; the batch held the sequences {seq_ids}; {kept}; a lower schedule.lr, a longer schedule.warmup_steps or a lower optimizer.grad_clip may help"
    )]
    NonFinite {
        /// The step, from 1 on.
        step: u64,
        /// `the loss` or `the gradient norm`.
        what: &'static str,
        /// NaN or an infinity.
        value: f64,
        /// Of the batch, with where they are from.
        seq_ids: String,
        /// Which checkpoint is still good.
        kept: String,
    },
    /// The process was asked to stop.
    #[error(
        "interrupted after step {step} of {n_steps}: {saved}; the same command with --resume goes on from there"
    )]
    Interrupted {
        /// Steps done.
        step: u64,
        /// Steps of the run.
        n_steps: u64,
        /// Which checkpoint there is.
        saved: String,
    },
    /// The data ended in an error; what was trained so far is saved.
    #[error(
        "the data of step {step} cannot be read; {saved}; once that is put right, the same command with --resume goes on from there"
    )]
    Data {
        /// The step that could not be read, from 1 on.
        step: u64,
        /// Which checkpoint there is.
        saved: String,
        /// What is wrong.
        #[source]
        source: Box<crate::train::data::DataError>,
    },
    /// A checkpoint could not be saved.
    #[error(
        "the checkpoint of step {step} could not be saved; {kept}; once that is put right, the same command with --resume goes on from there"
    )]
    Save {
        /// Steps done.
        step: u64,
        /// Which checkpoint is still good.
        kept: String,
        /// Why.
        #[source]
        source: Box<crate::train::TrainError>,
    },
    /// Threads could not be started.
    #[error(
        "cannot start {n_threads} threads: check the system's limits (ulimit -u), or lower train.threads"
    )]
    Threads {
        /// As many as were asked for.
        n_threads: usize,
        /// Why.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
}

impl RunError {
    /// The kind of failure, which decides the exit code.
    pub fn kind(&self) -> Kind {
        match self {
            RunError::NotResumed { .. }
            | RunError::Finished { .. }
            | RunError::NotARun { .. }
            | RunError::OtherSources { .. }
            | RunError::Memory { .. }
            | RunError::Setting { .. } => Kind::Usage,
            RunError::NonFinite { .. } => Kind::BadData,
            RunError::Data { source, .. } => match source.kind() {
                // A shard that was there at the start and now is not, or cannot be read.
                Kind::Failed => Kind::BadData,
                kind => kind,
            },
            RunError::Save { source, .. } => source.kind(),
            RunError::Interrupted { .. } => Kind::Interrupted,
            RunError::Locked { .. } | RunError::Threads { .. } => Kind::Failed,
        }
    }
}
