//! Why a checkpoint has no graph.

use crate::decoder_file::{DecoderFileError, MAX_INLINE_BYTES};
use crate::error::{Classified, Kind};
use crate::onnx::decoder::DecoderError;
use crate::pretrained::PretrainedError;
use crate::storage::StorageError;
use std::path::{Path, PathBuf};

/// What can go wrong while a checkpoint's graph is made or cached.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointGraphError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    /// No graph can be built from its description.
    #[error("the checkpoint {} cannot be converted to a graph", dir.display())]
    Decoder {
        /// The checkpoint.
        dir: PathBuf,
        /// Why not.
        #[source]
        source: DecoderError,
    },
    /// A weight that the format cannot hold.
    #[error("{}: a value of {name} is {value}, which float16 cannot hold; expected at most 65504: use weights of bf16 or f32", dir.display())]
    OutOfRange {
        /// The checkpoint.
        dir: PathBuf,
        /// The weight.
        name: String,
        /// The value.
        value: f32,
    },
    /// More weights than one file may hold.
    #[error("{} would have {n_bytes} bytes of weights, expected at most {MAX_INLINE_BYTES} in one file; put them into a separate file with --external-data", path.display())]
    TooLarge {
        /// The output.
        path: PathBuf,
        /// Bytes of the weights.
        n_bytes: u64,
    },
    /// The disk has less room than the graph takes.
    #[error("not enough space for the teacher's graph in {}: it takes {n_bytes} bytes, but {n_free} are free; free some space, choose another directory with --teacher-cache, or use smaller weights", dir.display())]
    NoRoom {
        /// Where it would go.
        dir: PathBuf,
        /// Bytes that it takes.
        n_bytes: u64,
        /// Bytes that are free.
        n_free: u64,
    },
    /// The process was asked to stop.
    #[error("interrupted before {} was written: run the same command again", path.display())]
    Interrupted {
        /// The output.
        path: PathBuf,
    },
}

impl CheckpointGraphError {
    /// From an error while writing the graph of the checkpoint in `dir`.
    pub(super) fn of_file(dir: &Path, error: DecoderFileError<PretrainedError>) -> Self {
        match error {
            DecoderFileError::Storage(error) => error.into(),
            DecoderFileError::Weights(error) => error.into(),
            DecoderFileError::Interrupted { path } => Self::Interrupted { path },
            DecoderFileError::TooLarge { path, n_bytes } => Self::TooLarge { path, n_bytes },
            DecoderFileError::OutOfRange { name, value } => Self::OutOfRange {
                dir: dir.to_owned(),
                name,
                value,
            },
        }
    }
}

impl Classified for CheckpointGraphError {
    fn kind(&self) -> Kind {
        match self {
            Self::Storage(error) => error.kind(),
            Self::Pretrained(error) => error.kind(),
            Self::Decoder { source, .. } => source.kind(),
            Self::OutOfRange { .. } | Self::TooLarge { .. } => Kind::Usage,
            Self::NoRoom { .. } => Kind::Failed,
            Self::Interrupted { .. } => Kind::Interrupted,
        }
    }
}
