//! Hugging Face's names of the files of a model, and the one that is ours.

pub(super) const CONFIG_JSON: &str = "config.json";
pub(super) const MODEL_SAFETENSORS: &str = "model.safetensors";
pub(super) const INDEX_JSON: &str = "model.safetensors.index.json";
pub(super) const TOKENIZER_JSON: &str = "tokenizer.json";
pub(super) const TOKENIZER_CONFIG_JSON: &str = "tokenizer_config.json";
pub(super) const GENERATION_CONFIG_JSON: &str = "generation_config.json";
/// Size and BLAKE3 of the other files of a model that was written here.
pub const SEAL_JSON: &str = "saltworks.json";
