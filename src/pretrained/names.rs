//! Hugging Face's names for a model's files.

/// The model's configuration.
pub const CONFIG_JSON: &str = "config.json";
/// All weights in one file.
pub const MODEL_SAFETENSORS: &str = "model.safetensors";
/// The map from weights to files, if there are several.
pub const INDEX_JSON: &str = "model.safetensors.index.json";
/// The tokenizer.
pub const TOKENIZER_JSON: &str = "tokenizer.json";
