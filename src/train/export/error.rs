//! What can be wrong with a model's directory, with remedies.

use crate::error::{Classified, Kind};
use crate::interrupt::Interrupt;
use crate::onnx::OnnxError;
use crate::pretrained::PretrainedError;
use crate::storage::StorageError;
use crate::tokens::TokensError;
use std::path::{Path, PathBuf};

/// A model that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A missing file, or a fault of a configuration or a tensor.
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file is not the one that was written with the model.
    #[error("{} has changed since it was written: expected {expected}, got {got}; restore it, or remove {} if the change was on purpose", path.display(), seal.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// Size and hash as written.
        expected: String,
        /// As found.
        got: String,
        /// The seal.
        seal: PathBuf,
    },
    /// The seal, which lists the other files, cannot be parsed.
    #[error("{} is damaged ({fault}): restore it, or remove it to use the model's files unchecked", path.display())]
    Unsealed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// The process was asked to stop.
    #[error("interrupted before {} was written: run the same command again", path.display())]
    Interrupted {
        /// The output.
        path: PathBuf,
    },
    /// The output already contains a model.
    #[error("{} already exists: choose another output, or replace it with --overwrite", path.display())]
    AlreadyThere {
        /// The file.
        path: PathBuf,
    },
    /// The output directory is a file.
    #[error("{} is a file: expected a directory for the model; choose another output", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
    },
    /// The model's tokenizer cannot be read, or does not match the model.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The ONNX file cannot be written.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
}

impl ExportError {
    /// The same error without its remedy, for callers that say themselves what to do about a full disk.
    #[must_use]
    pub fn without_remedy(self) -> Self {
        match self {
            Self::Storage(error) => Self::Storage(error.without_remedy()),
            other => other,
        }
    }

    /// From a failed write to `path`, which may also mean a requested stop.
    pub(super) fn written(path: &Path, source: std::io::Error, interrupt: &Interrupt) -> Self {
        match interrupt.is_requested() {
            true => ExportError::Interrupted {
                path: path.to_owned(),
            },
            false => ExportError::io("write", path, source),
        }
    }

    pub(super) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        StorageError::io(action, path, source).into()
    }
}

impl Classified for ExportError {
    fn kind(&self) -> Kind {
        match self {
            ExportError::Storage(error) => error.kind(),
            ExportError::Tokens(error) => error.kind(),
            ExportError::Onnx(error) => error.kind(),
            ExportError::Pretrained(error) => error.kind(),
            ExportError::Changed { .. } | ExportError::Unsealed { .. } => Kind::BadData,
            ExportError::Interrupted { .. } => Kind::Interrupted,
            ExportError::NotADirectory { .. } | ExportError::AlreadyThere { .. } => Kind::Usage,
        }
    }
}
