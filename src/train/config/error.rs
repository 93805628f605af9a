//! What can be wrong with a configuration.

use crate::config::ConfigFileError;
use crate::error::{Classified, Kind};
use std::fmt::Display;
use std::path::PathBuf;

/// A configuration that cannot be read, or that makes no run.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, or what is set over it.
    #[error(transparent)]
    File(#[from] ConfigFileError),
    /// A key that this run needs.
    #[error("{key} is missing: expected {expected}; {remedy}")]
    Missing {
        /// The key.
        key: &'static str,
        /// What it would say.
        expected: String,
        /// What to do.
        remedy: String,
    },
    /// A value out of range, or one that does not go with another.
    #[error("{key} is {got}: expected {expected}; {remedy}")]
    Value {
        /// The key.
        key: String,
        /// What would do.
        expected: String,
        /// What was found.
        got: String,
        /// What to do.
        remedy: String,
    },
    /// A run in progress was begun with another value.
    #[error(
        "{key} is {ours}, but the run {} was begun with {theirs}: set it back to resume, or give another `output` for a new run",
        run.display()
    )]
    OtherRun {
        /// The key.
        key: String,
        /// As given now.
        ours: String,
        /// As recorded.
        theirs: String,
        /// The run's directory.
        run: PathBuf,
    },
    /// A branch that would learn otherwise than the run that it is of.
    #[error(
        "{key} is {ours}, but {theirs} in the run that branch_from continues ({}): set it so here too, or train from the beginning without branch_from",
        checkpoint.display()
    )]
    OtherTrunk {
        /// The key.
        key: String,
        /// As given now.
        ours: String,
        /// As recorded.
        theirs: String,
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// A branch whose learning rate is another than that of its run before the branch point.
    #[error(
        "the learning rate of step {step} is {ours} by this schedule, but was {theirs} in the run that branch_from continues ({}): give a decay that begins after the checkpoint (schedule.shape = \"wsd\" with schedule.decay_steps of at most {most}, from a run whose rate has not begun to fall), or branch from an earlier checkpoint",
        checkpoint.display()
    )]
    OtherRate {
        /// The first step at which they differ, from 1 on.
        step: u64,
        /// By this configuration.
        ours: f64,
        /// By the recorded one.
        theirs: f64,
        /// The checkpoint.
        checkpoint: PathBuf,
        /// Steps that the fall may have.
        most: u64,
    },
}

impl Classified for ConfigError {
    fn kind(&self) -> Kind {
        match self {
            Self::File(error) => error.kind(),
            _ => Kind::Usage,
        }
    }
}

/// Refuses the value of `key` unless `holds`.
pub(crate) fn require(
    holds: bool,
    key: &str,
    expected: impl Display,
    got: impl Display,
    remedy: &str,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Value {
        key: key.to_owned(),
        expected: expected.to_string(),
        got: got.to_string(),
        remedy: remedy.to_owned(),
    })
}
