//! Reads parameters from a Hugging Face directory.

use super::ExportError;
use super::config::{SpecialIds, read_config};
use super::seal::check_sealed;
use crate::onnx::decoder::{Weights, weights_of};
use crate::pretrained::{
    CONFIG_JSON, Checkpoint, PretrainedError, Tensors, check_usable_file, local_checkpoint,
};
use crate::storage;
use crate::train::model::Params;
use std::path::{Path, PathBuf};

/// Values read at a time.
const BLOCK: usize = 16 * 1024;

/// A model read from a directory.
#[derive(Debug, Clone, PartialEq)]
pub struct HfModel {
    /// Dimensions and weights.
    pub params: Params,
    /// Ids of the beginning and end of a document.
    pub special: SpecialIds,
    /// The `tokenizer.json` next to the weights, if there is one.
    pub tokenizer: Option<PathBuf>,
}

/// The model's directory for `path`: `path` itself, or `final` in a run's directory. For a URL, a local copy of
/// the files that are read.
///
/// # Errors
/// Those of [`model_place`]; a URL that cannot be copied.
pub fn find_model(path: &Path) -> Result<PathBuf, ExportError> {
    Ok(local_checkpoint(&model_place(path)?)?)
}

/// The same directory where it is, on this machine or at a URL.
///
/// # Errors
/// Neither holds a `config.json`.
pub fn model_place(path: &Path) -> Result<PathBuf, ExportError> {
    for dir in [path.to_owned(), path.join("final")] {
        let config = dir.join(CONFIG_JSON);
        if !storage::is_url(&dir) {
            check_usable_file(&config)?;
        }
        if storage::is_file(&config)? {
            return Ok(dir);
        }
    }
    let missing = PretrainedError::MissingFile {
        path: path.join(CONFIG_JSON),
        expected: "the directory of a Hugging Face model, of a finished run, or of a checkpoint",
        remedy: "name one, such as RUN/final or RUN/checkpoints/step-100",
    };
    Err(missing.into())
}

/// Number of values in all weights of the model in `dir`, of any architecture; tied weights count once.
///
/// # Errors
/// No weights; a header that cannot be read.
pub fn n_weights(dir: &Path) -> Result<u64, ExportError> {
    Ok(Tensors::open(dir)?.n_values() as u64)
}

/// Reads a Hugging Face directory: `config.json`, and the weights as f32, f16 or bf16.
///
/// # Errors
/// Anything that the trainer does not support, or would have to guess: see [`ExportError`].
pub fn read_hf(dir: &Path) -> Result<HfModel, ExportError> {
    let (spec, special) = read_config(dir)?;
    check_sealed(dir)?;
    let checkpoint = Checkpoint::open(dir)?;
    let mut params = Params::blank(&spec);
    read_params(&checkpoint, &mut params)?;
    Ok(HfModel {
        params,
        special,
        tokenizer: checkpoint.tokenizer,
    })
}

/// Relies on both lists having the tensors of a Llama in the same order.
fn read_params(checkpoint: &Checkpoint, params: &mut Params) -> Result<(), PretrainedError> {
    let mut values = Vec::new();
    let weights = weights_of(&checkpoint.spec);
    assert_eq!(weights.len(), params.layout.tensors.len(), "tensors");
    for (weight, slot) in std::iter::zip(&weights, &params.layout.tensors) {
        assert_eq!(weight.shape, slot.shape, "{} is {}", slot.name, weight.name);
        let rows_at_once = (BLOCK / weight.row_len()).max(1);
        let mut end = slot.range.start;
        for start in (0..weight.n_rows()).step_by(rows_at_once) {
            values.clear();
            let rows = start..weight.n_rows().min(start + rows_at_once);
            checkpoint.read_rows(weight, rows, &mut values)?;
            params.values[end..end + values.len()].copy_from_slice(&values);
            end += values.len();
        }
    }
    Ok(())
}
