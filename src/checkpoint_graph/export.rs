//! From a checkpoint to a graph and its files.

use super::error::CheckpointGraphError;
use crate::decoder_file::{WeightsPlace, write_decoder};
use crate::interrupt::Interrupt;
use crate::onnx::decoder::{DecoderModel, GraphOptions, decoder_model};
use crate::pretrained::Checkpoint;
use crate::storage::FileHash;
use std::path::Path;

/// Writes the graph of a checkpoint, in place of whatever has the name `path`. Tells what has which hash.
///
/// # Errors
/// [`CheckpointGraphError`]; nothing of what was there is lost then.
pub fn export_checkpoint(
    checkpoint: &Checkpoint,
    path: &Path,
    options: GraphOptions,
    place: WeightsPlace,
    interrupt: &Interrupt,
) -> Result<Vec<(String, FileHash)>, CheckpointGraphError> {
    let model = graph_of(checkpoint, options)?;
    let written = write_decoder(path, &model, checkpoint, place, interrupt);
    written.map_err(|error| CheckpointGraphError::of_file(&checkpoint.dir, error))
}

pub(super) fn graph_of(
    checkpoint: &Checkpoint,
    options: GraphOptions,
) -> Result<DecoderModel, CheckpointGraphError> {
    let model = decoder_model(&checkpoint.spec, options);
    model.map_err(|source| CheckpointGraphError::Decoder {
        dir: checkpoint.dir.clone(),
        source,
    })
}
