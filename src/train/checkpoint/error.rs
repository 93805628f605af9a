//! What can go wrong with a checkpoint.

use crate::error::{Classified, Kind};
use crate::storage::StorageError;
use crate::train::export::ExportError;
use std::path::PathBuf;

/// An error of saving or reading checkpoints.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A checkpoint that differs from what was saved.
    #[error("the checkpoint {} is damaged: {fault}; {remedy}", dir.display())]
    Damaged {
        /// The checkpoint.
        dir: PathBuf,
        /// What is wrong with it.
        fault: Fault,
        /// Which one to take instead.
        remedy: String,
    },
    /// The requested checkpoint is missing.
    #[error("there is no checkpoint step-{step} in {}: {existing}", dir.display())]
    NotFound {
        /// Where it was looked for.
        dir: PathBuf,
        /// Requested step.
        step: u64,
        /// The existing ones, as text.
        existing: String,
    },
    /// A checkpoint whose contents do not match its own files or the configuration.
    #[error("the checkpoint {} does not match: {what} is {got}, expected {expected}; {remedy}", dir.display())]
    DoesNotFit {
        /// The checkpoint.
        dir: PathBuf,
        /// Tensor or field.
        what: String,
        /// Value in the configuration.
        expected: String,
        /// As found.
        got: String,
        /// What to do.
        remedy: &'static str,
    },
    /// From `storage`.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Weights, moments or dimensions that cannot be read or written.
    #[error(transparent)]
    Export(Box<ExportError>),
}

impl From<ExportError> for CheckpointError {
    fn from(error: ExportError) -> Self {
        Self::Export(Box::new(error))
    }
}

/// Why a checkpoint is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Its `checkpoint.json`, which is written last, is missing.
    #[error("it is incomplete: checkpoint.json, which is written last, is missing")]
    Half,
    /// Its `checkpoint.json` cannot be understood.
    #[error("checkpoint.json cannot be parsed ({0})")]
    Unreadable(String),
    /// Written by a later version.
    #[error(
        "checkpoint.json has format version {got}, but this program reads {expected}: use the version that wrote it"
    )]
    Version {
        /// The version of this program.
        expected: u32,
        /// The version found.
        got: u32,
    },
    /// It claims to be of another step.
    #[error("checkpoint.json says step {got}, but the directory's name says step {expected}")]
    OtherStep {
        /// By name.
        expected: u64,
        /// By content.
        got: u64,
    },
    /// A file is missing.
    #[error("{file} is missing")]
    Missing {
        /// Name inside the checkpoint.
        file: String,
    },
    /// A file is shorter or longer than it was.
    #[error("{file} has {got} bytes, expected {expected}")]
    Size {
        /// Name inside the checkpoint.
        file: String,
        /// As saved.
        expected: u64,
        /// As found.
        got: u64,
    },
    /// A file has other bytes than were saved.
    #[error("{file} has the BLAKE3 {got}, expected {expected}")]
    Hash {
        /// Name inside the checkpoint.
        file: String,
        /// As saved.
        expected: String,
        /// As found.
        got: String,
    },
    /// A file cannot be read.
    #[error("{file} cannot be read ({reason})")]
    Io {
        /// Name inside the checkpoint.
        file: String,
        /// The system's error.
        reason: String,
    },
}

impl Classified for Fault {
    fn kind(&self) -> Kind {
        Kind::BadData
    }
}

impl Classified for CheckpointError {
    fn kind(&self) -> Kind {
        match self {
            CheckpointError::Damaged { .. } => Kind::BadData,
            CheckpointError::NotFound { .. } | CheckpointError::DoesNotFit { .. } => Kind::Usage,
            CheckpointError::Storage(error) => error.kind(),
            CheckpointError::Export(error) => error.kind(),
        }
    }
}

impl CheckpointError {
    /// The same error without its remedy, for callers that say themselves what to do about a full disk.
    #[must_use]
    pub fn without_remedy(self) -> Self {
        match self {
            Self::Storage(error) => Self::Storage(error.without_remedy()),
            Self::Export(error) => error.without_remedy().into(),
            other => other,
        }
    }
}
