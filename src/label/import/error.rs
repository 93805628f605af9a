//! Errors in an engine's output.

use crate::error::{Classified, Kind};
use std::path::PathBuf;

/// Errors in an engine's specification or rows.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// An invalid specification.
    #[error("{} is not a valid import specification: {reason}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A Parquet file that does not have the rows of a shard.
    #[error("{} does not have the rows of the shard: {reason}", path.display())]
    Rows {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
}

impl Classified for ImportError {
    fn kind(&self) -> Kind {
        match self {
            Self::Spec { .. } => Kind::Usage,
            Self::Rows { .. } => Kind::BadData,
        }
    }
}
