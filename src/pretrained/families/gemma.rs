//! Gemma 1, 2 and 3 (text): norms by (1 + w), a scaled embedding; then soft-caps, local layers, norms on both
//! sides, and two rotary tables.

use super::dims::{DimDefaults, LlamaDims, activation, dims};
use super::family::Family;
use super::layers::{read_local_layers, sliding_window};
use super::llama::{LLAMA, STREAM, decoder, read_attention_bias};
use super::variants::POST_NORMS;
use crate::onnx::decoder::{
    Activation, DecoderSpec, Norm, NormExtent, NormKind, NormPlacement, QueryKeyNorm,
};
use crate::pretrained::PretrainedError;
use crate::pretrained::cut::{Cut, Entry};
use crate::pretrained::rope::{
    ROPE_DEFAULTS, RopeDefaults, RopeParameters, RopeScaling, of_section, rope_parameters,
};
use crate::pretrained::section::Section;
use serde_json::{Map, Value};

pub(super) const GEMMA: Family = Family {
    model_type: "gemma",
    name: "Gemma",
    architecture: "GemmaForCausalLM",
    read: gemma,
    ..LLAMA
};

pub(super) const GEMMA2: Family = Family {
    model_type: "gemma2",
    name: "Gemma 2",
    architecture: "Gemma2ForCausalLM",
    read: gemma2,
    tensors: &[STREAM, POST_NORMS, SANDWICH],
    ..LLAMA
};

pub(super) const GEMMA3: Family = Family {
    model_type: "gemma3_text",
    name: "Gemma 3 (text)",
    architecture: "Gemma3ForCausalLM",
    read: gemma3,
    tensors: &[STREAM, POST_NORMS, SANDWICH],
    ..LLAMA
};

const SANDWICH: &[Entry] = &[
    ("attention.norm", "input_layernorm", Cut::Whole),
    ("feed_forward.norm", "pre_feedforward_layernorm", Cut::Whole),
];

/// Default window.
const WINDOW: usize = 4096;

fn gemma(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    // The first releases say gelu but mean its tanh form, for which they have a second key.
    const TANH: &str = "gelu_pytorch_tanh";
    let name = config.text("hidden_act")?;
    let name = name.filter(|&name| name != "gelu").unwrap_or(TANH);
    let remedy = "correct the configuration: hidden_act is what transformers reads";
    config.only("hidden_activation", &name.into(), remedy)?;
    let activation = match name {
        TANH => Activation::GeluTanh,
        _ => activation(config, "hidden_act", Activation::GeluTanh)?,
    };
    let dims = gemma_dims(config, 16, 8192)?;
    let rope = rope_parameters(config, &ROPE_DEFAULTS, dims.head_dim)?;
    gemma_decoder(config, &dims, &rope, activation)
}

fn gemma2(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let dims = gemma_dims(config, 4, 8192)?;
    let rope = rope_parameters(config, &ROPE_DEFAULTS, dims.head_dim)?;
    let activation = activation(config, "hidden_activation", Activation::GeluTanh)?;
    config.pass_over(&["hidden_act"]);
    let mut spec = gemma_decoder(config, &dims, &rope, activation)?;
    let cap = soft_cap(config, "attn_logit_softcapping", Some(50.0))?;
    for layer in &mut spec.layers {
        layer.attention.soft_cap = cap;
    }
    spec.head.soft_cap = soft_cap(config, "final_logit_softcapping", Some(30.0))?;
    read_scale(config, &mut spec)?;
    read_windows(config, &mut spec, 2)?;
    Ok(spec)
}

fn gemma3(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let dims = gemma_dims(config, 4, 131_072)?;
    let [global, local] = gemma3_ropes(config, dims.head_dim)?;
    let activation = activation(config, "hidden_activation", Activation::GeluTanh)?;
    config.pass_over(&["hidden_act"]);
    let mut spec = gemma_decoder(config, &dims, &global, activation)?;
    let remedy = "transformers does not apply it to this family: set it to null";
    config.only("attn_logit_softcapping", &Value::Null, remedy)?;
    spec.head.soft_cap = soft_cap(config, "final_logit_softcapping", None)?;
    read_scale(config, &mut spec)?;
    let interval = match config.get("sliding_window_pattern") {
        Some(_) => config.count("sliding_window_pattern", None)?,
        None => config.count("_sliding_window_pattern", Some(6))?,
    };
    let is_local = read_windows(config, &mut spec, interval)?;
    config.pass_over(&["_sliding_window_pattern"]);
    spec.rotary.push(local.table(dims.head_dim));
    for (layer, is_local) in std::iter::zip(&mut spec.layers, is_local) {
        layer.attention.rotary = Some(usize::from(is_local));
        layer.attention.query_key_norm = Some(QueryKeyNorm {
            norm: layer.norm,
            extent: NormExtent::Head,
        });
    }
    Ok(spec)
}

fn gemma_dims(
    config: &Section,
    n_kv_heads: usize,
    max_positions: usize,
) -> Result<LlamaDims, PretrainedError> {
    let defaults = DimDefaults {
        n_kv_heads: Some(n_kv_heads),
        head_dim: Some(256),
        max_positions,
    };
    dims(config, defaults)
}

fn gemma_decoder(
    config: &Section,
    dims: &LlamaDims,
    rope: &RopeParameters,
    activation: Activation,
) -> Result<DecoderSpec, PretrainedError> {
    let norm = Norm {
        kind: NormKind::RmsPlusOne,
        eps: config.positive("rms_norm_eps", 1e-6)?,
    };
    let is_tied = config.flag("tie_word_embeddings", true)?;
    let mut spec = decoder(dims, rope, norm, activation, is_tied);
    spec.embedding_multiplier = (dims.d_model as f64).sqrt();
    read_attention_bias(config, &mut spec)?;
    let remedy = "only models whose positions see nothing after them have next-token logits";
    config.only("use_bidirectional_attention", &Value::Bool(false), remedy)?;
    Ok(spec)
}

/// `query_pre_attn_scalar`, and norms on both sides.
fn read_scale(config: &Section, spec: &mut DecoderSpec) -> Result<(), PretrainedError> {
    let scale = config.positive("query_pre_attn_scalar", 256.0)?.powf(-0.5);
    for layer in &mut spec.layers {
        layer.attention.scale = scale;
        layer.placement = NormPlacement::PreAndPost;
    }
    Ok(())
}

/// Local layers by `layer_types`, else all except every `interval`-th.
fn read_windows(
    config: &Section,
    spec: &mut DecoderSpec,
    interval: usize,
) -> Result<Vec<bool>, PretrainedError> {
    let window = sliding_window(config, Some(WINDOW))?;
    let is_local = |idx: usize| !(idx + 1).is_multiple_of(interval);
    read_local_layers(config, spec, window, is_local)
}

/// A soft-cap; null means none, a missing key the family's default.
fn soft_cap(
    config: &Section,
    key: &str,
    default: Option<f64>,
) -> Result<Option<f64>, PretrainedError> {
    match config.has(key) {
        true => config.optional(key),
        false => Ok(default),
    }
}

/// The tables of full and of sliding attention: an object for each in transformers 5, keys on top in 4.
fn gemma3_ropes(config: &Section, head_dim: usize) -> Result<[RopeParameters; 2], PretrainedError> {
    const KINDS: [&str; 2] = ["full_attention", "sliding_attention"];
    let tops = ["rope_theta", "rope_local_base_freq"];
    let defaults = [1_000_000.0, 10_000.0].map(|theta| RopeDefaults {
        theta,
        ..ROPE_DEFAULTS
    });
    if let Some(both) = config.section("rope_parameters")? {
        config.pass_over(&tops);
        config.only(
            "rope_scaling",
            &Value::Null,
            "set it in rope_parameters only",
        )?;
        let of = |idx: usize| {
            let none = || Section::new(config.path(), String::new(), Map::new());
            let section = both.section(KINDS[idx])?.unwrap_or_else(none);
            of_section(config, &section, &defaults[idx], head_dim)
        };
        let ropes = [of(0)?, of(1)?];
        both.check_all_read()?;
        return Ok(ropes);
    }
    let local = RopeParameters {
        theta: config.positive(tops[1], defaults[1].theta)?,
        partial: 1.0,
        scaling: RopeScaling::Default,
    };
    Ok([rope_parameters(config, &defaults[0], head_dim)?, local])
}
