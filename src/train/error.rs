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
use crate::train::model::SpecError;
use crate::train::plot::PlotError;

/// An error of the trainer. The larger ones are boxed: results are passed by value.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A model that the core does not support.
    #[error(transparent)]
    Spec(#[from] SpecError),
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
    /// A model that cannot be evaluated, or cannot generate text.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// Labels or tokens that cannot be read, or cannot be used for this run.
    #[error(transparent)]
    Data(Box<DataError>),
    /// A configuration that cannot be read, or is not valid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Metrics that cannot be read or written.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// Runs that cannot be plotted.
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

impl Classified for TrainError {
    fn kind(&self) -> Kind {
        match self {
            TrainError::Spec(error) => error.kind(),
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
