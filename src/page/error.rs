//! What can go wrong with a page.

use crate::error::{Classified, Kind};
use crate::storage::StorageError;
use std::path::PathBuf;

/// Why a page cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The output is a file of other origin.
    #[error(
        "{} was not written by saltworks: expected no file there, or an earlier report; choose another --output, \
         or replace it with --overwrite",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The filesystem's error.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classified for PageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Foreign { .. } => Kind::Usage,
            Self::Storage(error) => error.kind(),
        }
    }
}
