//! Reads and writes models as Hugging Face directories, and writes ONNX.
//!
//! A Hugging Face directory is `config.json`, `model.safetensors` (or shards of it with an index) and
//! `tokenizer.json`. Directories written here also have `saltworks.json`, with the size and BLAKE3 of each file,
//! which are checked when the model is read. Anything that the trainer's core does not support (biases, sliding
//! windows, most rope scaling, other architectures) is refused by name, never approximated.

mod config;
mod error;
mod names;
mod onnx;
mod read;
mod safetensors;
mod seal;
mod write;

pub use config::{SpecialIds, config_json, read_config};
pub use error::ExportError;
pub use names::SEAL_JSON;
pub use onnx::{
    OnnxWeights, decoder_spec, has_onnx_data_of, onnx_data_path, onnx_model, write_onnx,
};
pub use read::{HfModel, find_model, model_place, n_weights, read_hf};
pub use safetensors::{Tensor, TensorMut, read_params, read_tensors, write_tensors};
pub(in crate::train) use safetensors::{slices_of, tensors_of};
pub(crate) use seal::seal_also;
pub use seal::{ModelSeal, check_sealed, model_identity};
pub use write::{HF_FILES, HfContents, is_half, write_hf, write_hf_until};

#[cfg(test)]
mod tests;
