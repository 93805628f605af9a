//! Models in and out: Hugging Face directories both ways, ONNX out.
//!
//! A Hugging Face directory is `config.json`, `model.safetensors` (or shards of it with an index)
//! and `tokenizer.json`. What the trainer's core does not have (biases, sliding windows, rope
//! scaling, other architectures) is refused by name when it is read, never approximated.

mod config;
mod error;
mod onnx;
mod read;
mod safetensors;
mod write;

pub use config::{SpecialIds, config_json, read_config};
pub use error::ExportError;
pub use onnx::{OnnxWeights, onnx_data_path, onnx_model, write_onnx};
pub use read::{HfModel, find_model, read_hf};
pub use safetensors::{Tensor, TensorMut, read_params, read_tensors, write_tensors};
pub use write::{HF_FILES, write_hf};

#[cfg(test)]
mod tests;
