//! What can be wrong with a model's directory, and what to do about it.

use crate::error::Kind;
use crate::onnx::OnnxError;
use crate::storage::StorageError;
use crate::tokens::TokensError;
use std::path::{Path, PathBuf};

/// A model that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file that the model needs is not there.
    #[error("{} is not there: expected {expected}; {remedy}", path.display())]
    MissingFile {
        /// The file or directory.
        path: PathBuf,
        /// What should be there.
        expected: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A file that is not in the safetensors format.
    #[error("{} is not a whole safetensors file ({reason}); copy or download it again", path.display())]
    NotSafetensors {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A file that is not the JSON it should be.
    #[error("{} is not a JSON object ({reason}); copy or download it again", path.display())]
    NotJson {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        reason: String,
    },
    /// A model whose configuration asks for what the trainer does not have.
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
    /// A tensor that is missing, foreign, or of another kind than the configuration says.
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
    /// The output holds a model already.
    #[error("{} is there already: choose another output, or replace it with --overwrite", path.display())]
    AlreadyThere {
        /// The file.
        path: PathBuf,
    },
    /// The tokenizer that goes with the model cannot be read, or is not its own.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The ONNX file cannot be written.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

impl ExportError {
    /// The kind of failure, which decides the exit code.
    pub fn kind(&self) -> Kind {
        match self {
            ExportError::Storage(error) => error.kind(),
            ExportError::Tokens(error) => error.kind(),
            ExportError::Onnx(error) => error.kind(),
            ExportError::NotSafetensors { .. }
            | ExportError::NotJson { .. }
            | ExportError::Tensor { .. } => Kind::BadData,
            ExportError::MissingFile { .. }
            | ExportError::Config { .. }
            | ExportError::AlreadyThere { .. } => Kind::Usage,
        }
    }

    pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        StorageError::io(action, path, source).into()
    }
}
