//! `config.json`: converts between Hugging Face's keys and a [`ModelSpec`].
//!
//! It is read by the tables of [`pretrained`](crate::pretrained); anything that they support but the trainer's
//! core does not is refused by key.

use super::ExportError;
use super::seal::check_sealed_config;
use crate::onnx::decoder::DecoderSpec;
use crate::pretrained::{CONFIG_JSON, PretrainedError, RopeScaling, Section, describe, rope_of};
use crate::train::model::ModelSpec;
use serde_json::{Value, json};
use std::path::Path;

pub(super) const ARCHITECTURE: &str = "LlamaForCausalLM";
/// The type that is written; a [`MISTRAL`] without a window is the same model under another name.
const LLAMA: &str = "llama";
const MISTRAL: &str = "mistral";

/// Ids that mark the beginning and end of a document, from a model's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// Before a document.
    pub bos: Option<u32>,
    /// After a document; chat models have several.
    pub eos: Vec<u32>,
}

/// Reads the `config.json` in `dir`.
///
/// # Errors
/// A file that is missing, not a JSON object, or not the one written with the model; a model that the trainer
/// does not support, by its key.
pub fn read_config(dir: &Path) -> Result<(ModelSpec, SpecialIds), ExportError> {
    check_sealed_config(dir)?;
    let config = Section::open(&dir.join(CONFIG_JSON))?;
    check_core(&config)?;
    Ok((
        spec_of(&config, &describe(&config)?)?,
        special_ids(&config)?,
    ))
}

/// The text of a `config.json` that transformers loads as `LlamaForCausalLM`.
pub fn config_json(spec: &ModelSpec, special: &SpecialIds) -> String {
    let config = json!({
        "architectures": [ARCHITECTURE],
        "model_type": LLAMA,
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.d_model,
        "intermediate_size": spec.d_ff,
        "num_hidden_layers": spec.n_layers,
        "num_attention_heads": spec.n_heads,
        "num_key_value_heads": spec.n_kv_heads,
        "head_dim": spec.head_dim,
        "max_position_embeddings": spec.max_seq_len,
        "rope_theta": spec.rope_theta,
        "rope_scaling": rope_scaling(spec),
        "rms_norm_eps": spec.norm_eps,
        "hidden_act": "silu",
        "attention_bias": false,
        "attention_dropout": 0.0,
        "mlp_bias": false,
        "tie_word_embeddings": spec.tie_embeddings,
        "bos_token_id": special.bos,
        "eos_token_id": eos_value(special),
        "torch_dtype": "float32",
    });
    pretty(&config)
}

/// The value that [`read_config`] reads as `rope_scaling`.
fn rope_scaling(spec: &ModelSpec) -> Value {
    let Some(scaling) = spec.rope_scaling else {
        return Value::Null;
    };
    json!({
        "rope_type": "llama3",
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor,
        "original_max_position_embeddings": scaling.n_original,
    })
}

/// One id, a list of several, or null.
pub(super) fn eos_value(special: &SpecialIds) -> Value {
    match special.eos.as_slice() {
        [] => Value::Null,
        [id] => json!(id),
        several => json!(several),
    }
}

/// Indented JSON with a line end.
pub(super) fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Keys that must be absent, null or exactly this, with the reason.
fn fixed() -> [(&'static str, Value, &'static str); 5] {
    let no_biases = "the trainer has no biases";
    [
        (
            "hidden_act",
            json!("silu"),
            "the trainer's SwiGLU has no other activation",
        ),
        ("attention_bias", json!(false), no_biases),
        ("mlp_bias", json!(false), no_biases),
        (
            "sliding_window",
            Value::Null,
            "the trainer's attention is over the whole sequence",
        ),
        (
            "partial_rotary_factor",
            json!(1),
            "the trainer's RoPE rotates whole heads",
        ),
    ]
}

/// Refuses by key what the trainer's core does not support.
fn check_core(config: &Section) -> Result<(), PretrainedError> {
    let model_type = config.get("model_type").and_then(Value::as_str);
    if model_type != Some(LLAMA) && model_type != Some(MISTRAL) {
        let remedy = "the trainer supports only this kind of model: choose one";
        let expected = format!("{LLAMA:?}, or {MISTRAL:?} without a window");
        return Err(config.refusal("model_type", &expected, remedy));
    }
    for (key, wanted, remedy) in fixed() {
        config.only(key, &wanted, remedy)?;
    }
    if model_type == Some(MISTRAL) && !config.has("sliding_window") {
        let remedy = "without the key it is 4096: set it to null if the model has none";
        return Err(config.refusal("sliding_window", "null", remedy));
    }
    ROPE_KEYS.iter().try_for_each(|key| check_rope(config, key))
}

/// Keys of rope parameters in transformers 5 and in 4.
const ROPE_KEYS: [&str; 2] = ["rope_parameters", "rope_scaling"];

/// Rope parameters may be defaults, a theta, and the scaling of Llama 3.1.
fn check_rope(config: &Section, key: &str) -> Result<(), PretrainedError> {
    let Some(value) = config.get(key) else {
        return Ok(());
    };
    let kind = ["rope_type", "type"]
        .iter()
        .find_map(|name| value.get(name));
    let is_known = kind.is_none_or(|kind| kind == "default" || kind == "llama3");
    let partial = value.get("partial_rotary_factor");
    let is_whole = partial.is_none_or(|partial| partial.as_f64() == Some(1.0));
    let names_one = kind.is_some() || value.get("rope_theta").is_some();
    if is_known && is_whole && names_one {
        return Ok(());
    }
    let remedy = "the trainer has no other rope scaling: choose a model without it";
    let expected = "null, or rope_type \"default\" without a factor, or \"llama3\"";
    Err(config.refusal(key, expected, remedy))
}

/// The trainer's description of a decoder. Anything it cannot express was refused by key.
fn spec_of(config: &Section, decoder: &DecoderSpec) -> Result<ModelSpec, PretrainedError> {
    let layer = &decoder.layers[0];
    let attention = &layer.attention;
    let rope = rope_of(config, attention.head_dim)?;
    Ok(ModelSpec {
        vocab_size: decoder.vocab_size,
        d_model: decoder.d_model,
        n_layers: decoder.layers.len(),
        n_heads: attention.n_heads,
        n_kv_heads: attention.n_kv_heads,
        head_dim: attention.head_dim,
        d_ff: layer.feed_forward.d_ff,
        max_seq_len: decoder.max_positions,
        rope_theta: rope.theta,
        rope_scaling: match rope.scaling {
            RopeScaling::Llama3(scaling) => Some(scaling),
            _ => None,
        },
        norm_eps: layer.norm.eps,
        tie_embeddings: decoder.head.is_tied,
    })
}

fn special_ids(config: &Section) -> Result<SpecialIds, PretrainedError> {
    Ok(SpecialIds {
        bos: ids(config, "bos_token_id")?.first().copied(),
        eos: ids(config, "eos_token_id")?,
    })
}

fn ids(config: &Section, key: &str) -> Result<Vec<u32>, PretrainedError> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    let ids = match config.get(key) {
        None => Some(Vec::new()),
        Some(Value::Array(several)) => several.iter().map(id).collect(),
        Some(one) => id(one).map(|id| vec![id]),
    };
    let expected = "an id, a list of ids or null";
    ids.ok_or_else(|| config.refusal(key, expected, "correct the configuration"))
}
