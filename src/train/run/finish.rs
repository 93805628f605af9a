//! The trained model as others load it.

use super::inputs::Inputs;
use crate::storage::{StorageError, publish_dir, rename_dir};
use crate::train::TrainError;
use crate::train::export::{OnnxWeights, write_hf, write_onnx};
use crate::train::model::Params;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Name of the trained model's directory.
const FINAL: &str = "final";
/// The same while it is written.
const IN_WORK: &str = ".final.part";
/// One that another is taking the place of.
const REPLACED: &str = ".final.old";

/// Parameters of the greatest model whose ONNX file holds its weights: 1 GiB of them.
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
) -> Result<PathBuf, TrainError> {
    let (part, place) = (run_dir.join(IN_WORK), final_dir(run_dir));
    remove_tree(&part)?;
    write_hf(
        &part,
        params,
        &inputs.special,
        inputs.tokenizer_json.as_deref(),
    )?;
    write_onnx(&part.join("model.onnx"), params, weights_of(params))?;
    put_in_place(run_dir, &part, &place)?;
    Ok(place)
}

/// One file where protobuf allows it with some room.
fn weights_of(params: &Params) -> OnnxWeights {
    match params.values.len() <= MAX_INLINE_PARAMETERS {
        true => OnnxWeights::Inline,
        false => OnnxWeights::External,
    }
}

fn put_in_place(run_dir: &Path, part: &Path, place: &Path) -> Result<(), TrainError> {
    let old = run_dir.join(REPLACED);
    remove_tree(&old)?;
    if place.exists() {
        rename_dir(place, &old)?;
    }
    publish_dir(part, place)?;
    remove_tree(&old)
}

fn remove_tree(dir: &Path) -> Result<(), TrainError> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StorageError::io("remove", dir, error).into())
        }
        _ => Ok(()),
    }
}
