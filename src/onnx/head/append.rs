//! From a model's file to its bytes with a head behind them.

use super::names::free_prefix;
use super::nodes::HeadGraph;
use crate::onnx::error::OnnxError;
use crate::onnx::types::{OpsetImport, TensorInfo};
use std::path::Path;

/// The oldest operator set with every operator that the head is made of (`ScatterElements`,
/// `GatherElements`, `TopK` with `sorted`).
pub const MIN_HEAD_OPSET: i64 = 11;

/// Protobuf's limit of one message.
const MAX_MODEL_BYTES: u64 = i32::MAX as u64;

/// What a head is to give.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadSpec<'a> {
    /// The model's logits `[B, T, n_logits]`, f32, f16 or bf16.
    pub logits: &'a TensorInfo,
    /// Logits a position, a padded head counted.
    pub n_logits: u64,
    /// V: the logits past it are left out.
    pub vocab_size: u64,
    /// M: ids ranked a position, 1 to V.
    pub n_ranked: u64,
    /// 1 / tau of each extra temperature.
    pub inv_taus: &'a [f32],
}

/// Names of a head's input and outputs, none of which the model had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Input i64 `[B, T, 1]`: the target of each position.
    pub targets: String,
    /// f32 `[B, T, M]`: the best logits, falling.
    pub ranked_logits: String,
    /// i64 `[B, T, M]`: their ids. Where logits are equal ONNX asks for the lower id first, at the
    /// border of M too; not every device does that.
    pub ranked_ids: String,
    /// f32 `[B, T, 1]`: the target's logit.
    pub target_logits: String,
    /// f32 `[B, T]`: sum of e^d over the ids that are not ranked, d = logit - max.
    pub other_sum: String,
    /// f32 `[B, T]`: sum of d e^d over them.
    pub other_weighted_sum: String,
    /// f32 `[B, T]` for each extra temperature: sum of e^(d / tau) over them.
    pub other_tempered_sums: Vec<String>,
}

impl Head {
    /// All outputs, in the order of the fields.
    pub fn outputs(&self) -> Vec<&str> {
        let fixed = [
            &self.ranked_logits,
            &self.ranked_ids,
            &self.target_logits,
            &self.other_sum,
            &self.other_weighted_sum,
        ];
        fixed
            .into_iter()
            .chain(&self.other_tempered_sums)
            .map(String::as_str)
            .collect()
    }
}

/// The bytes of the model at `path` with a head behind them, and the head's names. Weights in files
/// beside the model stay there.
///
/// # Errors
/// A file that cannot be read; a model of operators before [`MIN_HEAD_OPSET`]; one that is too
/// large for a single message already.
pub fn append_head(
    path: &Path,
    opset: &[OpsetImport],
    spec: &HeadSpec<'_>,
) -> Result<(Vec<u8>, Head), OnnxError> {
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

/// The version of ONNX's own operators; `ai.onnx` is another name of the empty domain.
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

fn head(graph: &HeadGraph, spec: &HeadSpec<'_>) -> Head {
    let tempered = |idx: usize| graph.name(&format!("other_tempered_sum_{idx}"));
    Head {
        targets: graph.name("targets"),
        ranked_logits: graph.name("ranked_logits"),
        ranked_ids: graph.name("ranked_ids"),
        target_logits: graph.name("target_logits"),
        other_sum: graph.name("other_sum"),
        other_weighted_sum: graph.name("other_weighted_sum"),
        other_tempered_sums: (0..spec.inv_taus.len()).map(tempered).collect(),
    }
}
