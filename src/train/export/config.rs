//! `config.json`: between Hugging Face's words and a [`ModelSpec`].
//!
//! Keys that change what the model computes are read or refused; all others are left alone, as
//! transformers leaves them. Defaults are those of its `LlamaConfig`.

use super::ExportError;
use super::file::check_is_there;
use super::names::CONFIG_JSON;
use super::seal::check_sealed_config;
use crate::train::model::ModelSpec;
use serde_json::{Map, Value, json};
use std::path::Path;

const ARCHITECTURE: &str = "LlamaForCausalLM";
const MODEL_TYPE: &str = "llama";

/// Ids that mark beginning and end of a document, as a model's configuration names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialIds {
    /// In front of a document.
    pub bos: Option<u32>,
    /// Behind a document; chat models name several.
    pub eos: Vec<u32>,
}

/// Reads the `config.json` in `dir`.
///
/// # Errors
/// A file that is not there or no JSON object, or not the one that was written with the model; a
/// model that the trainer does not have, by its key.
pub fn read_config(dir: &Path) -> Result<(ModelSpec, SpecialIds), ExportError> {
    let path = dir.join(CONFIG_JSON);
    check_sealed_config(dir)?;
    let config = Config {
        fields: read_object(&path)?,
        path: &path,
    };
    config.check_supported()?;
    let spec = config.spec()?;
    Ok((spec, config.special_ids()?))
}

/// The text of a `config.json` that transformers loads as `LlamaForCausalLM`.
pub fn config_json(spec: &ModelSpec, special: &SpecialIds) -> String {
    let config = json!({
        "architectures": [ARCHITECTURE],
        "model_type": MODEL_TYPE,
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.d_model,
        "intermediate_size": spec.d_ff,
        "num_hidden_layers": spec.n_layers,
        "num_attention_heads": spec.n_heads,
        "num_key_value_heads": spec.n_kv_heads,
        "head_dim": spec.head_dim,
        "max_position_embeddings": spec.max_seq_len,
        "rope_theta": spec.rope_theta,
        "rope_scaling": null,
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

/// Reads a file that holds one JSON object.
pub(super) fn read_object(path: &Path) -> Result<Map<String, Value>, ExportError> {
    check_is_there(path)?;
    let bytes = std::fs::read(path).map_err(|source| ExportError::io("read", path, source))?;
    serde_json::from_slice(&bytes).map_err(|error| ExportError::NotJson {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// Keys that must be absent, null, or say exactly this, with why.
const FIXED: [(&str, Fixed, &str); 9] = [
    (
        "hidden_act",
        Fixed::Text("silu"),
        "the trainer's SwiGLU supports no other activation",
    ),
    (
        "attention_bias",
        Fixed::Bool(false),
        "the trainer has no biases",
    ),
    ("mlp_bias", Fixed::Bool(false), "the trainer has no biases"),
    (
        "sliding_window",
        Fixed::Null,
        "the trainer's attention covers the whole sequence",
    ),
    (
        "partial_rotary_factor",
        Fixed::One,
        "the trainer's RoPE rotates whole heads",
    ),
    ("quantization_config", Fixed::Null, UNQUANTIZED),
    // As older compressed-tensors and as MLX write it.
    ("compression_config", Fixed::Null, UNQUANTIZED),
    ("quantization", Fixed::Null, UNQUANTIZED),
    (
        "auto_map",
        Fixed::Null,
        "the model has code of its own, which the trainer does not run",
    ),
];

const UNQUANTIZED: &str = "quantized models are not supported: use the model's unquantized weights";

enum Fixed {
    Null,
    Bool(bool),
    One,
    Text(&'static str),
}

impl Fixed {
    fn is(&self, value: &Value) -> bool {
        value.is_null()
            || match self {
                Fixed::Null => false,
                Fixed::Bool(wanted) => value.as_bool() == Some(*wanted),
                Fixed::One => value.as_f64() == Some(1.0),
                Fixed::Text(wanted) => value.as_str() == Some(wanted),
            }
    }

    fn describe(&self) -> String {
        match self {
            Fixed::Null => "null, or no such key".to_owned(),
            Fixed::Bool(wanted) => wanted.to_string(),
            Fixed::One => "1".to_owned(),
            Fixed::Text(wanted) => format!("{wanted:?}"),
        }
    }
}

struct Config<'a> {
    fields: Map<String, Value>,
    path: &'a Path,
}

impl Config<'_> {
    /// The value of a key; `None` where it is absent or null, which means the same there.
    fn get(&self, key: &str) -> Option<&Value> {
        self.fields.get(key).filter(|value| !value.is_null())
    }

    fn check_supported(&self) -> Result<(), ExportError> {
        let remedy = "only models of the Llama family load: choose one";
        if self.get("model_type").and_then(Value::as_str) != Some(MODEL_TYPE) {
            return Err(self.refusal("model_type", &format!("{MODEL_TYPE:?}"), remedy));
        }
        let is_llama = |value: &Value| value == &json!([ARCHITECTURE]);
        if !self.get("architectures").is_none_or(is_llama) {
            return Err(self.refusal("architectures", &format!("[{ARCHITECTURE:?}]"), remedy));
        }
        for (key, fixed, remedy) in FIXED {
            if !self.get(key).is_none_or(|value| fixed.is(value)) {
                return Err(self.refusal(key, &fixed.describe(), remedy));
            }
        }
        for key in ROPE_KEYS {
            self.check_rope(key)?;
        }
        Ok(())
    }

    /// Rope parameters may say what is the default anyway, and a theta.
    fn check_rope(&self, key: &str) -> Result<(), ExportError> {
        let Some(value) = self.get(key) else {
            return Ok(());
        };
        let remedy = "the trainer does not support RoPE scaling: choose a model without it";
        let kind = ["rope_type", "type"]
            .iter()
            .find_map(|name| value.get(name));
        if !value.is_object() || kind.is_some_and(|kind| kind != "default") {
            return Err(self.refusal(key, "null or rope_type \"default\"", remedy));
        }
        let has_factor = ["factor", "partial_rotary_factor"]
            .iter()
            .filter_map(|name| value.get(name))
            .any(|factor| !Fixed::One.is(factor));
        if has_factor || (kind.is_none() && value.get("rope_theta").is_none()) {
            return Err(self.refusal(key, "null, or rope_type \"default\" and no factor", remedy));
        }
        Ok(())
    }

    fn spec(&self) -> Result<ModelSpec, ExportError> {
        let (d_model, n_heads) = (
            self.dimension("hidden_size", None)?,
            self.dimension("num_attention_heads", None)?,
        );
        let spec = ModelSpec {
            vocab_size: self.dimension("vocab_size", None)?,
            d_model,
            n_layers: self.dimension("num_hidden_layers", None)?,
            n_heads,
            n_kv_heads: self.dimension("num_key_value_heads", Some(n_heads))?,
            head_dim: self.head_dim(d_model, n_heads)?,
            d_ff: self.dimension("intermediate_size", None)?,
            max_seq_len: self.dimension("max_position_embeddings", Some(2048))?,
            rope_theta: self.rope_theta()?,
            norm_eps: self.positive("rms_norm_eps", 1e-6)?,
            tie_embeddings: self.flag("tie_word_embeddings")?,
        };
        self.check_heads(&spec)?;
        Ok(spec)
    }

    fn head_dim(&self, d_model: usize, n_heads: usize) -> Result<usize, ExportError> {
        if self.get("head_dim").is_none() && !d_model.is_multiple_of(n_heads) {
            let expected = format!("a multiple of the {n_heads} heads, or a head_dim");
            return Err(self.refusal("hidden_size", &expected, "correct the configuration"));
        }
        self.dimension("head_dim", Some(d_model / n_heads))
    }

    fn check_heads(&self, spec: &ModelSpec) -> Result<(), ExportError> {
        if !spec.n_heads.is_multiple_of(spec.n_kv_heads) {
            let expected = format!("a divisor of the {} query heads", spec.n_heads);
            let remedy = "correct the configuration";
            return Err(self.refusal("num_key_value_heads", &expected, remedy));
        }
        if !spec.head_dim.is_multiple_of(2) {
            let expected = format!("an even width, not {}", spec.head_dim);
            return Err(self.refusal(
                "head_dim",
                &expected,
                "RoPE rotates pairs from the two halves of a head",
            ));
        }
        Ok(())
    }

    fn dimension(&self, key: &str, default: Option<usize>) -> Result<usize, ExportError> {
        let found = match (self.get(key), default) {
            (None, Some(default)) => return Ok(default),
            (value, _) => value.and_then(Value::as_u64),
        };
        // Ids are u32, and so no dimension of a real model is larger.
        let in_range = found.filter(|&n| n > 0 && n <= u64::from(u32::MAX));
        in_range
            .and_then(|n| usize::try_from(n).ok())
            .ok_or_else(|| {
                self.refusal(
                    key,
                    "a whole number, at least 1",
                    "correct the configuration",
                )
            })
    }

    fn positive(&self, key: &str, default: f64) -> Result<f64, ExportError> {
        let Some(value) = self.get(key) else {
            return Ok(default);
        };
        let number = value.as_f64().filter(|n| n.is_finite() && *n > 0.0);
        number.ok_or_else(|| self.refusal(key, "a positive number", "correct the configuration"))
    }

    fn flag(&self, key: &str) -> Result<bool, ExportError> {
        match self.get(key) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.refusal(key, "true or false", "correct the configuration")),
        }
    }

    /// Older files have it on top, newer ones among the rope parameters; both must say the same.
    fn rope_theta(&self) -> Result<f64, ExportError> {
        let mut theta = match self.get("rope_theta") {
            Some(_) => Some(self.positive("rope_theta", 0.0)?),
            None => None,
        };
        for key in ROPE_KEYS {
            let Some(inner) = self.get(key).and_then(|value| value.get("rope_theta")) else {
                continue;
            };
            let number = inner.as_f64().filter(|n| n.is_finite() && *n > 0.0);
            if number.is_none() || theta.is_some() && theta != number {
                let expected = match theta {
                    Some(theta) => {
                        format!("the same rope_theta as elsewhere in the file, {theta:?}")
                    }
                    None => "a positive rope_theta".to_owned(),
                };
                return Err(self.refusal(key, &expected, "correct the configuration"));
            }
            theta = number;
        }
        Ok(theta.unwrap_or(10_000.0))
    }

    fn special_ids(&self) -> Result<SpecialIds, ExportError> {
        Ok(SpecialIds {
            bos: self.ids("bos_token_id")?.first().copied(),
            eos: self.ids("eos_token_id")?,
        })
    }

    fn ids(&self, key: &str) -> Result<Vec<u32>, ExportError> {
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        let ids = match self.get(key) {
            None => Some(Vec::new()),
            Some(Value::Array(several)) => several.iter().map(id).collect(),
            Some(one) => id(one).map(|id| vec![id]),
        };
        ids.ok_or_else(|| {
            self.refusal(
                key,
                "an id, a list of ids or null",
                "correct the configuration",
            )
        })
    }

    fn refusal(&self, key: &str, expected: &str, remedy: &'static str) -> ExportError {
        ExportError::Config {
            path: self.path.to_owned(),
            key: key.to_owned(),
            expected: expected.to_owned(),
            got: match self.fields.get(key) {
                Some(value) => value.to_string(),
                None => "no such key".to_owned(),
            },
            remedy,
        }
    }
}

const ROPE_KEYS: [&str; 2] = ["rope_scaling", "rope_parameters"];
