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
    /// Another process has resumed this run, which is in a store.
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
    /// A run in a store that another process wrote to while it was opened.
    #[error(
        "the run at {} advanced while this process was opening it: stop the process that trains there, then run the same command again",
        url.display()
    )]
    Advanced {
        /// The run.
        url: PathBuf,
    },
    /// What is saved on this machine could not be uploaded to the store.
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
    /// A directory with checkpoints, without --resume.
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
    /// Inputs that changed since the run started.
    #[error("{key} has other contents than when the run in {} started ({got}, then {expected}): restore it, or start again with another --output{}", run.display(), of_labels(key))]
    OtherSources {
        /// The key that names them.
        key: &'static str,
        /// Their hashes at the start.
        expected: String,
        /// Their hashes now.
        got: String,
        /// Directory of the run.
        run: PathBuf,
    },
    /// A run's record of its inputs is damaged.
    #[error("{} is damaged ({fault}): remove it, and it is written again if the run has a checkpoint", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: JsonFault,
    },
    /// The run needs more memory than it may use.
    #[error(
        "this run needs {needed} of memory ({parts}), but may use {room} ({source_of_room}): {remedy}"
    )]
    Memory {
        /// The sum.
        needed: String,
        /// Its parts.
        parts: String,
        /// What it may use.
        room: String,
        /// Where that number comes from.
        source_of_room: String,
        /// Which keys reduce it.
        remedy: String,
    },
    /// A setting that conflicts with another, or lacks one.
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
    /// A shard that the labels list is missing.
    #[error("{} is missing, but the labels' manifest.json lists it: restore it, or remove its sidecar and label again with the same settings", path.display())]
    MissingShard {
        /// The file.
        path: PathBuf,
    },
    /// The loss or the gradients are no longer finite.
    #[error(
        "step {step}: {what} is {value}, so the weights were not updated; the batch had the sequences {seq_ids}; {saved}; resuming would fail the same way: {remedy}"
    )]
    NonFinite {
        /// The step, counted from 1.
        step: u64,
        /// `the loss` or `the gradient norm`.
        what: &'static str,
        /// NaN or an infinity.
        value: f64,
        /// The sequences of the batch, and where they come from.
        seq_ids: String,
        /// Which checkpoint exists: that of the step before, if it could be saved.
        saved: String,
        /// Where to start again from.
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
        /// Which checkpoint exists.
        saved: String,
        /// Where to start again from.
        remedy: String,
    },
    /// The process was asked to stop.
    #[error("interrupted after step {step} of {n_steps}: {saved}; {resume} resumes from there")]
    Interrupted {
        /// Steps done.
        step: u64,
        /// Steps of the run.
        n_steps: u64,
        /// Which checkpoint exists.
        saved: String,
        /// The command that resumes.
        resume: &'static str,
    },
    /// The data could not be read; what was trained so far is saved.
    #[error(
        "cannot read the data of step {step}; {saved}; when that is fixed, {resume} resumes from there"
    )]
    Data {
        /// The step whose data could not be read, counted from 1.
        step: u64,
        /// Which checkpoint exists.
        saved: String,
        /// The command that resumes.
        resume: &'static str,
        /// Why.
        #[source]
        source: Box<DataError>,
    },
    /// The logs could not be written; what was trained so far is saved. A resumed run logs the validation or the
    /// change of stage again; for a step only the line is lost.
    #[error("cannot log step {step}; {saved}; when that is fixed, {resume} resumes from there")]
    Log {
        /// Steps done.
        step: u64,
        /// Which checkpoint exists.
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
    /// A checkpoint was saved, but older ones that are no longer needed could not be removed.
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
        /// Which checkpoint exists.
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
        /// The number requested.
        n_threads: usize,
        /// Why.
        #[source]
        source: rayon::ThreadPoolBuildError,
    },
}

/// A further remedy if the labels changed.
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
            // Not to be retried: the two processes would take the run from each other forever.
            | RunError::TakenOver { .. }
            | RunError::AlreadyStarted { .. }
            | RunError::OtherSources { .. }
            | RunError::Memory { .. }
            | RunError::Setting { .. } => Kind::Usage,
            RunError::NonFinite { .. }
            | RunError::NonFiniteValidation { .. }
            | RunError::Record { .. }
            | RunError::MissingShard { .. } => Kind::BadData,
            // The file existed at the start. Other read errors, such as of the device, may be temporary.
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
