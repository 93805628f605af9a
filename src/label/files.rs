//! Input files as recorded in the plan.

use super::error::LabelError;
use crate::shards::{LabelSet, Plan, PlanFile};
use crate::storage::{self, FileHash, StorageError};
use crate::tokens::TokenCorpus;
use std::path::{Path, PathBuf};

/// Over the contents only, so that renaming a file changes nothing.
pub(super) fn fingerprint(files: &[PlanFile]) -> String {
    storage::fingerprint_of(files.iter().map(|file| file.blake3.as_str()))
}

/// Hashes files, except those that `known` has with the same size and sampled blocks.
pub(super) fn identify(paths: &[PathBuf], known: &[PlanFile]) -> Result<Vec<PlanFile>, LabelError> {
    let identify = |path: &PathBuf| identify_one(path, known, || storage::hash_file(path));
    paths.iter().map(identify).collect()
}

/// Like [`identify`], for token files: the hash of one that is read in blocks is not computed again.
pub(super) fn identify_corpus(
    corpus: &TokenCorpus,
    known: &[PlanFile],
) -> Result<Vec<PlanFile>, LabelError> {
    let paths = corpus.local_files().iter().enumerate();
    let identify =
        |(idx, path): (usize, &PathBuf)| identify_one(path, known, || corpus.file_hash(idx));
    paths.map(identify).collect()
}

fn identify_one(
    path: &Path,
    known: &[PlanFile],
    hash: impl FnOnce() -> Result<FileHash, StorageError>,
) -> Result<PlanFile, LabelError> {
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned();
    let sampled_blake3 = storage::sampled_blake3(path)?;
    let unchanged = |file: &&PlanFile| file.name == name && file.sampled_blake3 == sampled_blake3;
    if let Some(file) = known.iter().find(unchanged) {
        return Ok(file.clone());
    }
    Ok(plan_file(name, hash()?, sampled_blake3))
}

pub(super) fn plan_file(name: String, hash: FileHash, sampled_blake3: String) -> PlanFile {
    PlanFile {
        name,
        bytes: hash.bytes,
        blake3: hash.blake3,
        sampled_blake3,
    }
}

/// The first plan in the directory, if there is one.
pub(super) fn known_plan(output: &Path) -> Result<Option<Plan>, LabelError> {
    let set = LabelSet::open_to_extend(output)?;
    Ok(set.and_then(|set| set.segments.into_iter().next()))
}
