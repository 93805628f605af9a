//! What can go wrong in training.

use super::data::DataError;
use super::eval::EvalError;
use super::export::ExportError;
use crate::error::Kind;
use crate::train::config::ConfigError;
use crate::train::metrics::MetricsError;
use crate::train::plot::PlotError;

/// An error of the trainer.
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
    /// Labels or tokens that cannot be read, or not for this run.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model that cannot be read or written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A model that cannot be evaluated, or cannot write.
    #[error(transparent)]
    Eval(#[from] EvalError),
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

impl TrainError {
    /// The kind of failure, which decides the exit code.
    pub fn kind(&self) -> Kind {
        match self {
            TrainError::Spec { .. } => Kind::Usage,
            TrainError::Data(error) => error.kind(),
            TrainError::Export(error) => error.kind(),
            TrainError::Eval(error) => error.kind(),
            TrainError::Config(error) => error.kind(),
            TrainError::Metrics(error) => error.kind(),
            TrainError::Plot(error) => error.kind(),
        }
    }
}
