//! Teachers behind URLs: copied to this machine, since weights are mapped and ONNX Runtime reads files.

use super::error::LabelError;
use super::teacher_path::{SUBFOLDER, TeacherPath};
use crate::checkpoint_graph::CheckpointGraphError;
use crate::onnx;
use crate::pretrained::{is_beside_weights, local_checkpoint};
use crate::storage;
use std::path::{Path, PathBuf};

/// `teacher` on this machine: itself or, of a URL, a copy in the cache with what lies beside it and is read.
///
/// # Errors
/// What the store says; a file that is no model.
pub(super) fn local_teacher(teacher: TeacherPath) -> Result<TeacherPath, LabelError> {
    let path = match teacher.is_checkpoint {
        _ if !storage::is_url(&teacher.path) => return Ok(teacher),
        true => local_checkpoint(&teacher.path).map_err(CheckpointGraphError::from)?,
        false => local_model(&teacher.path)?,
    };
    Ok(TeacherPath { path, ..teacher })
}

/// An ONNX file with its external data. The tokenizer and the configuration are beside it, or above a folder
/// that is called `onnx`.
fn local_model(url: &Path) -> Result<PathBuf, LabelError> {
    let dir = url.parent().unwrap_or(url);
    let (root, below) = match dir.parent() {
        Some(above) if dir.ends_with(SUBFOLDER) => (above, format!("{SUBFOLDER}/")),
        _ => (dir, String::new()),
    };
    let name = url.file_name().unwrap_or_default().to_string_lossy();
    let locations = onnx::external_locations(&storage::local_copy(url)?)?;
    let is_of_model = |beside: &str| {
        let location = beside.trim_start_matches("./");
        beside == name
            || is_beside_weights(beside)
            || locations.iter().any(|known| known.trim_start_matches("./") == location)
    };
    let copy = storage::local_copy_of(root, |beside| {
        is_beside_weights(beside) || beside.strip_prefix(&below).is_some_and(is_of_model)
    })?;
    Ok(copy.join(below).join(name.as_ref()))
}
