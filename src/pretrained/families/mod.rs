//! The families: for each a table from keys of `config.json` to a description, and one from weights to tensors.

mod dims;
mod gemma;
mod gpt2;
mod gpt_neox;
mod layers;
mod llama;
mod phi3;
mod variants;

pub use dims::LlamaDims;
pub use llama::llama_decoder;

use super::PretrainedError;
use super::cut::{Entry, tensor_of};
use super::section::Section;
use crate::onnx::decoder::DecoderSpec;

/// A kind of model.
#[derive(Debug)]
pub(super) struct Family {
    /// As `model_type` names it.
    pub(super) model_type: &'static str,
    /// As people call it.
    pub(super) name: &'static str,
    /// As `architectures` names it with its language-model head.
    pub(super) architecture: &'static str,
    /// What the configuration says; reads or refuses every key that matters.
    pub(super) read: fn(&Section) -> Result<DecoderSpec, PretrainedError>,
    /// Which tensor a weight is, without `.weight` and `.bias`; N is a layer. Later ones go before earlier ones.
    pub(super) tensors: &'static [&'static [Entry]],
    /// In front of the names of all tensors but the head; files of the model without a head lack it.
    pub(super) base: &'static str,
    /// Ends of the names of tensors that follow from the configuration: older files hold them.
    pub(super) computed: &'static [&'static str],
    /// Whether releases bring a copy of the code that transformers has by now.
    pub(super) may_bring_code: bool,
}

/// Every family that is read.
pub(super) static FAMILIES: &[Family] = &[
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

/// The tensor of a weight of a Llama; none where it has no such weight.
pub fn llama_tensor(weight: &str) -> Option<String> {
    tensor_of(llama::LLAMA.tensors, weight).map(|(tensor, ..)| tensor)
}

/// All of them, for a message.
pub(super) fn list() -> String {
    let names: Vec<String> = FAMILIES
        .iter()
        .map(|family| format!("{} ({})", family.name, family.model_type))
        .collect();
    names.join(", ")
}
