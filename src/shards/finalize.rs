//! Completes a set: its manifest, and the files that go with it.

use super::label_set::{LabelSet, sweep};
use super::manifest::Manifest;
use super::names::MANIFEST_NAME;
use super::sidecar::check_sizes;
use super::{ShardsError, card, json};
use crate::storage;
use std::path::Path;

/// Writes the manifest of `dir`, replacing an earlier one, and removes what killed runs left. The
/// sizes of all files are compared with the sidecars; contents are left to `verify`.
///
/// # Errors
/// [`ShardsError::MissingShards`]; [`ShardsError::MixedRuntimes`] unless `allow_mixed_runtime`;
/// [`ShardsError::Targets`]; files that do not match their sidecars.
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
    // An equal manifest stays untouched, so that finalizing twice changes nothing on disk.
    if json::read_if_exists(&path)?.as_deref() != Some(&bytes) {
        storage::replace(&path, &bytes)?;
    }
    card::write(&set, &manifest)?;
    Ok(manifest)
}
