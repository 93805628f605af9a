//! What can go wrong between the parts of a run.

use crate::error::{Classified, Kind};
use crate::storage::{JsonFault, StorageError};
use crate::train::checkpoint::CheckpointError;
use crate::train::data::DataError;
use crate::train::export::ExportError;
use crate::train::metrics::MetricsError;
use std::path::PathBuf;

/// An error of a run as a whole.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Another process trains into the same directory.
    #[error("another process is training in {}: wait for it, or choose another --output", dir.display())]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// A run in a store that another process has resumed.
    #[error(
        "another process ({by}) has taken over the run at {}: this one stops without writing to it again; to continue here instead, stop that process and run the same command with --resume",
        url.display()
    )]
    TakenOver {
        /// The run.
        url: PathBuf,
        /// Host, process and a nonce.
        by: String,
    },
    /// A run in a store that has no checkpoint yet, and whose process may be alive.
    #[error(
        "a run was started at {} by another process ({by}), and has no checkpoint yet: if that process is no longer running, pass --resume to start over; otherwise choose another --output",
        url.display()
    )]
    AlreadyStarted {
        /// The run.
        url: PathBuf,
        /// Host, process and a nonce.
        by: String,
    },
    /// A run in a store that was not left alone while it was opened.
    #[error(
        "the run at {} advanced while this process was opening it: stop the process that trains there, then run the same command again",
        url.display()
    )]
    Advanced {
        /// The run.
        url: PathBuf,
    },
    /// What is saved on this machine could not be put into the store.
    #[error(
        "cannot put the run into the store at {}; all of it is saved in {}: when that is fixed, {resume} on this machine continues from there",
        url.display(), dir.display()
    )]
    NotMirrored {
        /// The run in the store.
        url: PathBuf,
        /// The run on this machine.
        dir: PathBuf,
        /// The command that resumes.
        resume: &'static str,
        /// Why.
        #[source]
        source: Box<StorageError>,
    },
    /// A directory with checkpoints, and no word that they are to be used.
    #[error("{} has checkpoints already, the latest at step {step}: pass --resume to resume from it, or choose another --output", dir.display())]
    NotResumed {
        /// The directory.
        dir: PathBuf,
        /// Step of the latest.
        step: u64,
    },
    /// A directory with a trained model.
    #[error("{} contains a trained model already (final): choose another --output", dir.display())]
    Finished {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory whose files are not those of a run.
    #[error("{} exists, but does not belong to a training run ({reason}): choose another --output", path.display())]
    NotARun {
        /// The file that would be overwritten.
        path: PathBuf,
        /// Why it is not.
        reason: String,
    },
    /// Inputs that changed since the run began.
    #[error("{key} has other contents than when the run in {} started ({got}, then {expected}): restore it, or start again with another --output{}", run.display(), of_labels(key))]
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
    /// What a run recorded of its inputs is not what was written.
    #[error("{} is damaged ({fault}): remove it, and it is written again if the run has a checkpoint", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: JsonFault,
    },
    /// More memory than there is.
    #[error(
        "this run needs {needed} of memory ({parts}), but may use {room} ({source_of_room}): {remedy}"
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
    /// A shard that the labels list is not there.
    #[error("{} is missing, but the labels' manifest.json lists it: restore it, or remove its sidecar and label again with the same settings", path.display())]
    MissingShard {
        /// The file.
        path: PathBuf,
    },
    /// The loss or the gradients are not finite any more.
    #[error(
        "step {step}: {what} is {value}, so the weights were not updated; the batch had the sequences {seq_ids}; {saved}; resuming would fail the same way: {remedy}"
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
        /// Which checkpoint there is: one of the step before where that could be saved.
        saved: String,
        /// From where to begin anew.
        remedy: String,
    },
    /// The loss on the held-out corpus is not a number.
    #[error(
        "the validation NLL after step {step} is {value}: the weights have diverged; {saved}; {remedy}"
    )]
    NonFiniteValidation {
        /// Steps done.
        step: u64,
        /// NaN or an infinity.
        value: f64,
        /// Which checkpoint there is.
        saved: String,
        /// From where to begin anew.
        remedy: String,
    },
    /// The process was asked to stop.
    #[error("interrupted after step {step} of {n_steps}: {saved}; {resume} resumes from there")]
    Interrupted {
        /// Steps done.
        step: u64,
        /// Steps of the run.
        n_steps: u64,
        /// Which checkpoint there is.
        saved: String,
        /// The command that resumes.
        resume: &'static str,
    },
    /// The data ended in an error; what was trained so far is saved.
    #[error(
        "cannot read the data of step {step}; {saved}; when that is fixed, {resume} resumes from there"
    )]
    Data {
        /// The step that could not be read, from 1 on.
        step: u64,
        /// Which checkpoint there is.
        saved: String,
        /// The command that resumes.
        resume: &'static str,
        /// What is wrong.
        #[source]
        source: Box<DataError>,
    },
    /// The logs could not be written; what was trained so far is saved. A resumed run logs a
    /// validation or a change of stage then; of a step only the line is lost.
    #[error("cannot log step {step}; {saved}; when that is fixed, {resume} resumes from there")]
    Log {
        /// Steps done.
        step: u64,
        /// Which checkpoint there is.
        saved: String,
        /// The command that resumes.
        resume: &'static str,
        /// Why.
        #[source]
        source: MetricsError,
    },
    /// A checkpoint could not be saved.
    #[error(
        "cannot save the checkpoint of step {step}; {kept}; when that is fixed, {resume} resumes from there"
    )]
    Save {
        /// Steps done.
        step: u64,
        /// Which checkpoint is still good.
        kept: String,
        /// The command that resumes.
        resume: &'static str,
        /// Why.
        #[source]
        source: Box<CheckpointError>,
    },
    /// A checkpoint was saved, but those that it makes superfluous could not be removed.
    #[error(
        "the checkpoint of step {step} is good, but an older one could not be removed; when that is fixed, {resume} resumes from step {step}"
    )]
    Retain {
        /// Steps done.
        step: u64,
        /// The command that resumes.
        resume: &'static str,
        /// Why.
        #[source]
        source: StorageError,
    },
    /// The model is trained, but could not be written in its final form.
    #[error(
        "all {n_steps} steps are done and {saved}, but the model could not be written; when that is fixed, {resume} writes it without training again"
    )]
    Final {
        /// Steps of the run.
        n_steps: u64,
        /// Which checkpoint there is.
        saved: String,
        /// The command that resumes.
        resume: &'static str,
        /// Why.
        #[source]
        source: Box<ExportError>,
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

/// What else may be done where labels changed.
fn of_labels(key: &str) -> &'static str {
    match key {
        "data.labels" => " (labels that were only extended need not be restored)",
        _ => "",
    }
}

impl Classified for RunError {
    fn kind(&self) -> Kind {
        match self {
            RunError::NotResumed { .. }
            | RunError::Finished { .. }
            | RunError::NotARun { .. }
            // Not to be retried: the two would take the run from each other for ever.
            | RunError::TakenOver { .. }
            | RunError::AlreadyStarted { .. }
            | RunError::OtherSources { .. }
            | RunError::Memory { .. }
            | RunError::Setting { .. } => Kind::Usage,
            RunError::NonFinite { .. }
            | RunError::NonFiniteValidation { .. }
            | RunError::Record { .. }
            | RunError::MissingShard { .. } => Kind::BadData,
            // It was there at the start. Another failure to read one, such as of the device, may go
            // through on another try.
            RunError::Data { source, .. } if source.missing_file().is_some() => Kind::BadData,
            RunError::Data { source, .. } => source.kind(),
            RunError::Log { source, .. } => source.kind(),
            RunError::Retain { source, .. } => source.kind(),
            RunError::NotMirrored { source, .. } => source.kind(),
            RunError::Save { source, .. } => source.kind(),
            RunError::Final { source, .. } => source.kind(),
            RunError::Interrupted { .. } => Kind::Interrupted,
            RunError::Locked { .. } | RunError::Advanced { .. } | RunError::Threads { .. } => {
                Kind::Failed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::path::Path;

    fn kind_of_data(source: DataError) -> Kind {
        let error = RunError::Data {
            step: 3,
            saved: String::new(),
            resume: "--resume",
            source: Box::new(source),
        };
        error.kind()
    }

    fn unreadable(source: io::Error) -> StorageError {
        StorageError::io("read", Path::new("positions/part-0.parquet"), source)
    }

    #[test]
    fn a_missing_shard_is_bad_data_and_an_unreadable_one_may_be_retried() {
        let gone = || unreadable(io::ErrorKind::NotFound.into());
        assert_eq!(kind_of_data(gone().into()), Kind::BadData);
        let of_shards = DataError::Shards(gone().into());
        assert_eq!(kind_of_data(of_shards), Kind::BadData);
        for code in [libc::EIO, libc::EMFILE] {
            let passing = || unreadable(io::Error::from_raw_os_error(code));
            assert_eq!(kind_of_data(passing().into()), Kind::Failed);
            assert_eq!(
                kind_of_data(DataError::Shards(passing().into())),
                Kind::Failed
            );
        }
        let thread = DataError::Thread {
            kind: "labelled",
            what: "could not be started".to_owned(),
        };
        assert_eq!(kind_of_data(thread), Kind::Failed);
    }
}
