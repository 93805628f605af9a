//! The exit codes of this binary's errors.

use crate::common::exit::{self, outermost_kind};
use saltworks::bounds::BoundsError;
use saltworks::config::ConfigFileError;
use saltworks::corpus::CorpusError;
use saltworks::demo::DemoError;
use saltworks::error::Kind;
use saltworks::label::LabelError;
use saltworks::onnx::OnnxError;
use saltworks::select::SelectError;
use saltworks::shards::ShardsError;
use saltworks::storage::{PlaceError, StorageError};
use saltworks::teacher::TeacherError;
use saltworks::tokens::TokensError;
use saltworks::view::ViewError;
use std::process::ExitCode;

/// Prints what went wrong, with its causes, and picks the exit code.
pub(crate) fn report(result: anyhow::Result<()>) -> ExitCode {
    exit::report(result, kind_of)
}

/// The kind of the outermost of the library's errors in the chain.
fn kind_of(error: &anyhow::Error) -> Option<Kind> {
    // What a training run is planned by, which no other of the errors causes.
    #[cfg(feature = "train")]
    if let Some(kind) = outermost_kind!(error, [saltworks::train::TrainError]) {
        return Some(kind);
    }
    outermost_kind!(
        error,
        [
            LabelError,
            ConfigFileError,
            CorpusError,
            TokensError,
            OnnxError,
            TeacherError,
            ShardsError,
            StorageError,
            PlaceError,
            DemoError,
            ViewError,
            BoundsError,
            SelectError
        ]
    )
}
