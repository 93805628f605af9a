//! From a checkpoint to a graph and its files.

use super::error::CheckpointGraphError;
use crate::decoder_file::{Watch, WeightsPlace, write_decoder};
use crate::interrupt::Interrupt;
use crate::onnx::decoder::{DecoderModel, DecoderSpec, GraphOptions, decoder_model};
use crate::pretrained::Checkpoint;
use crate::storage::FileHash;
use serde_json::json;
use std::path::Path;

/// The slow steps, which are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphWork<'a> {
    /// Waiting for another process that is writing into the cache, perhaps this same graph.
    Waiting {
        /// The cache.
        cache: &'a Path,
    },
    /// A graph is being written.
    Writing {
        /// Its final path.
        path: &'a Path,
        /// Bytes of its weights.
        n_bytes: u64,
    },
}

/// Called when work begins. The closure that it returns is called with the bytes written so far, and at the end
/// with exactly [`GraphWork::Writing::n_bytes`].
pub type OnWork<'a> = &'a dyn Fn(GraphWork<'_>) -> Box<dyn Fn(u64)>;

/// Observes the making of a graph, and may stop it.
#[derive(Clone, Copy)]
pub struct GraphObserver<'a> {
    /// Requests a stop.
    pub interrupt: &'a Interrupt,
    /// Called when a slow step begins.
    pub on_work: OnWork<'a>,
}

/// Writes the graph of a checkpoint, replacing any file at `path`. Returns the name and hash of each file.
///
/// # Errors
/// [`CheckpointGraphError`]; the earlier file is then kept.
pub fn export_checkpoint(
    checkpoint: &Checkpoint,
    path: &Path,
    options: GraphOptions,
    place: WeightsPlace,
    observer: GraphObserver<'_>,
) -> Result<Vec<(String, FileHash)>, CheckpointGraphError> {
    let model = graph_of(checkpoint, options)?;
    write_observed(path, path, &model, checkpoint, place, observer)
}

/// The `config.json` next to a graph, which gives its limits on positions.
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

/// Writes to `path` a graph that will be renamed to `target`.
pub(super) fn write_observed(
    path: &Path,
    target: &Path,
    model: &DecoderModel,
    checkpoint: &Checkpoint,
    place: WeightsPlace,
    GraphObserver { interrupt, on_work }: GraphObserver<'_>,
) -> Result<Vec<(String, FileHash)>, CheckpointGraphError> {
    let n_bytes = model.n_bytes();
    let on_written = on_work(GraphWork::Writing {
        path: target,
        n_bytes,
    });
    let watch = Watch {
        interrupt,
        // Nodes and gaps count too, so the total is reported only at the end.
        on_written: &|n_written| on_written(n_written.min(n_bytes - 1)),
    };
    let written = write_decoder(path, model, checkpoint, place, watch);
    on_written(n_bytes);
    written.map_err(|error| CheckpointGraphError::of_file(&checkpoint.dir, error))
}
