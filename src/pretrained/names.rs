//! Hugging Face's names of the files of a model.

/// What the model is.
pub const CONFIG_JSON: &str = "config.json";
/// All of its weights in one file.
pub const MODEL_SAFETENSORS: &str = "model.safetensors";
/// Which of several files holds which weight.
pub const INDEX_JSON: &str = "model.safetensors.index.json";
/// From text to ids.
pub const TOKENIZER_JSON: &str = "tokenizer.json";
