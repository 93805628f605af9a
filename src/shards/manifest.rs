//! `manifest.json`: summarizes a finished set.

use super::label_set::{LabelSet, existing_sidecars};
use super::names::{MANIFEST_NAME, SELECTION_NAME, plan_name, plan_path};
use super::plan::{FORMAT_VERSION, Plan};
use super::sidecar::{READ_AT_ONCE, RuntimeStamp, Sidecar, SidecarFile, Sidecars, check_sizes};
use super::{ShardsError, json};
use crate::storage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Missing shards that an error lists.
const LISTED: usize = 8;

/// A finished set: everything that its sidecars record. It depends only on them and the plans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Manifest {
    /// Version of the shard format.
    pub format_version: u32,
    /// Features that a reader must know in order to read these labels correctly.
    pub required_features: Vec<String>,
    /// The plans, in the order of their shards.
    pub segments: Vec<ManifestSegment>,
    /// Sequences of the set.
    pub n_rows: u64,
    /// Predicted positions of the set.
    pub n_targets: u64,
    /// Bytes of all Parquet files.
    pub n_bytes: u64,
    /// What made the shards: one runtime, unless mixing was allowed.
    pub runtimes: Vec<RuntimeStamp>,
    /// All sidecars, by shard number.
    pub shards: Vec<Sidecar>,
    /// `selection.parquet`, where the labels are of a selection; absent in manifests that were written
    /// before this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<SidecarFile>,
}

/// One plan of a set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ManifestSegment {
    /// The plan's file.
    pub plan: SidecarFile,
    /// The plan's fingerprint, which its sidecars repeat.
    pub plan_fingerprint: String,
    /// First labelled sequence.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// Its first shard.
    pub first_shard: u32,
    /// Its shards.
    pub n_shards: u32,
}

/// The part that tells which plans a manifest is of; it may list any number of shards.
#[derive(Deserialize)]
struct ManifestHead {
    segments: Vec<HeadSegment>,
}

#[derive(Deserialize)]
struct HeadSegment {
    plan_fingerprint: String,
}

impl Manifest {
    /// Reads the manifest of `dir`; `None` if the set is not finalized.
    ///
    /// # Errors
    /// A manifest that is damaged or of a later format.
    pub fn read(dir: &Path) -> Result<Option<Self>, ShardsError> {
        let path = dir.join(MANIFEST_NAME);
        let Some(bytes) = json::read_if_exists(&path)? else {
            return Ok(None);
        };
        let manifest: Manifest = json::from_bytes(&path, &bytes)?;
        super::plan::check_version(&path, manifest.format_version, &manifest.required_features)?;
        Ok(Some(manifest))
    }

    /// Fingerprints of the plans in the manifest of `dir`, without its shards; `None` if there is none.
    pub(super) fn read_fingerprints(dir: &Path) -> Result<Option<Vec<String>>, ShardsError> {
        let path = dir.join(MANIFEST_NAME);
        let Some(bytes) = json::read_if_exists(&path)? else {
            return Ok(None);
        };
        let head: ManifestHead = json::from_bytes(&path, &bytes)?;
        let fingerprint = |segment: HeadSegment| segment.plan_fingerprint;
        Ok(Some(head.segments.into_iter().map(fingerprint).collect()))
    }

    /// The manifest that `set` should have, or why it cannot have one yet.
    pub(super) fn collect(set: &LabelSet) -> Result<Self, ShardsError> {
        let shards = collect_sidecars(set)?;
        let segments: Result<_, ShardsError> = (0..set.segments.len())
            .map(|segment| describe_segment(set, segment))
            .collect();
        let mut runtimes: Vec<RuntimeStamp> = shards.iter().map(|s| s.runtime.clone()).collect();
        runtimes.sort();
        runtimes.dedup();
        let files = shards.iter().flat_map(|shard| &shard.files);
        Ok(Manifest {
            format_version: FORMAT_VERSION,
            required_features: set.segments[0].required_features.clone(),
            segments: segments?,
            n_rows: total(shards.iter().map(|shard| shard.rows)),
            n_targets: total(shards.iter().map(|shard| shard.n_targets)),
            n_bytes: total(files.map(|file| file.bytes)),
            runtimes,
            shards,
            selection: describe_selection_of(set)?,
        })
    }

    /// Like [`Manifest::collect`], for a comparison with `self`, which may predate a field.
    pub(super) fn collect_like(&self, set: &LabelSet) -> Result<Self, ShardsError> {
        let mut expected = Manifest::collect(set)?;
        if self.selection.is_none() {
            expected.selection = None;
        }
        Ok(expected)
    }
}

impl LabelSet {
    /// The manifest of a finished set: it lists every plan and shard, agrees with them and the sidecars, and the files
    /// have the sizes it records. Contents are not read.
    ///
    /// # Errors
    /// [`ShardsError::NotFinalized`]; [`ShardsError::ManifestDiffers`]; [`ShardsError::Sidecar`]; files that cannot be
    /// inspected.
    pub fn finished_manifest(&self) -> Result<Manifest, ShardsError> {
        let unfinished = |state: &str| ShardsError::NotFinalized {
            dir: self.dir.clone(),
            state: state.to_owned(),
        };
        let Some(manifest) = Manifest::read(&self.dir)? else {
            return Err(unfinished("is not finalized"));
        };
        let finalized = manifest.segments.iter().map(|s| s.plan_fingerprint.clone());
        if !finalized.eq(self.segments.iter().map(Plan::fingerprint)) {
            return Err(unfinished("was extended since it was finalized"));
        }
        let shards = manifest.shards.iter().map(|sidecar| sidecar.shard);
        if !shards.eq(0..self.n_shards()) {
            return Err(unfinished("has a manifest that does not list every shard"));
        }
        // Readers rely on its hashes and open the files it names.
        let expected = manifest.collect_like(self)?;
        if let Some(difference) =
            json::difference(&json::to_bytes(&manifest), &json::to_bytes(&expected))
        {
            return Err(ShardsError::ManifestDiffers {
                path: self.dir.join(MANIFEST_NAME),
                difference,
            });
        }
        let files = manifest.shards.iter().flat_map(|sidecar| &sidecar.files);
        check_sizes(&self.dir, files)?;
        Ok(manifest)
    }
}

/// A saturating sum of numbers from files, which may be anything.
fn total(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

/// The sidecars of a whole set. The directory is listed first, as a plan may claim any number of shards.
fn collect_sidecars(set: &LabelSet) -> Result<Vec<Sidecar>, ShardsError> {
    let existing = existing_sidecars(&set.dir)?;
    let missing = || {
        let shards = set.segments.iter().flat_map(Plan::shards);
        shards.filter(|shard| !existing.contains(shard))
    };
    let n_shards = u64::from(set.n_shards());
    let n_available = existing.range(..set.n_shards()).count() as u64;
    if n_available < n_shards {
        return Err(ShardsError::MissingShards {
            n_missing: n_shards - n_available,
            n_shards,
            first: missing().take(LISTED).collect(),
        });
    }
    let mut sidecars = Vec::new();
    for (segment, plan) in set.segments.iter().enumerate() {
        let mut n_targets = 0u64;
        let shards: Vec<u32> = plan.shards().collect();
        let of_plan = Sidecars::of(&set.dir, plan);
        for shards in shards.chunks(READ_AT_ONCE) {
            let read = of_plan.read_many(shards)?;
            for (sidecar, &shard) in read.into_iter().zip(shards) {
                let Some(sidecar) = sidecar else {
                    return Err(ShardsError::MissingShards {
                        n_missing: 1,
                        n_shards,
                        first: vec![shard],
                    });
                };
                n_targets = n_targets.saturating_add(sidecar.n_targets);
                sidecars.push(sidecar);
            }
        }
        check_targets(set, segment, plan, n_targets)?;
    }
    Ok(sidecars)
}

/// The copy of the selection, if the labels are of one.
fn describe_selection_of(set: &LabelSet) -> Result<Option<SidecarFile>, ShardsError> {
    if set.segments[0].sequences.selection.is_none() {
        return Ok(None);
    }
    let hash = storage::hash_file(&set.dir.join(SELECTION_NAME))?;
    Ok(Some(SidecarFile::new(SELECTION_NAME.to_owned(), hash)))
}

fn check_targets(set: &LabelSet, segment: usize, plan: &Plan, got: u64) -> Result<(), ShardsError> {
    let expected = plan.sequences.n_targets;
    if expected == got {
        return Ok(());
    }
    Err(ShardsError::Targets {
        path: plan_path(&set.dir, segment),
        expected,
        got,
    })
}

fn describe_segment(set: &LabelSet, segment: usize) -> Result<ManifestSegment, ShardsError> {
    let plan = &set.segments[segment];
    let hash = storage::hash_file(&plan_path(&set.dir, segment))?;
    Ok(ManifestSegment {
        plan: SidecarFile::new(plan_name(segment), hash),
        plan_fingerprint: plan.fingerprint(),
        start: plan.sequences.start,
        end: plan.sequences.end,
        first_shard: plan.layout.first_shard,
        n_shards: plan.layout.n_shards,
    })
}
