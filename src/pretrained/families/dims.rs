//! Dimensions that all families have, under the keys that most of them use.

use crate::onnx::decoder::Activation;
use crate::pretrained::PretrainedError;
use crate::pretrained::section::Section;

const CORRECT: &str = "correct the configuration";
/// More than any model has. A limit is needed because the description is allocated before the weights are read.
const MAX_LAYERS: usize = 4096;
/// Limits the rows of rotary tables.
const MAX_POSITIONS: usize = 1 << 24;
/// Limits the frequencies of rotary tables, one per pair.
const MAX_HEAD_DIM: usize = 1 << 16;

/// Dimensions of a decoder of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LlamaDims {
    /// V.
    pub vocab_size: usize,
    /// D.
    pub d_model: usize,
    /// Blocks.
    pub n_layers: usize,
    /// H, query heads.
    pub n_heads: usize,
    /// Heads of keys and values; divides H.
    pub n_kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// F, inner width of the feed-forward block.
    pub d_ff: usize,
    /// Longest sequence, before rope scaling.
    pub max_positions: usize,
}

/// A family's defaults for missing keys; `None` if there is no fixed default.
#[derive(Debug, Clone, Copy)]
pub(super) struct DimDefaults {
    pub(super) n_kv_heads: Option<usize>,
    pub(super) head_dim: Option<usize>,
    pub(super) max_positions: usize,
}

pub(super) fn dims(config: &Section, defaults: DimDefaults) -> Result<LlamaDims, PretrainedError> {
    let d_model = config.count("hidden_size", None)?;
    let n_heads = config.count("num_attention_heads", None)?;
    let n_kv_heads = match config.has("num_key_value_heads") {
        // Null means as many as query heads; a missing key means the family's default.
        true => config.count("num_key_value_heads", Some(n_heads))?,
        false => defaults.n_kv_heads.unwrap_or(n_heads),
    };
    let dims = LlamaDims {
        vocab_size: config.count("vocab_size", None)?,
        d_model,
        n_layers: n_layers(config, "num_hidden_layers")?,
        n_heads,
        n_kv_heads,
        head_dim: head_dim(config, d_model, n_heads, defaults.head_dim)?,
        d_ff: config.count("intermediate_size", None)?,
        max_positions: max_positions(config, defaults.max_positions)?,
    };
    if !n_heads.is_multiple_of(n_kv_heads) {
        let expected = format!("a divisor of the {n_heads} query heads");
        return Err(config.refusal("num_key_value_heads", &expected, CORRECT));
    }
    Ok(dims)
}

fn max_positions(config: &Section, default: usize) -> Result<usize, PretrainedError> {
    const KEY: &str = "max_position_embeddings";
    let max_positions = config.count(KEY, Some(default))?;
    match max_positions <= MAX_POSITIONS {
        true => Ok(max_positions),
        false => Err(config.refusal(KEY, &format!("at most {MAX_POSITIONS}"), CORRECT)),
    }
}

pub(super) fn n_layers(config: &Section, key: &str) -> Result<usize, PretrainedError> {
    let n_layers = config.count(key, None)?;
    match n_layers <= MAX_LAYERS {
        true => Ok(n_layers),
        false => Err(config.refusal(key, &format!("at most {MAX_LAYERS}"), CORRECT)),
    }
}

fn head_dim(
    config: &Section,
    d_model: usize,
    n_heads: usize,
    default: Option<usize>,
) -> Result<usize, PretrainedError> {
    if let (false, Some(default)) = (config.has("head_dim"), default) {
        return Ok(default);
    }
    if config.get("head_dim").is_none() && !d_model.is_multiple_of(n_heads) {
        let expected = format!("a multiple of the {n_heads} heads, or a head_dim");
        return Err(config.refusal("hidden_size", &expected, CORRECT));
    }
    let head_dim = config.count("head_dim", Some(d_model / n_heads))?;
    if head_dim > MAX_HEAD_DIM {
        return Err(config.refusal("head_dim", &format!("at most {MAX_HEAD_DIM}"), CORRECT));
    }
    if !head_dim.is_multiple_of(2) {
        let expected = format!("an even width, not {head_dim}");
        return Err(config.refusal("head_dim", &expected, "RoPE rotates the halves of a head"));
    }
    Ok(head_dim)
}

/// Names of transformers' `ACT2FN`.
const ACTIVATIONS: [(&str, Activation); 10] = [
    ("silu", Activation::Silu),
    ("swish", Activation::Silu),
    ("gelu", Activation::Gelu),
    ("gelu_python", Activation::Gelu),
    ("gelu_new", Activation::GeluTanh),
    ("gelu_fast", Activation::GeluTanh),
    ("gelu_pytorch_tanh", Activation::GeluTanh),
    ("gelu_python_tanh", Activation::GeluTanh),
    ("relu", Activation::Relu),
    ("relu2", Activation::ReluSquared),
];

pub(super) fn activation(
    config: &Section,
    key: &str,
    default: Activation,
) -> Result<Activation, PretrainedError> {
    let Some(name) = config.text(key)? else {
        return Ok(default);
    };
    let found = ACTIVATIONS.iter().find(|(known, _)| *known == name);
    found.map(|(_, activation)| *activation).ok_or_else(|| {
        let names: Vec<&str> = ACTIVATIONS.iter().map(|(name, _)| *name).collect();
        let expected = format!("one of {}", names.join(", "));
        config.refusal(key, &expected, "choose a model with one of these")
    })
}
