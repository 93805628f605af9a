//! The exit codes of this binary's errors.

use crate::common::exit::{self, outermost_kind};
use saltworks::config::ConfigFileError;
use saltworks::corpus::CorpusError;
use saltworks::error::Kind;
use saltworks::experiment::ExperimentError;
use saltworks::experiment::report::ReportError;
use saltworks::onnx::OnnxError;
use saltworks::shards::ShardsError;
use saltworks::storage::StorageError;
use saltworks::tokens::TokensError;
use saltworks::train::TrainError;
use saltworks::train::checkpoint::CheckpointError;
use saltworks::train::config::ConfigError;
use saltworks::train::data::DataError;
use saltworks::train::eval::EvalError;
use saltworks::train::export::ExportError;
use saltworks::train::metrics::MetricsError;
use saltworks::train::plot::PlotError;
use saltworks::train::run::RunError;
use std::process::ExitCode;

/// Prints what went wrong, with its causes, and picks the exit code.
pub(crate) fn report(result: anyhow::Result<()>) -> ExitCode {
    exit::report(result, kind_of)
}

/// The kind of the outermost of the library's errors in the chain.
fn kind_of(error: &anyhow::Error) -> Option<Kind> {
    outermost_kind!(
        error,
        [
            ExperimentError,
            TrainError,
            RunError,
            ConfigError,
            ConfigFileError,
            DataError,
            EvalError,
            ExportError,
            CheckpointError,
            MetricsError,
            PlotError,
            ReportError,
            CorpusError,
            TokensError,
            OnnxError,
            ShardsError,
            StorageError
        ]
    )
}
