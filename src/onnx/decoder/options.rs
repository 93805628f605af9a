//! How a decoder becomes a graph.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the graphs that this code writes. It is raised whenever the same description, options and
/// checkpoint would give other bytes, so that graphs stored by earlier versions are made again.
pub const GRAPH_VERSION: u32 = 1;

/// Which operators a graph uses.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Standard ONNX operators of opset 17, for any runtime.
    Standard,
    /// ONNX Runtime's own operators where they are equivalent (`GroupQueryAttention`,
    /// `SkipSimplifiedLayerNormalization`, `MatMulNBits`): faster there, with attention that does not store scores
    /// of `[H, T, T]`.
    Fused,
}

/// Type in which the matrices of a graph are stored; vectors, and tables that depend only on the description,
/// are f32. Products are computed in f32.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    /// float32.
    F32,
    /// float16, widened to f32 when the model is loaded.
    F16,
    /// bfloat16, widened to f32 when the model is loaded.
    Bf16,
    /// 8 bits in blocks of 32 along the input, with one f32 scale each (`MatMulNBits`); inputs are rounded to
    /// 8 bits at run time; the embedding is f32. [`Dialect::Fused`] only.
    Int8,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Fused];

    /// The value with this name.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.word() == word)
    }
    /// `standard` or `fused`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Fused => "fused",
        }
    }
}

impl WeightFormat {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F32, Self::F16, Self::Bf16, Self::Int8];

    /// The value with this name.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.word() == word)
    }
    /// `f32`, `f16`, `bf16` or `int8`.
    pub fn word(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::Int8 => "int8",
        }
    }
}

/// How a decoder becomes a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GraphOptions {
    /// Which operators it is made of.
    pub dialect: Dialect,
    /// What its matrices are stored in.
    pub weights: WeightFormat,
}
