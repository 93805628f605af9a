//! The cache: finds, checks and makes entries.

use super::error::CheckpointGraphError;
use super::export::{GraphObserver, GraphWork, config_json, graph_of, write_observed};
use crate::decoder_file::WeightsPlace;
use crate::onnx::decoder::{DecoderModel, GRAPH_VERSION, GraphOptions};
use crate::pretrained::{CONFIG_JSON, Checkpoint};
use crate::storage::{
    self, FileHash, Lock, StorageError, checked_json, create_if_absent, fingerprint_of, free_bytes,
    from_checked_json, hash_file, host, publish_dir, remove_tree, replace_dir, try_lock_dir,
};
use serde::{Deserialize, Serialize};
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MODEL: &str = "model.onnx";
const ENTRY: &str = "entry.json";

/// Hex digits of an entry's name: 128 bits.
const NAME_DIGITS: usize = 32;
/// Bytes allowed for everything but weights: nodes, names, gaps between tensors.
const OVERHEAD_BYTES: u64 = 16 << 20;
/// Polling interval for a lock that another process holds.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);
/// After this long without a change, another machine's directory counts as abandoned.
const ABANDONED_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Permissions are left to the process's umask, since tasks of several users may share a cache.
const DIR_MODE: u32 = 0o777;

/// A graph in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedGraph {
    /// Its ONNX file.
    pub model: PathBuf,
    /// Whether this call made it.
    pub is_new: bool,
    /// Size and BLAKE3 of it and of the files next to it, by name.
    pub files: Vec<(String, FileHash)>,
}

/// The files of an entry, except the one that lists them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    files: Vec<EntryFile>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EntryFile {
    name: String,
    #[serde(flatten)]
    hash: FileHash,
}

/// The graph of `checkpoint` in the directory `cache`, made if it is missing or damaged. `sources` are the
/// BLAKE3 of the checkpoint's files, in order.
///
/// # Errors
/// [`CheckpointGraphError`]; too little disk space is reported before anything is written.
pub fn cached_graph<'a>(
    checkpoint: &Checkpoint,
    sources: impl Iterator<Item = &'a str>,
    options: GraphOptions,
    cache: &Path,
    observer: GraphObserver<'_>,
) -> Result<CachedGraph, CheckpointGraphError> {
    // The description is hashed too: if the same files are read differently, the graph differs.
    let description = format!("{:?}", checkpoint.spec);
    let texts = [&*description, &config_json(&checkpoint.spec)];
    let entry = cache.join(entry_name(sources, texts, options));
    if let Some(cached) = whole_entry(&entry) {
        return Ok(cached);
    }
    let model = graph_of(checkpoint, options)?;
    let io = |source| StorageError::io("create", cache, source);
    std::fs::create_dir_all(cache).map_err(io)?;
    let lock = wait_for_lock(cache, &entry, observer)?;
    if let Some(cached) = whole_entry(&entry) {
        return Ok(cached);
    }
    // Without locks their makers may still be running, so leftovers stay.
    if lock.is_some() {
        sweep(&entry)?;
    }
    make(checkpoint, &model, &entry, observer)
}

fn entry_name<'a>(
    sources: impl Iterator<Item = &'a str>,
    texts: [&str; 2],
    options: GraphOptions,
) -> String {
    let version = GRAPH_VERSION.to_string();
    let mut all: Vec<&str> = sources.collect();
    all.extend([options.dialect.word(), options.weights.word(), &version]);
    all.extend(texts);
    let all = fingerprint_of(all.into_iter());
    let (_, hex) = all.split_once(':').expect("a fingerprint has a prefix");
    hex[..NAME_DIGITS].to_owned()
}

/// The entry, if every file matches its hash. This reads all of it.
fn whole_entry(entry: &Path) -> Option<CachedGraph> {
    let bytes = storage::read(&entry.join(ENTRY)).ok()?;
    let recorded = from_checked_json::<Entry>(&bytes).ok()?;
    let is_whole = |file: &EntryFile| {
        let path = entry.join(&file.name);
        let has_size = path.metadata().is_ok_and(|m| m.len() == file.hash.bytes);
        has_size && hash_file(&path).is_ok_and(|hash| hash == file.hash)
    };
    let is_whole = !recorded.files.is_empty() && recorded.files.iter().all(is_whole);
    is_whole.then(|| graph(entry, false, recorded.files))
}

fn graph(entry: &Path, is_new: bool, files: Vec<EntryFile>) -> CachedGraph {
    CachedGraph {
        model: entry.join(MODEL),
        is_new,
        files: files.into_iter().map(|f| (f.name, f.hash)).collect(),
    }
}

/// The lock of the cache, once no other process holds it; `None` if the filesystem has no locks.
fn wait_for_lock(
    cache: &Path,
    entry: &Path,
    observer: GraphObserver<'_>,
) -> Result<Option<File>, CheckpointGraphError> {
    let mut is_told = false;
    loop {
        match try_lock_dir(cache)? {
            Lock::Ours(lock) => return Ok(Some(lock)),
            Lock::Unknown(_) => return Ok(None),
            Lock::Theirs if observer.interrupt.is_requested() => {
                let path = entry.join(MODEL);
                return Err(CheckpointGraphError::Interrupted { path });
            }
            Lock::Theirs if !is_told => {
                let _ = (observer.on_work)(GraphWork::Waiting { cache });
                is_told = true;
            }
            Lock::Theirs => std::thread::sleep(LOCK_INTERVAL),
        }
    }
}

/// Prefix of the temporary directories in which this entry is made.
fn part_prefix(entry: &Path) -> String {
    let name = entry.file_name().unwrap_or_default().to_string_lossy();
    format!(".{name}.")
}

/// Removes leftovers of killed makers of this entry. The holder of the lock is the only maker, unless another
/// machine sees no locks on this filesystem.
fn sweep(entry: &Path) -> Result<(), StorageError> {
    let cache = entry.parent().unwrap_or(Path::new("."));
    let of_entry = part_prefix(entry);
    let of_host = format!("{of_entry}{}.", host());
    let io = |source| StorageError::io("list", cache, source);
    for found in std::fs::read_dir(cache).map_err(io)? {
        let found = found.map_err(io)?;
        let name = found.file_name();
        let name = name.to_string_lossy();
        let is_old = || {
            let age = found.metadata().ok()?.modified().ok()?.elapsed().ok()?;
            Some(age > ABANDONED_AFTER)
        };
        let is_dead = || name.starts_with(&of_host) || is_old().unwrap_or(false);
        if name.starts_with(&of_entry) && is_dead() {
            remove_tree(&found.path())?;
        }
    }
    Ok(())
}

fn make(
    checkpoint: &Checkpoint,
    model: &DecoderModel,
    entry: &Path,
    observer: GraphObserver<'_>,
) -> Result<CachedGraph, CheckpointGraphError> {
    let cache = entry.parent().unwrap_or(Path::new("."));
    check_room(cache, model.n_bytes() + OVERHEAD_BYTES)?;
    let io = |source| StorageError::io("create a directory in", cache, source);
    // Removed on drop unless renamed by then.
    let part = tempfile::Builder::new()
        .prefix(&format!("{}{}.", part_prefix(entry), host()))
        .permissions(Permissions::from_mode(DIR_MODE))
        .tempdir_in(cache)
        .map_err(io)?;
    let (at, place) = (part.path().join(MODEL), WeightsPlace::External);
    let target = entry.join(MODEL);
    let mut hashes = write_observed(&at, &target, model, checkpoint, place, observer)?;
    let config = part.path().join(CONFIG_JSON);
    create_if_absent(&config, config_json(&checkpoint.spec).as_bytes())?;
    hashes.push((CONFIG_JSON.to_owned(), hash_file(&config)?));
    let file = |(name, hash)| EntryFile { name, hash };
    let files = hashes.into_iter().map(file).collect();
    publish(part.path(), entry, Entry { files })
}

fn check_room(cache: &Path, n_bytes: u64) -> Result<(), CheckpointGraphError> {
    match free_bytes(cache) {
        Some(n_free) if n_free < n_bytes => Err(CheckpointGraphError::NoRoom {
            dir: cache.to_owned(),
            n_bytes,
            n_free,
        }),
        _ => Ok(()),
    }
}

/// Renames the directory to the entry's name. Without locks another process may have published the entry
/// meanwhile: it is kept if intact, since it may be in use, and replaced if damaged.
fn publish(
    part: &Path,
    entry: &Path,
    contents: Entry,
) -> Result<CachedGraph, CheckpointGraphError> {
    let json = checked_json(&contents).expect("an entry has string keys only");
    create_if_absent(&part.join(ENTRY), &json)?;
    if publish_dir(part, entry).is_err() {
        if let Some(cached) = whole_entry(entry) {
            return Ok(cached);
        }
        replace_dir(part, entry, &part.with_extension("old"))?;
    }
    Ok(graph(entry, true, contents.files))
}

#[cfg(test)]
mod tests;
