use crate::error::Kind;
use std::path::PathBuf;

/// What can go wrong while a label set is looked at.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A shard file could not be opened.
    #[error("cannot open {path}; check that the label set is complete")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A shard file has no readable Parquet footer.
    #[error(
        "{path} has no readable Parquet footer; `saltworks verify` tells which shards are damaged"
    )]
    Footer {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: parquet::errors::ParquetError,
    },
}

impl ViewError {
    /// Decides the exit code.
    pub fn kind(&self) -> Kind {
        match self {
            ViewError::Open { .. } => Kind::Failed,
            ViewError::Footer { .. } => Kind::BadData,
        }
    }
}
