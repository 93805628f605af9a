//! Decoders as ONNX graphs: a plain description and named weights in, a graph out.
//!
//! A [`DecoderSpec`] says what a decoder computes, [`weights_of`] which weights that takes, by name and
//! shape; they are handed over by [`Weights`], a few rows at a time, so a checkpoint is streamed from its
//! files to the graph's. [`decoder_model`] makes the graph in one of two dialects:
//!
//! - `standard`: ONNX's own operators of opset 17. Weights of products are stored `[in, out]`; a tied head
//!   multiplies by the embedding as it lies. Positions are masked by one `[T, T]` for each window.
//! - `fused`: `GroupQueryAttention` with an empty past made in the graph, `SimplifiedLayerNormalization` and
//!   `SkipSimplifiedLayerNormalization`, and for 8 bits `MatMulNBits`. What these cannot say stays plain: heads
//!   whose width is no multiple of 8, norms with a mean, norms of queries and keys, rotation of a number of values
//!   that is no multiple of 16. Windows are a mask: versions of ONNX Runtime disagree on `local_window_size`.
//!
//! Both compute in f32 what the description says, and differ by rounding alone. Rotary angles are tables over
//! [`DecoderSpec::max_positions`] made in f64, so that a longer sequence ends in an error of the runtime.
//! Frequencies that depend on the length follow the length of the call.

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
#[cfg(test)]
mod tests;
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
