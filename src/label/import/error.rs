//! What can be wrong with what an engine gave.

use crate::error::{Classified, Kind};
use std::path::PathBuf;

/// Errors of specifications and rows of an engine.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No such specification.
    #[error("{} is no specification of an import: {reason}", path.display())]
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A Parquet file that is not the rows of a shard.
    #[error("{} has not the rows of the shard: {reason}", path.display())]
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
