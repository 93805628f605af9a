//! Models in and out: Hugging Face directories both ways, ONNX out.
//!
//! A Hugging Face directory is `config.json`, `model.safetensors` (or shards of it with an index)
//! and `tokenizer.json`. What the trainer's core does not have (biases, sliding windows, rope
//! scaling, other architectures) is refused by name when it is read, never approximated.

mod error;
mod safetensors;

pub use error::ExportError;
pub use safetensors::{
    Tensor, TensorMut, read_flat, read_params, read_tensors, write_flat, write_params,
    write_tensors,
};
