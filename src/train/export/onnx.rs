//! A model as an ONNX graph of standard operators: see [`crate::onnx::decoder`]. A sequence longer than the model
//! supports is an error in the runtime.

use super::ExportError;
use crate::decoder_file::{self, DecoderFileError, MAX_INLINE_BYTES, Watch, WeightsPlace};
use crate::interrupt::Interrupt;
use crate::onnx::decoder::{
    DecoderModel, DecoderSpec, Dialect, GraphOptions, Weight, WeightFormat, Weights, decoder_model,
};
use crate::pretrained::{LlamaDims, PretrainedError, llama_decoder, llama_tensor};
use crate::storage::FileHash;
use crate::train::model::{ModelSpec, Params};
use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;

pub use crate::decoder_file::{WeightsPlace as OnnxWeights, data_path as onnx_data_path};

/// Writes the model as ONNX, replacing any file at `path`. If a stop is requested meanwhile, the earlier file
/// is kept. The graph is renamed into place last, so until then there is no model. Leftovers of a killed write
/// of the same name are removed. Returns the name and hash of each file.
///
/// # Errors
/// I/O errors; inline weights beyond protobuf's limit; [`ExportError::Interrupted`].
pub fn write_onnx(
    path: &Path,
    params: &Params,
    weights: WeightsPlace,
    interrupt: &Interrupt,
) -> Result<Vec<(String, FileHash)>, ExportError> {
    let model = onnx_model(&params.spec);
    let written = decoder_file::write_decoder(
        path,
        &model,
        &ByName(params),
        weights,
        Watch::until(interrupt),
    );
    written.map_err(|error| match error {
        DecoderFileError::Storage(error) => error.into(),
        DecoderFileError::Interrupted { path } => ExportError::Interrupted { path },
        DecoderFileError::TooLarge { path, n_bytes } => PretrainedError::Config {
            path,
            key: "weights".to_owned(),
            expected: format!("at most {MAX_INLINE_BYTES} bytes in one file"),
            got: format!("{n_bytes}"),
            remedy: "put them into a separate file with --external-data",
        }
        .into(),
        DecoderFileError::OutOfRange { .. } => unreachable!("f32 holds every f32"),
        DecoderFileError::Weights(never) => match never {},
    })
}

/// Whether the weights file beside the model at `path` is what [`write_onnx`] would write there. A process
/// killed before the graph is renamed leaves such a file.
///
/// # Errors
/// A file that cannot be read.
pub fn has_onnx_data_of(path: &Path, params: &Params) -> Result<bool, ExportError> {
    let model = onnx_model(&params.spec);
    Ok(decoder_file::has_data_of(path, &model, &ByName(params))?)
}

/// The graph of a trainer's model.
pub fn onnx_model(spec: &ModelSpec) -> DecoderModel {
    let options = GraphOptions {
        dialect: Dialect::Standard,
        weights: WeightFormat::F32,
    };
    decoder_model(&decoder_spec(spec), options).expect("a model of the trainer is a decoder")
}

/// A trainer's model as a general decoder.
pub fn decoder_spec(spec: &ModelSpec) -> DecoderSpec {
    let dims = LlamaDims {
        vocab_size: spec.vocab_size,
        d_model: spec.d_model,
        n_layers: spec.n_layers,
        n_heads: spec.n_heads,
        n_kv_heads: spec.n_kv_heads,
        head_dim: spec.head_dim,
        d_ff: spec.d_ff,
        max_positions: spec.max_seq_len,
    };
    llama_decoder(&dims, &spec.rope(), spec.norm_eps, spec.tie_embeddings)
}

/// Provides parameters under a decoder's names.
struct ByName<'a>(&'a Params);

impl Weights for ByName<'_> {
    type Error = Infallible;

    fn read_rows(
        &self,
        weight: &Weight,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), Infallible> {
        let name = llama_tensor(&weight.name);
        let tensor = name.and_then(|name| self.0.tensor(&name));
        let tensor = tensor.expect("the layout has every tensor of its model");
        let row_len = weight.row_len();
        values.extend_from_slice(&tensor[rows.start * row_len..rows.end * row_len]);
        Ok(())
    }
}
