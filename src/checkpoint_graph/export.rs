//! From a checkpoint to a graph and its files.

use super::error::CheckpointGraphError;
use crate::decoder_file::{Watch, WeightsPlace, write_decoder};
use crate::interrupt::Interrupt;
use crate::onnx::decoder::{DecoderModel, DecoderSpec, GraphOptions, decoder_model};
use crate::pretrained::Checkpoint;
use crate::storage::FileHash;
use serde_json::json;
use std::path::Path;

/// What takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphWork<'a> {
    /// Another process is writing into the cache: perhaps this very graph.
    Waiting {
        /// The cache.
        cache: &'a Path,
    },
    /// A graph is being written.
    Writing {
        /// The name that it gets at the end.
        path: &'a Path,
        /// Bytes of its weights.
        n_bytes: u64,
    },
}

/// Is told of work when it begins; what it gives back is told how many bytes are written by now, and at
/// the end exactly [`GraphWork::Writing::n_bytes`].
pub type OnWork<'a> = &'a dyn Fn(GraphWork<'_>) -> Box<dyn Fn(u64)>;

/// Who looks on while a graph is made.
#[derive(Clone, Copy)]
pub struct Onlooker<'a> {
    /// Asks for a stop.
    pub interrupt: &'a Interrupt,
    /// Is told what is being done.
    pub on_work: OnWork<'a>,
}

/// Writes the graph of a checkpoint, in place of whatever has the name `path`. Tells what has which hash.
///
/// # Errors
/// [`CheckpointGraphError`]; nothing of what was there is lost then.
pub fn export_checkpoint(
    checkpoint: &Checkpoint,
    path: &Path,
    options: GraphOptions,
    place: WeightsPlace,
    onlooker: Onlooker<'_>,
) -> Result<Vec<(String, FileHash)>, CheckpointGraphError> {
    let model = graph_of(checkpoint, options)?;
    write_watched(path, path, &model, checkpoint, place, onlooker)
}

/// The `config.json` that goes beside a graph: what a reader of the graph has to know of its positions.
pub fn config_json(spec: &DecoderSpec) -> String {
    let mut config = json!({ "max_position_embeddings": spec.max_positions });
    if let Some(original) = spec.original_positions() {
        config["original_max_position_embeddings"] = json!(original);
    }
    config.to_string()
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

/// Writes to `path` what is called `target` at the end.
pub(super) fn write_watched(
    path: &Path,
    target: &Path,
    model: &DecoderModel,
    checkpoint: &Checkpoint,
    place: WeightsPlace,
    Onlooker { interrupt, on_work }: Onlooker<'_>,
) -> Result<Vec<(String, FileHash)>, CheckpointGraphError> {
    let n_bytes = model.n_bytes();
    let on_written = on_work(GraphWork::Writing {
        path: target,
        n_bytes,
    });
    let watch = Watch {
        interrupt,
        // Nodes and gaps are written too; the end is told when it is there.
        on_written: &|n_written| on_written(n_written.min(n_bytes - 1)),
    };
    let written = write_decoder(path, model, checkpoint, place, watch);
    on_written(n_bytes);
    written.map_err(|error| CheckpointGraphError::of_file(&checkpoint.dir, error))
}
