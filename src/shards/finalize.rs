//! The end of a set: its manifest, and what goes with it.

use super::label_set::{LabelSet, sweep};
use super::manifest::Manifest;
use super::names::MANIFEST_NAME;
use super::sidecar::check_sizes;
use super::{ShardsError, card, json};
use crate::storage;
use std::path::Path;

/// Writes the manifest of `dir`, instead of an earlier one, and sweeps what killed runs left.
/// Sizes of all files are checked against the sidecars; contents are `verify`'s matter.
///
/// # Errors
/// [`ShardsError::MissingShards`]; [`ShardsError::MixedRuntimes`] unless `allow_mixed_runtime`;
/// [`ShardsError::Targets`]; files that are not what their sidecars say.
pub fn finalize(dir: &Path, allow_mixed_runtime: bool) -> Result<Manifest, ShardsError> {
    let set = LabelSet::open(dir)?;
    let manifest = Manifest::collect(&set)?;
    if manifest.runtimes.len() > 1 && !allow_mixed_runtime {
        return Err(ShardsError::MixedRuntimes {
            runtimes: manifest.runtimes.iter().map(ToString::to_string).collect(),
        });
    }
    check_sizes(dir, manifest.shards.iter().flat_map(|shard| &shard.files))?;
    sweep(dir)?;
    let path = dir.join(MANIFEST_NAME);
    let bytes = json::to_bytes(&manifest);
    // An equal manifest stays as it is, so that finalizing twice changes nothing on the disk.
    if json::read_if_there(&path)?.as_deref() != Some(&bytes) {
        storage::replace(&path, &bytes)?;
    }
    card::write(&set, &manifest)?;
    Ok(manifest)
}
