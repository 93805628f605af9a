//! What can go wrong in training.

use super::checkpoint::CheckpointError;
use super::data::DataError;
use super::eval::EvalError;
use super::export::ExportError;
use super::run::RunError;
use crate::error::{Classified, Kind};
use crate::storage::StorageError;
use crate::train::config::ConfigError;
use crate::train::metrics::MetricsError;
use crate::train::plot::PlotError;

/// An error of the trainer. The larger ones are boxed: results are passed by value.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A model that the core does not have.
    #[error("{what}: expected {expected}, got {got}; {remedy}")]
    Spec {
        /// Which dimension or option, such as `model.n_heads`.
        what: String,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
        /// What to do.
        remedy: String,
    },
    /// A file that cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A run that cannot begin, or was stopped.
    #[error(transparent)]
    Run(Box<RunError>),
    /// A checkpoint that cannot be saved or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A model that cannot be read or written.
    #[error(transparent)]
    Export(Box<ExportError>),
    /// A model that cannot be evaluated, or cannot write.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Labels or tokens that cannot be read, or not for this run.
    #[error(transparent)]
    Data(Box<DataError>),
    /// A configuration that cannot be read, or that makes no run.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Metrics that cannot be read or written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Runs that cannot be drawn.
    #[error(transparent)]
    Plot(#[from] PlotError),
}

impl From<RunError> for TrainError {
    fn from(error: RunError) -> Self {
        Self::Run(Box::new(error))
    }
}

impl From<ExportError> for TrainError {
    fn from(error: ExportError) -> Self {
        Self::Export(Box::new(error))
    }
}

impl From<DataError> for TrainError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl TrainError {
    /// The same for whoever says what to do about a full disk himself.
    #[must_use]
    pub fn without_remedy(self) -> Self {
        match self {
            Self::Storage(error) => Self::Storage(error.without_remedy()),
            Self::Checkpoint(CheckpointError::Storage(error)) => {
                CheckpointError::Storage(error.without_remedy()).into()
            }
            Self::Metrics(error) => Self::Metrics(error.without_remedy()),
            Self::Export(error) => match *error {
                ExportError::Storage(error) => ExportError::Storage(error.without_remedy()).into(),
                other => other.into(),
            },
            other => other,
        }
    }
}

impl Classified for TrainError {
    fn kind(&self) -> Kind {
        match self {
            TrainError::Spec { .. } => Kind::Usage,
            TrainError::Storage(error) => error.kind(),
            TrainError::Run(error) => error.kind(),
            TrainError::Checkpoint(error) => error.kind(),
            TrainError::Export(error) => error.kind(),
            TrainError::Eval(error) => error.kind(),
            TrainError::Data(error) => error.kind(),
            TrainError::Config(error) => error.kind(),
            TrainError::Metrics(error) => error.kind(),
            TrainError::Plot(error) => error.kind(),
        }
    }
}
