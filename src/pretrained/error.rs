//! What can be wrong with a model's directory, with remedies.

use crate::error::{Classified, Kind};
use crate::storage::StorageError;
use std::path::{Path, PathBuf};

/// A checkpoint that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PretrainedError {
    /// A file cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file that the model needs is missing.
    #[error("{} does not exist: expected {expected}; {remedy}", path.display())]
    MissingFile {
        /// The file or directory.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Something under the name of a model's file that is not such a file.
    #[error("{} is {got}: expected a file of the model; {remedy}", path.display())]
    NotThatFile {
        /// The file.
        path: PathBuf,
        /// What it is.
        got: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A directory that is not one checkpoint.
    #[error("{}: expected {expected}, found {found}; {remedy}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is there.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Weights that the index names are missing.
    #[error("{} is missing, although {} lists it: download it again", path.display(), index.display())]
    MissingShard {
        /// The file.
        path: PathBuf,
        /// The index.
        index: PathBuf,
    },
    /// A file that is not in the safetensors format.
    #[error("{} is not a complete safetensors file ({reason}); copy or download it again", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        reason: String,
    },
    /// A file that is not the JSON it should be.
    #[error("{} is not a JSON object ({reason}); copy or download it again", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        reason: String,
    },
    /// A configuration that is wrong or not supported.
    #[error("{}: {key}: expected {expected}, got {got}; {remedy}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The key, dotted.
        key: String,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A tensor that is missing, foreign, or does not match the configuration.
    #[error("{}: tensor {name}: expected {expected}, got {got}; {remedy}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl PretrainedError {
    pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        StorageError::io(action, path, source).into()
    }
}

impl Classified for PretrainedError {
    fn kind(&self) -> Kind {
        match self {
            PretrainedError::Storage(error) => error.kind(),
            PretrainedError::NotSafetensors { .. }
            | PretrainedError::NotJson { .. }
            | PretrainedError::NotThatFile { .. }
            | PretrainedError::MissingShard { .. }
            | PretrainedError::Tensor { .. } => Kind::BadData,
            PretrainedError::MissingFile { .. }
            | PretrainedError::Directory { .. }
            | PretrainedError::Config { .. } => Kind::Usage,
        }
    }
}
