//! Writes decoders as ONNX graphs, from a plain description and named weights.
//!
//! A [`DecoderSpec`] says what a decoder computes, and [`weights_of`] which weights it needs, by name and
//! shape; [`Weights`] provides them a few rows at a time, so a checkpoint is streamed from its files to the
//! graph's. [`decoder_model`] makes the graph in one of two dialects:
//!
//! - `standard`: ONNX's own operators of opset 17. Weights of products are stored `[in, out]`; a tied head
//!   multiplies by the embedding as stored. There is one `[T, T]` mask for each window.
//! - `fused`: `GroupQueryAttention` with an empty past made in the graph, `SimplifiedLayerNormalization` and
//!   `SkipSimplifiedLayerNormalization`, and for 8 bits `MatMulNBits`. Anything these do not support uses standard
//!   operators: a head width that is not a multiple of 8, norms with a mean, norms of queries and keys, rotation
//!   of a number of values that is not a multiple of 16. Windows are a mask, since versions of ONNX Runtime
//!   disagree on `local_window_size`.
//!
//! Both compute the description in f32, and differ only by rounding. Rotary angles are tables over
//! [`DecoderSpec::max_positions`], computed in f64, so that a longer sequence is an error in the runtime.
//! Frequencies that depend on the sequence length use the length of the call.

mod attention;
mod check;
mod emit;
mod encode;
mod error;
mod layer;
mod model;
mod norm;
mod options;
mod rotary;
mod spec;
mod tables;
mod weights;

pub use check::check_spec;
pub use error::{DecoderError, WriteError};
pub use model::{DecoderModel, decoder_model};
pub use options::{Dialect, GRAPH_VERSION, GraphOptions, WeightFormat};
pub use spec::{
    Activation, Attention, AttentionBiases, DecoderLayer, DecoderSpec, FeedForward, Frequencies,
    FrequencySet, Head, Norm, NormExtent, NormKind, NormPlacement, QueryKeyNorm, Residual,
    RotaryPairing, RotaryTable,
};
pub use weights::{Weight, Weights, weights_of};
