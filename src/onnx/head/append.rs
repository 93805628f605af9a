//! From a model's file to its bytes with a head appended.

use super::names::free_prefix;
use super::nodes::HeadGraph;
use super::spec::{HeadSpec, ReductionHead};
use crate::onnx::error::OnnxError;
use crate::onnx::types::OpsetImport;
use std::path::Path;

/// The oldest operator set that has all operators of the head (`ScatterElements`, `GatherElements`, `TopK` with
/// `sorted`).
pub const MIN_HEAD_OPSET: i64 = 11;

/// Protobuf's limit on one message, in bytes.
const MAX_MODEL_BYTES: u64 = i32::MAX as u64;

/// The bytes of the model at `path` with a head appended, and the head's names. Weights in files
/// next to the model stay there.
///
/// # Errors
/// A file that cannot be read; a model with an operator set older than [`MIN_HEAD_OPSET`]; one that is too
/// large for a single message with the head.
pub fn append_head(
    path: &Path,
    opset: &[OpsetImport],
    spec: &HeadSpec<'_>,
) -> Result<(Vec<u8>, ReductionHead), OnnxError> {
    let opset = standard_opset(path, opset)?;
    let mut bytes = std::fs::read(path).map_err(|source| OnnxError::Io {
        action: "read the model",
        path: path.to_owned(),
        source,
    })?;
    let prefix = free_prefix(&bytes).map_err(|_| OnnxError::Truncated {
        path: path.to_owned(),
        n_bytes: bytes.len() as u64,
    })?;
    let mut graph = HeadGraph::new(prefix, opset);
    graph.build(spec);
    bytes.append(&mut graph.encode());
    match bytes.len() as u64 {
        n_bytes if n_bytes > MAX_MODEL_BYTES => Err(OnnxError::HeadTooLarge {
            path: path.to_owned(),
            n_bytes,
        }),
        _ => Ok((bytes, head(&graph, spec))),
    }
}

/// The version of the standard operators; `ai.onnx` is another name for the empty domain.
fn standard_opset(path: &Path, imports: &[OpsetImport]) -> Result<i64, OnnxError> {
    let is_standard = |import: &&OpsetImport| matches!(import.domain.as_str(), "" | "ai.onnx");
    match imports.iter().find(is_standard) {
        Some(import) if import.version >= MIN_HEAD_OPSET => Ok(import.version),
        found => Err(OnnxError::HeadOpset {
            path: path.to_owned(),
            found: found.map_or("none".to_owned(), |import| import.version.to_string()),
        }),
    }
}

fn head(graph: &HeadGraph, spec: &HeadSpec<'_>) -> ReductionHead {
    let tempered = |idx: usize| graph.name(&format!("other_tempered_sum_{idx}"));
    ReductionHead {
        targets: graph.name("targets"),
        ranked_logits: graph.name("ranked_logits"),
        ranked_ids: graph.name("ranked_ids"),
        target_logits: graph.name("target_logits"),
        other_sum: graph.name("other_sum"),
        other_weighted_sum: graph.name("other_weighted_sum"),
        other_tempered_sums: (0..spec.inv_taus.len()).map(tempered).collect(),
    }
}
