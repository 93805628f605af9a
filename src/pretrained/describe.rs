//! From a `config.json` to the description of a decoder.

use super::PretrainedError;
use super::families::{FAMILIES, Family, list};
use super::section::Section;
use crate::onnx::decoder::DecoderSpec;
use serde_json::{Value, json};

const UNQUANTIZED: &str = "quantized models are not supported: use the model's unquantized weights";
/// Keys of transformers, of older compressed-tensors, and of MLX.
const QUANTIZATIONS: [&str; 3] = ["quantization_config", "compression_config", "quantization"];

/// Reads every key that changes what the model computes, or refuses it by name.
///
/// # Errors
/// [`PretrainedError::Config`]: an unsupported family, a key that no table reads, an impossible value.
pub fn describe(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    read(config, family_of(config)?)
}

/// The same for a known family.
pub(super) fn read(config: &Section, family: &Family) -> Result<DecoderSpec, PretrainedError> {
    for key in QUANTIZATIONS {
        config.only(key, &Value::Null, UNQUANTIZED)?;
    }
    check_architecture(config, family)?;
    check_code(config, family)?;
    let spec = (family.read)(config)?;
    config.check_all_read()?;
    Ok(spec)
}

/// The family that `model_type` names.
pub(super) fn family_of(config: &Section) -> Result<&'static Family, PretrainedError> {
    let model_type = config.text("model_type")?;
    let mut families = FAMILIES.iter();
    let family = families.find(|family| Some(family.model_type) == model_type);
    family.ok_or_else(|| {
        let expected = format!("a family that is read: {}", list());
        config.refusal("model_type", &expected, unsupported_remedy(config))
    })
}

/// What to do about an unsupported model.
fn unsupported_remedy(config: &Section) -> &'static str {
    let is_one = |key: &str| config.get(key).is_some();
    let mut names = config
        .get("architectures")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let is_causal = names.any(|name| {
        name.as_str()
            .is_some_and(|name| name.ends_with("ForCausalLM"))
    });
    if config.get("is_encoder_decoder") == Some(&Value::Bool(true)) {
        "it has an encoder, and no next-token logits of its input: choose a decoder"
    } else if is_one("text_config") || is_one("vision_config") || is_one("audio_config") {
        "it reads more than text: choose a text-only model, or export its language model to ONNX"
    } else if !is_causal && is_one("architectures") {
        "it has no next-token logits (an encoder, or another head): choose a causal language model"
    } else {
        "choose a model of one of these, or export it to ONNX and give that file"
    }
}

/// Requires the one architecture with the language-model head.
fn check_architecture(config: &Section, family: &Family) -> Result<(), PretrainedError> {
    let remedy = "only causal language models have next-token logits: choose one";
    config.only("architectures", &json!([family.architecture]), remedy)?;
    let remedy = "choose a decoder-only model";
    config.only("is_encoder_decoder", &Value::Bool(false), remedy)?;
    let remedy = "save the model without pruning, or choose another";
    config.only("pruned_heads", &json!({}), remedy)
}

/// Refuses a model with its own code, which may compute anything, unless it is a copy of code now in
/// transformers.
fn check_code(config: &Section, family: &Family) -> Result<(), PretrainedError> {
    let class = config
        .get("auto_map")
        .and_then(|map| map.get("AutoModelForCausalLM"));
    let class = class
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('.').next());
    if family.may_bring_code && class == Some(family.architecture) {
        return Ok(());
    }
    let remedy = "the model comes with its own code, which is not run: choose one without";
    config.only("auto_map", &Value::Null, remedy)
}
