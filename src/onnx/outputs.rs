//! Finds the output that holds the logits.

use super::error::OnnxError;
use super::neighbours::Neighbours;
use super::types::{Dim, TensorInfo};
use std::path::Path;

/// Picks the wanted output, else `logits`, else the only candidate.
pub(super) fn choose_logits(
    path: &Path,
    outputs: &[TensorInfo],
    wanted: Option<&str>,
    neighbours: &Neighbours,
) -> Result<TensorInfo, OnnxError> {
    if let Some(wanted) = wanted {
        let output = outputs
            .iter()
            .find(|output| output.name == wanted)
            .ok_or_else(|| OnnxError::NoSuchOutput {
                path: path.to_owned(),
                wanted: wanted.to_owned(),
                found: list(outputs),
            })?;
        return check_named(path, output);
    }
    match outputs.iter().find(|output| output.name == "logits") {
        Some(output) => check_named(path, output),
        None => guess(path, outputs, neighbours),
    }
}

/// Checks an output chosen by name: its shape must fit or be undeclared.
fn check_named(path: &Path, output: &TensorInfo) -> Result<TensorInfo, OnnxError> {
    if output.dtype.is_logits_float() && output.rank() == Some(2) {
        return Err(OnnxError::LastPositionOnly {
            path: path.to_owned(),
            output: output.to_string(),
        });
    }
    let fits = output.rank().is_none_or(|rank| rank == 3);
    if !output.dtype.is_logits_float() || !fits {
        return Err(OnnxError::BadLogits {
            path: path.to_owned(),
            output: output.to_string(),
        });
    }
    Ok(output.clone())
}

fn guess(
    path: &Path,
    outputs: &[TensorInfo],
    neighbours: &Neighbours,
) -> Result<TensorInfo, OnnxError> {
    let floats = || {
        outputs
            .iter()
            .filter(|o| o.dtype.is_logits_float() && !is_cache(&o.name))
    };
    let rank_3: Vec<&TensorInfo> = floats().filter(|o| o.rank() == Some(3)).collect();
    let (hidden, candidates): (Vec<_>, Vec<_>) =
        rank_3.into_iter().partition(|o| is_hidden(o, neighbours));
    let path = path.to_owned();
    match (
        candidates.as_slice(),
        hidden.first(),
        floats().find(|o| o.rank() == Some(2)),
    ) {
        ([only], ..) => Ok((*only).clone()),
        ([], Some(hidden), _) => Err(OnnxError::HiddenStatesOnly {
            path,
            output: hidden.to_string(),
        }),
        ([], None, Some(flat)) => Err(OnnxError::LastPositionOnly {
            path,
            output: flat.to_string(),
        }),
        ([], None, None) => Err(OnnxError::NoLogits {
            path,
            found: list(outputs),
        }),
        (several, ..) => Err(OnnxError::AmbiguousLogits {
            path,
            candidates: several
                .iter()
                .map(|o| o.to_string())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

fn is_cache(name: &str) -> bool {
    name.starts_with("present") || name.starts_with("past") || name.contains("cache")
}

/// Whether an output holds hidden states, by its name or by the width in the configuration.
fn is_hidden(output: &TensorInfo, neighbours: &Neighbours) -> bool {
    let name = output.name.to_ascii_lowercase();
    let named = ["hidden", "embed", "encoder", "pooler"]
        .iter()
        .any(|part| name.contains(part));
    let width = output.dim(2).and_then(Dim::fixed);
    named || (width.is_some() && width == neighbours.hidden_size)
}

/// A list of tensors, for a message.
pub(super) fn list(tensors: &[TensorInfo]) -> String {
    if tensors.is_empty() {
        return "none".to_owned();
    }
    tensors
        .iter()
        .map(TensorInfo::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}
