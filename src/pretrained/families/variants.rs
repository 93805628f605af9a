//! Families that are Llama with one or two changes.

use super::dims::DimDefaults;
use super::family::Family;
use super::layers::{read_local_layers, set_window, sliding_window};
use super::llama::{
    DEFAULTS, Defaults, LLAMA, STREAM, like_llama, read_attention_bias, read_biases,
};
use crate::onnx::decoder::{DecoderSpec, NormExtent, NormPlacement, QueryKeyNorm};
use crate::pretrained::PretrainedError;
use crate::pretrained::cut::{Cut, Entry};
use crate::pretrained::rope::{ROPE_DEFAULTS, RopeDefaults};
use crate::pretrained::section::Section;

pub(super) const MISTRAL: Family = Family {
    model_type: "mistral",
    name: "Mistral",
    architecture: "MistralForCausalLM",
    read: mistral,
    ..LLAMA
};

pub(super) const QWEN2: Family = Family {
    model_type: "qwen2",
    name: "Qwen2",
    architecture: "Qwen2ForCausalLM",
    read: qwen2,
    ..LLAMA
};

pub(super) const QWEN3: Family = Family {
    model_type: "qwen3",
    name: "Qwen3",
    architecture: "Qwen3ForCausalLM",
    read: qwen3,
    ..LLAMA
};

pub(super) const OLMO2: Family = Family {
    model_type: "olmo2",
    name: "OLMo 2",
    architecture: "Olmo2ForCausalLM",
    read: olmo2,
    tensors: &[STREAM, POST_NORMS],
    ..LLAMA
};

pub(super) const SMOLLM3: Family = Family {
    model_type: "smollm3",
    name: "SmolLM3",
    architecture: "SmolLM3ForCausalLM",
    read: smollm3,
    ..LLAMA
};

pub(super) const GRANITE: Family = Family {
    model_type: "granite",
    name: "Granite",
    architecture: "GraniteForCausalLM",
    read: granite,
    ..LLAMA
};

pub(super) const POST_NORMS: &[Entry] = &[
    (
        "attention.post_norm",
        "post_attention_layernorm",
        Cut::Whole,
    ),
    (
        "feed_forward.post_norm",
        "post_feedforward_layernorm",
        Cut::Whole,
    ),
];

const fn with_dims(
    n_kv_heads: Option<usize>,
    head_dim: Option<usize>,
    max_positions: usize,
) -> Defaults {
    Defaults {
        dims: DimDefaults {
            n_kv_heads,
            head_dim,
            max_positions,
        },
        ..DEFAULTS
    }
}

/// A window on every layer.
fn mistral(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let mut spec = like_llama(config, &with_dims(Some(8), None, 4096 * 32))?;
    let window = sliding_window(config, Some(4096))?;
    set_window(&mut spec, window);
    Ok(spec)
}

/// Biases of queries, keys and values.
fn qwen2(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let mut spec = like_llama(config, &with_dims(Some(32), None, 32768))?;
    for layer in &mut spec.layers {
        let biases = &mut layer.attention.biases;
        (biases.query, biases.key, biases.value) = (true, true, true);
    }
    read_upper_windows(config, &mut spec)?;
    Ok(spec)
}

/// Norms of queries and keys, per head.
fn qwen3(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let mut spec = like_llama(config, &with_dims(Some(32), Some(128), 32768))?;
    read_attention_bias(config, &mut spec)?;
    norm_queries_and_keys(&mut spec, NormExtent::Head);
    read_upper_windows(config, &mut spec)?;
    Ok(spec)
}

/// Norms after both halves of a layer, and over the queries and keys of all heads together.
fn olmo2(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let defaults = Defaults {
        norm_eps: 1e-5,
        ..DEFAULTS
    };
    let mut spec = like_llama(config, &defaults)?;
    read_attention_bias(config, &mut spec)?;
    norm_queries_and_keys(&mut spec, NormExtent::Projection);
    for layer in &mut spec.layers {
        layer.placement = NormPlacement::Post;
    }
    Ok(spec)
}

/// Layers without positions.
fn smollm3(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let defaults = Defaults {
        rope: RopeDefaults {
            theta: 2_000_000.0,
            ..ROPE_DEFAULTS
        },
        is_tied: true,
        ..with_dims(Some(4), None, 32768)
    };
    let mut spec = like_llama(config, &defaults)?;
    read_biases(config, &mut spec)?;
    let n_layers = spec.layers.len();
    let interval = config.count("no_rope_layer_interval", Some(4))?;
    let is_rotated = match config.flags("no_rope_layers", n_layers)? {
        Some(is_rotated) => is_rotated,
        None => (0..n_layers)
            .map(|idx| !(idx + 1).is_multiple_of(interval))
            .collect(),
    };
    for (layer, &is_rotated) in std::iter::zip(&mut spec.layers, &is_rotated) {
        layer.attention.rotary = is_rotated.then_some(0);
    }
    let is_used = config.flag("use_sliding_window", false)?;
    let window = sliding_window(config, None)?.filter(|_| is_used);
    // Published files have this key of Qwen2, but the family ignores it.
    config.pass_over(&["max_window_layers"]);
    let is_local = |idx: usize| window.is_some() && !is_rotated[idx];
    read_local_layers(config, &mut spec, window, is_local)?;
    Ok(spec)
}

/// Multipliers of embedding, attention, residuals and logits.
fn granite(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let mut spec = like_llama(config, &DEFAULTS)?;
    read_biases(config, &mut spec)?;
    spec.embedding_multiplier = config.positive("embedding_multiplier", 1.0)?;
    spec.head.logits_divisor = config.positive("logits_scaling", 1.0)?;
    let scale = config.positive("attention_multiplier", 1.0)?;
    let residual_multiplier = config.positive("residual_multiplier", 1.0)?;
    for layer in &mut spec.layers {
        layer.attention.scale = scale;
        layer.residual_multiplier = residual_multiplier;
    }
    Ok(spec)
}

fn norm_queries_and_keys(spec: &mut DecoderSpec, extent: NormExtent) {
    for layer in &mut spec.layers {
        layer.attention.query_key_norm = Some(QueryKeyNorm {
            norm: layer.norm,
            extent,
        });
    }
}

/// `use_sliding_window`: a window on the layers from `max_window_layers` up.
fn read_upper_windows(config: &Section, spec: &mut DecoderSpec) -> Result<(), PretrainedError> {
    let is_used = config.flag("use_sliding_window", false)?;
    let window = sliding_window(config, Some(4096))?.filter(|_| is_used);
    let first = match config
        .get("max_window_layers")
        .and_then(|value| value.as_u64())
    {
        // `count` would refuse 0.
        Some(0) => 0,
        _ => config.count("max_window_layers", Some(28))?,
    };
    let is_local = |idx| window.is_some() && idx >= first;
    read_local_layers(config, spec, window, is_local)?;
    Ok(())
}
