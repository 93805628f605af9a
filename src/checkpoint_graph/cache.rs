//! The cache: entries found, checked, made.

use super::error::CheckpointGraphError;
use super::export::graph_of;
use crate::decoder_file::{WeightsPlace, write_decoder};
use crate::interrupt::Interrupt;
use crate::onnx::decoder::{DecoderModel, GRAPH_VERSION, GraphOptions};
use crate::pretrained::Checkpoint;
use crate::storage::{
    FileHash, StorageError, checked_json, create_if_absent, fingerprint_of, free_bytes,
    from_checked_json, hash_file, lock_dir, publish_dir, remove_tree,
};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MODEL: &str = "model.onnx";
const CONFIG: &str = "config.json";
const ENTRY: &str = "entry.json";
/// Ends the name of an entry in work.
const IN_WORK: &str = ".part";

/// Hex digits of an entry's name: 128 bits.
const NAME_DIGITS: usize = 32;
/// Bytes for what is not weights: nodes, names, the gaps between tensors.
const OVERHEAD_BYTES: u64 = 16 << 20;
/// Between two looks at a lock that another process holds.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// A graph in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedGraph {
    /// Its ONNX file.
    pub model: PathBuf,
    /// Whether this call made it.
    pub is_new: bool,
}

/// What an entry holds, beside the file that says so.
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

/// The graph of `checkpoint` in the directory `cache`, made if it is not there or not whole. `sources` are the
/// BLAKE3 of the checkpoint's files, in order.
///
/// # Errors
/// [`CheckpointGraphError`]: too little room is told before anything is written.
pub fn cached_graph<'a>(
    checkpoint: &Checkpoint,
    sources: impl Iterator<Item = &'a str>,
    options: GraphOptions,
    cache: &Path,
    interrupt: &Interrupt,
) -> Result<CachedGraph, CheckpointGraphError> {
    // The description too: another reading of the same files is another graph.
    let description = format!("{:?}", checkpoint.spec);
    let name = entry_name(sources, &description, options);
    let entry = cache.join(&name);
    if is_whole(&entry) {
        return Ok(found(&entry));
    }
    let model = graph_of(checkpoint, options)?;
    let io = |source| StorageError::io("create", cache, source);
    std::fs::create_dir_all(cache).map_err(io)?;
    let _lock = wait_for_lock(cache, &entry, interrupt)?;
    if is_whole(&entry) {
        return Ok(found(&entry));
    }
    sweep(cache, &name)?;
    remove_tree(&entry)?;
    make(checkpoint, &model, cache, &name, interrupt)
}

fn found(entry: &Path) -> CachedGraph {
    CachedGraph {
        model: entry.join(MODEL),
        is_new: false,
    }
}

fn entry_name<'a>(
    sources: impl Iterator<Item = &'a str>,
    description: &str,
    options: GraphOptions,
) -> String {
    let version = GRAPH_VERSION.to_string();
    let mut all: Vec<&str> = sources.collect();
    let (dialect, weights) = (options.dialect.word(), options.weights.word());
    all.extend([dialect, weights, &version, description]);
    let all = fingerprint_of(all.into_iter());
    let (_, hex) = all.split_once(':').expect("a fingerprint has a prefix");
    hex[..NAME_DIGITS].to_owned()
}

/// Whether every file of an entry is what was written: it is read whole.
fn is_whole(entry: &Path) -> bool {
    let Ok(bytes) = std::fs::read(entry.join(ENTRY)) else {
        return false;
    };
    let Ok(said) = from_checked_json::<Entry>(&bytes) else {
        return false;
    };
    let is_file_whole = |file: &EntryFile| {
        let path = entry.join(&file.name);
        let has_size = path.metadata().is_ok_and(|m| m.len() == file.hash.bytes);
        has_size && hash_file(&path).is_ok_and(|hash| hash == file.hash)
    };
    !said.files.is_empty() && said.files.iter().all(is_file_whole)
}

/// The lock of the cache, once nobody else has it.
fn wait_for_lock(
    cache: &Path,
    entry: &Path,
    interrupt: &Interrupt,
) -> Result<File, CheckpointGraphError> {
    loop {
        if let Some(lock) = lock_dir(cache)? {
            return Ok(lock);
        }
        if interrupt.is_requested() {
            let path = entry.join(MODEL);
            return Err(CheckpointGraphError::Interrupted { path });
        }
        std::thread::sleep(LOCK_INTERVAL);
    }
}

/// Removes what killed makers of this entry left: whoever has the lock is the only one at work.
fn sweep(cache: &Path, name: &str) -> Result<(), StorageError> {
    let io = |source| StorageError::io("list", cache, source);
    for found in std::fs::read_dir(cache).map_err(io)? {
        let file_name = found.map_err(io)?.file_name();
        let text = file_name.to_string_lossy();
        if text.starts_with(&format!(".{name}.")) && text.ends_with(IN_WORK) {
            remove_tree(&cache.join(&file_name))?;
        }
    }
    Ok(())
}

fn make(
    checkpoint: &Checkpoint,
    model: &DecoderModel,
    cache: &Path,
    name: &str,
    interrupt: &Interrupt,
) -> Result<CachedGraph, CheckpointGraphError> {
    check_room(cache, model.n_bytes() + OVERHEAD_BYTES)?;
    let part = cache.join(format!(".{name}.{}{IN_WORK}", std::process::id()));
    let io = |source| StorageError::io("create", &part, source);
    std::fs::create_dir(&part).map_err(io)?;
    let path = part.join(MODEL);
    let place = WeightsPlace::External;
    let written = write_decoder(&path, model, checkpoint, place, interrupt)
        .map_err(|error| CheckpointGraphError::of_file(&checkpoint.dir, error))
        .and_then(|hashes| seal(&part, checkpoint, hashes))
        .and_then(|()| publish(&part, &cache.join(name)));
    if written.is_err() {
        // Best effort: the error that counts is the one being returned.
        let _ = remove_tree(&part);
    }
    written
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

/// Writes what makes the directory an entry, beside the model.
fn seal(
    part: &Path,
    checkpoint: &Checkpoint,
    mut hashes: Vec<(String, FileHash)>,
) -> Result<(), CheckpointGraphError> {
    let config = serde_json::json!({ "max_position_embeddings": checkpoint.spec.max_positions });
    let config_path = part.join(CONFIG);
    create_if_absent(&config_path, config.to_string().as_bytes())?;
    hashes.push((CONFIG.to_owned(), hash_file(&config_path)?));
    let file = |(name, hash)| EntryFile { name, hash };
    let entry = Entry {
        files: hashes.into_iter().map(file).collect(),
    };
    let json = checked_json(&entry).expect("an entry has string keys only");
    create_if_absent(&part.join(ENTRY), &json)?;
    Ok(())
}

/// Without locks another process may have published it meanwhile, which is as good.
fn publish(part: &Path, entry: &Path) -> Result<CachedGraph, CheckpointGraphError> {
    match publish_dir(part, entry) {
        Ok(()) => Ok(CachedGraph {
            model: entry.join(MODEL),
            is_new: true,
        }),
        Err(_) if is_whole(entry) => {
            remove_tree(part)?;
            Ok(found(entry))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::decoder::{Dialect, WeightFormat};

    #[test]
    fn an_entry_is_named_by_all_that_decides_its_bytes() {
        let name = |sources: [&str; 2], dialect, weights| {
            let options = GraphOptions { dialect, weights };
            entry_name(sources.into_iter(), "a decoder", options)
        };
        let of = ["aa", "bb"];
        let names = [
            name(of, Dialect::Standard, WeightFormat::F32),
            name(of, Dialect::Fused, WeightFormat::F32),
            name(of, Dialect::Standard, WeightFormat::F16),
            name(["bb", "aa"], Dialect::Standard, WeightFormat::F32),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.iter().all(|name| name.len() == NAME_DIGITS));
        let again = name(of, Dialect::Standard, WeightFormat::F32);
        assert_eq!(again, names[0]);
        let options = GraphOptions {
            dialect: Dialect::Standard,
            weights: WeightFormat::F32,
        };
        assert_ne!(entry_name(of.into_iter(), "another", options), names[0]);
    }

    #[test]
    fn too_little_room_is_told_with_both_numbers() {
        let dir = tempfile::tempdir().unwrap();
        check_room(dir.path(), 1).unwrap();
        let error = check_room(dir.path(), u64::MAX).unwrap_err().to_string();
        assert!(
            error.contains("it takes 18446744073709551615 bytes, and "),
            "{error}"
        );
    }

    #[test]
    fn parts_of_killed_makers_of_this_entry_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".abc.17.part", ".abd.17.part", "abc"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        sweep(dir.path(), "abc").unwrap();
        let there = |name: &str| dir.path().join(name).exists();
        assert!(!there(".abc.17.part") && there(".abd.17.part") && there("abc"));
    }

    #[test]
    fn whoever_waits_for_the_lock_stops_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let _held = lock_dir(dir.path()).unwrap().unwrap();
        let interrupt = Interrupt::new();
        interrupt.request();
        let error = wait_for_lock(dir.path(), dir.path(), &interrupt).unwrap_err();
        assert!(matches!(error, CheckpointGraphError::Interrupted { .. }));
    }
}
