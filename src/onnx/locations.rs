//! The files that hold a model's weights, read before anything else about it.

use super::error::OnnxError;
use super::signature::read_outline;
use std::collections::BTreeSet;
use std::path::Path;

/// Locations of the external weights of the model at `path`, as spelled in the model, relative to its folder.
/// Whether they exist and are inside that folder is checked when the model is opened.
///
/// # Errors
/// A file that cannot be read or is not a model.
pub fn external_locations(path: &Path) -> Result<BTreeSet<String>, OnnxError> {
    let external = read_outline(path)?.external.into_iter();
    Ok(external.map(|tensor| tensor.location).collect())
}
