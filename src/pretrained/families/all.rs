//! The list of all families.

use super::family::Family;
use super::{gemma, gpt_neox, gpt2, llama, phi3, variants};

/// Every supported family.
pub(in crate::pretrained) static FAMILIES: &[Family] = &[
    llama::LLAMA,
    variants::MISTRAL,
    variants::QWEN2,
    variants::QWEN3,
    gemma::GEMMA,
    gemma::GEMMA2,
    gemma::GEMMA3,
    variants::OLMO2,
    phi3::PHI3,
    variants::SMOLLM3,
    variants::GRANITE,
    gpt_neox::GPT_NEOX,
    gpt2::GPT2,
];

/// A list of them, for a message.
pub(in crate::pretrained) fn list() -> String {
    let names: Vec<String> = FAMILIES
        .iter()
        .map(|family| format!("{} ({})", family.name, family.model_type))
        .collect();
    names.join(", ")
}
