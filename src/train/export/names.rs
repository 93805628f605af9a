//! Names of a model's files in addition to Hugging Face's.

pub(super) const TOKENIZER_CONFIG_JSON: &str = "tokenizer_config.json";
pub(super) const GENERATION_CONFIG_JSON: &str = "generation_config.json";
/// File with size and BLAKE3 of the other files of a model that was written here.
pub const SEAL_JSON: &str = "saltworks.json";
