//! Reads Hugging Face checkpoints as descriptions of decoders.
//!
//! A directory has `config.json`, `model.safetensors` (or shards and an index) and `tokenizer.json`. A family is
//! two short tables: keys of the configuration to a [`DecoderSpec`](crate::onnx::decoder::DecoderSpec), and its
//! weights to tensors, or parts of them. Every key that changes what the model computes is read or refused by
//! name, in the spellings of transformers 4 and 5; every tensor must be there with its shape, and no others.
//! Weights are not copied: they are widened to f32 as they are read.

mod checkpoint;
mod cut;
mod describe;
mod error;
mod families;
mod file;
mod harmless;
mod index;
mod local;
mod names;
mod rope;
mod section;
mod tensor_file;
mod tensors;

pub use checkpoint::Checkpoint;
pub use describe::describe;
pub use error::PretrainedError;
pub use families::{LlamaDims, llama_decoder, llama_tensor};
pub use file::check_usable_file;
pub use local::{is_beside_weights, local_checkpoint};
pub use names::{CONFIG_JSON, INDEX_JSON, MODEL_SAFETENSORS, TOKENIZER_JSON};
pub use rope::{Llama3Scaling, RopeParameters, RopeScaling, plain_frequencies, rope_of};
pub use section::{Section, read_object};
pub use tensor_file::TensorFile;
pub use tensors::Tensors;

#[cfg(test)]
pub(crate) mod tests;
