//! The files that a model keeps weights in, before anything else is asked of it.

use super::error::OnnxError;
use super::signature::read_outline;
use std::collections::BTreeSet;
use std::path::Path;

/// Where the weights of the model at `path` are that are not in it: locations as it spells them, relative to its
/// folder. Whether they are there, and inside it, is checked when the model is opened.
///
/// # Errors
/// A file that cannot be read or is no model.
pub fn external_locations(path: &Path) -> Result<BTreeSet<String>, OnnxError> {
    let external = read_outline(path)?.external.into_iter();
    Ok(external.map(|tensor| tensor.location).collect())
}
