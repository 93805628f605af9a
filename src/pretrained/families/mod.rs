//! The families: for each a table from keys of `config.json` to a description, and one from weights to tensors.

mod all;
mod dims;
mod family;
mod gemma;
mod gpt2;
mod gpt_neox;
mod layers;
mod llama;
mod phi3;
mod variants;

pub(super) use all::{FAMILIES, list};
pub use dims::LlamaDims;
pub(super) use family::Family;
pub use llama::{llama_decoder, llama_tensor};
