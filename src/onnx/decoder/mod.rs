//! Decoders as ONNX graphs: a plain description and named weights.
//!
//! A [`DecoderSpec`] says what a decoder computes, [`weights_of`] which weights that takes, by name and
//! shape; they are handed over by [`Weights`], a few rows at a time.

mod spec;
mod weights;

pub use spec::{
    Activation, Attention, AttentionBiases, DecoderLayer, DecoderSpec, FeedForward, Frequencies,
    FrequencySet, Head, Norm, NormExtent, NormKind, NormPlacement, QueryKeyNorm, Residual,
    RotaryPairing, RotaryTable,
};
pub use weights::{Weight, Weights, weights_of};
