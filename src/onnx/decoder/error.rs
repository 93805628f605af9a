//! What can be wrong with a decoder.

use crate::error::{Classified, Kind};

/// Why no graph can be made from a description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecoderError {
    /// An impossible value.
    #[error("{what}: expected {expected}, got {got}")]
    Spec {
        /// Its name, such as `layers.2.attention.n_kv_heads`.
        what: String,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// 8 bits in a graph of standard operators.
    #[error(
        "int8 weights need ONNX Runtime's own operators: choose the dialect fused, or weights of f32, f16 or bf16"
    )]
    Int8IsFused,
}

impl Classified for DecoderError {
    fn kind(&self) -> Kind {
        match self {
            Self::Spec { .. } => Kind::BadData,
            Self::Int8IsFused => Kind::Usage,
        }
    }
}

/// Why a graph could not be written.
#[derive(Debug)]
pub enum WriteError<E> {
    /// The bytes cannot be written.
    Io(std::io::Error),
    /// The weights cannot be read.
    Weights(E),
    /// A weight that float16 cannot hold.
    TooLarge {
        /// Its name.
        name: String,
        /// The value.
        value: f32,
    },
}

impl<E> From<std::io::Error> for WriteError<E> {
    fn from(source: std::io::Error) -> Self {
        Self::Io(source)
    }
}
