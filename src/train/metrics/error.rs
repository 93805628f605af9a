//! What can go wrong with metrics.

use crate::error::{Classified, Kind};
use crate::storage::StorageError;
use std::path::PathBuf;

/// Metrics that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// A line that is not a metrics line; only the last one may be incomplete.
    #[error(
        "{}, line {line}: expected a JSON object with kind train, valid or stage; remove the line, or restore the file",
        path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A new run whose directory already has metrics.
    #[error(
        "{} already exists: choose another output, or resume that run with --resume",
        path.display()
    )]
    AlreadyThere {
        /// The file.
        path: PathBuf,
    },
    /// From `storage`.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl MetricsError {
    /// The same error without its remedy, for callers that say themselves what to do about a full disk.
    #[must_use]
    pub fn without_remedy(self) -> Self {
        match self {
            Self::Storage(error) => Self::Storage(error.without_remedy()),
            other => other,
        }
    }
}

impl Classified for MetricsError {
    fn kind(&self) -> Kind {
        match self {
            Self::Line { .. } => Kind::BadData,
            Self::AlreadyThere { .. } => Kind::Usage,
            Self::Storage(error) => error.kind(),
        }
    }
}
