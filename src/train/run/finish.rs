//! The trained model, in the form that other programs load.

use super::inputs::Inputs;
use crate::interrupt::Interrupt;
use crate::pretrained::CONFIG_JSON;
use crate::storage::{copy_file, is_file, list, make_dirs, remove_tree, replace_dir};
use crate::train::export::{
    ExportError, OnnxWeights, check_sealed, seal_also, write_hf, write_onnx,
};
use crate::train::model::Params;
use std::path::{Path, PathBuf};

/// Name of the trained model's directory.
const FINAL: &str = "final";
/// Name of the directory while it is being written.
const PARTIAL: &str = ".final.part";
/// Name of an earlier one while it is being replaced.
const REPLACED: &str = ".final.old";

/// Maximum number of parameters that are stored inside the ONNX file: 1 GiB of weights.
const MAX_INLINE_PARAMETERS: usize = 1 << 28;

/// Where the trained model of a run is, or would be.
pub(super) fn final_dir(run_dir: &Path) -> PathBuf {
    run_dir.join(FINAL)
}

/// Writes `final/`: a Hugging Face directory and `model.onnx`. It appears whole, by one rename.
pub(super) fn write_final(
    run_dir: &Path,
    inputs: &Inputs,
    params: &Params,
) -> Result<(), ExportError> {
    let (part, place) = (run_dir.join(PARTIAL), final_dir(run_dir));
    remove_tree(&part)?;
    write_hf(
        &part,
        params,
        &inputs.special,
        inputs.tokenizer_json.as_deref(),
    )?;
    let onnx = part.join("model.onnx");
    // Stop requests are handled between steps only; once the last step is done, the model is written completely.
    for (name, hash) in write_onnx(&onnx, params, weights_of(params), &Interrupt::new())? {
        seal_also(&part, &name, hash)?;
    }
    Ok(replace_dir(&part, &place, &run_dir.join(REPLACED))?)
}

/// Copies `final/` of the run in `from`, which may be in a store, to the run in `to`, if it is complete. The copy is
/// checked, and appears atomically.
pub(super) fn copy_final(from: &Path, to: &Path) -> Result<(), ExportError> {
    let (from, part) = (final_dir(from), to.join(PARTIAL));
    if !is_file(&from.join(CONFIG_JSON))? {
        return Ok(());
    }
    remove_tree(&part)?;
    make_dirs(&part)?;
    for entry in list(&from)? {
        copy_file(&from.join(&entry.name), &part.join(&entry.name))?;
    }
    check_sealed(&part)?;
    Ok(replace_dir(&part, &final_dir(to), &to.join(REPLACED))?)
}

/// One file if it is well below protobuf's size limit.
fn weights_of(params: &Params) -> OnnxWeights {
    match params.values.len() <= MAX_INLINE_PARAMETERS {
        true => OnnxWeights::Inline,
        false => OnnxWeights::External,
    }
}
