//! Checks paths that should be a directory of labels: if two paths were mixed up, the message tells
//! what was given, and what to give.

use super::ShardsError;
use super::columns::FileKind;
use super::names::{MANIFEST_NAME, plan_name, shard_of};
use crate::storage::{self, Source};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How many names a message lists.
const N_NAMED: usize = 3;

/// Refuses a path that is not a directory. A missing one passes.
pub(super) fn check_directory(dir: &Path) -> Result<(), ShardsError> {
    if storage::is_url(dir) {
        // A prefix is a directory of the objects below it; an object of that very name is not one.
        return match storage::is_file(dir)? {
            true => Err(not_a_directory(dir)),
            false => Ok(()),
        };
    }
    match storage::metadata_if_exists(dir)? {
        Some(found) if found.is_dir => Ok(()),
        Some(_) => Err(not_a_directory(dir)),
        // A path that goes through a file leads nowhere.
        None => match dir.ancestors().find(|path| path.is_file()) {
            Some(file) => Err(not_a_directory(file)),
            None => Ok(()),
        },
    }
}

fn not_a_directory(path: &Path) -> ShardsError {
    let remedy = match label_dir_of(path) {
        Some(dir) => format!("give {}", dir.display()),
        None => "give the directory that contains plan.json".to_owned(),
    };
    ShardsError::NotADirectory {
        path: path.to_path_buf(),
        found: kind_of(path),
        remedy,
    }
}

/// What a file is, by its name and first bytes.
fn kind_of(path: &Path) -> &'static str {
    let name = path.file_name().map(|name| name.to_string_lossy());
    let name = name.as_deref().unwrap_or("");
    let start = Source::open(path).and_then(|source| source.read_at(0, 4));
    let is_parquet = start.is_ok_and(|start| *start == *b"PAR1");
    match name {
        MANIFEST_NAME => "the manifest of labels",
        name if shard_of(name).is_some() => "the sidecar of a shard of labels",
        name if name.starts_with("plan") && name.ends_with(".json") => "a plan of labels",
        _ if is_parquet => "a Parquet file",
        name if name.ends_with(".json") => "a JSON file",
        _ => "a file",
    }
}

/// The directory of labels that a file or a folder in it belongs to.
fn label_dir_of(path: &Path) -> Option<PathBuf> {
    let ancestors = path.ancestors().skip(1).take(2);
    let dirs = ancestors.map(|dir| match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    });
    let has_plan = |dir: &&Path| storage::is_file(&dir.join(plan_name(0))).unwrap_or(false);
    dirs.into_iter().find(has_plan).map(Path::to_path_buf)
}

/// Opens a selection of sequences or documents.
///
/// # Errors
/// [`ShardsError::NoSelection`]; a file that cannot be opened.
pub(super) fn open_selection(path: &Path) -> Result<Source, ShardsError> {
    Source::open(path).map_err(|error| match error.is_not_found() {
        true => ShardsError::NoSelection { path: path.into() },
        false => error.into(),
    })
}

/// The error of a directory that has no plan.
pub(super) fn no_plan(dir: &Path) -> ShardsError {
    let found = match storage::list(dir) {
        Err(error) if error.is_not_found() => "does not exist".to_owned(),
        Err(error) => format!("cannot be opened ({error})"),
        Ok(entries) => {
            let names = entries
                .into_iter()
                .filter_map(|entry| entry.name.into_string().ok());
            holds(names.filter(|name| !name.starts_with('.')).collect())
        }
    };
    let is_part = FileKind::ALL.iter().any(|kind| dir.ends_with(kind.dir()));
    let found = match label_dir_of(dir).filter(|_| is_part) {
        Some(labels) => format!("{found}; it is part of {}", labels.display()),
        None => found,
    };
    ShardsError::NoPlan {
        dir: dir.to_path_buf(),
        found,
    }
}

fn holds(mut names: Vec<String>) -> String {
    if names.is_empty() {
        return "is empty".to_owned();
    }
    names.sort_unstable();
    if names.len() > N_NAMED {
        let n_more = names.len() - N_NAMED;
        names.truncate(N_NAMED);
        names.push(format!("{n_more} more"));
    }
    format!("contains {}, but no plan.json", names.join(", "))
}

/// A file in a directory listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) n_bytes: u64,
    /// When it was last written; `None` if unknown.
    pub(super) modified: Option<SystemTime>,
}

/// Names in a directory, without hidden ones (temporaries); none if it does not exist.
pub(super) fn names_in(dir: &Path) -> Result<Vec<String>, ShardsError> {
    Ok(entries_in(dir)?
        .into_iter()
        .map(|entry| entry.name)
        .collect())
}

/// The same, with sizes and times.
pub(super) fn entries_in(dir: &Path) -> Result<Vec<Entry>, ShardsError> {
    let entries = match storage::list(dir) {
        Err(error) if error.is_not_found() => return Ok(Vec::new()),
        entries => entries?,
    };
    let entries = entries.into_iter().map(|entry| Entry {
        name: entry.name.to_string_lossy().into_owned(),
        n_bytes: entry.n_bytes,
        modified: entry.modified,
    });
    Ok(entries
        .filter(|entry| !entry.name.starts_with('.'))
        .collect())
}
