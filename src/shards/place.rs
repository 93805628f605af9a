//! What a path is that is said to be a directory of labels: whoever mixed up two paths is told what
//! they gave, and what to give.

use super::ShardsError;
use super::columns::FileKind;
use super::names::{MANIFEST_NAME, plan_name, shard_of};
use crate::storage::StorageError;
use std::fs::DirEntry;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Names that a message lists.
const N_NAMED: usize = 3;

/// Refuses a path that is something else than a directory. One that is not there passes.
pub(super) fn check_directory(dir: &Path) -> Result<(), ShardsError> {
    match std::fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(not_a_directory(dir)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A path through a file.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let file = dir.ancestors().find(|path| path.is_file());
            Err(not_a_directory(file.unwrap_or(dir)))
        }
        Err(source) => Err(StorageError::io("look at", dir, source).into()),
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

/// What a file is, by its name and how it begins.
fn kind_of(path: &Path) -> &'static str {
    let name = path.file_name().map(|name| name.to_string_lossy());
    let name = name.as_deref().unwrap_or("");
    let mut start = [0; 4];
    let is_parquet = std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut start))
        .is_ok_and(|()| start == *b"PAR1");
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
    let has_plan = |dir: &&Path| dir.join(plan_name(0)).is_file();
    dirs.into_iter().find(has_plan).map(Path::to_path_buf)
}

/// The error of a directory that has no plan.
pub(super) fn no_plan(dir: &Path) -> ShardsError {
    let found = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be opened ({error})"),
        Ok(entries) => {
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
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

/// What a directory says of a file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) n_bytes: u64,
    /// When it was last written; `None` where that is not known.
    pub(super) modified: Option<SystemTime>,
}

/// Names in a directory, without hidden ones (temporaries); none if it is not there.
pub(super) fn names_in(dir: &Path) -> Result<Vec<String>, ShardsError> {
    each_in(dir, |name, _| Ok(Some(name)))
}

/// The same with sizes and times. What vanishes meanwhile is left out.
pub(super) fn entries_in(dir: &Path) -> Result<Vec<Entry>, ShardsError> {
    each_in(dir, |name, entry| {
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            metadata => metadata?,
        };
        Ok(Some(Entry {
            name,
            n_bytes: metadata.len(),
            modified: metadata.modified().ok(),
        }))
    })
}

fn each_in<T>(
    dir: &Path,
    read: impl Fn(String, &DirEntry) -> io::Result<Option<T>>,
) -> Result<Vec<T>, ShardsError> {
    let io = |source| StorageError::io("list", dir, source);
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(io(source).into()),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(io)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.extend(read(name, &entry).map_err(io)?);
        }
    }
    Ok(found)
}
