//! Names of the files in a directory of labels.

use super::columns::FileKind;
use std::path::{Path, PathBuf};

/// Name of the manifest in a label directory.
pub const MANIFEST_NAME: &str = "manifest.json";
/// Name of the card in a label directory.
pub const CARD_NAME: &str = "README.md";
/// Name of the tokenizer next to a plan, if one was available.
pub const TOKENIZER_NAME: &str = "tokenizer.json";
/// Name of the selection's copy in a directory of labels of that selection.
pub const SELECTION_NAME: &str = "selection.parquet";

/// `plan.json`, `plan-00001.json`, ...
pub(super) fn plan_name(segment: usize) -> String {
    match segment {
        0 => "plan.json".to_owned(),
        n => format!("plan-{n:05}.json"),
    }
}

pub(super) fn plan_path(dir: &Path, segment: usize) -> PathBuf {
    dir.join(plan_name(segment))
}

/// `scores/part-00000.parquet`, `positions/part-00000.parquet`.
pub(super) fn file_name(file: FileKind, shard: u32) -> String {
    format!("{}/{}", file.dir(), part_name(shard))
}

/// `part-00000.parquet`.
pub(super) fn part_name(shard: u32) -> String {
    format!("part-{shard:05}.parquet")
}

/// The shard of the Parquet files called `name`.
pub(super) fn shard_of_part(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("part-")?.strip_suffix(".parquet")?;
    let shard = digits.parse().ok()?;
    (part_name(shard) == name).then_some(shard)
}

/// `part-00000.json`.
pub(super) fn sidecar_name(shard: u32) -> String {
    format!("part-{shard:05}.json")
}

/// The shard of the sidecar called `name`.
pub(super) fn shard_of(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("part-")?.strip_suffix(".json")?;
    let shard = digits.parse().ok()?;
    (sidecar_name(shard) == name).then_some(shard)
}

pub(super) fn sidecar_path(dir: &Path, shard: u32) -> PathBuf {
    dir.join(sidecar_name(shard))
}
