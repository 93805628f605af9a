//! `checkpoint.json`: size and hash of every other file of a checkpoint, written last.

use super::error::{CheckpointError, Fault};
use crate::storage::{FileHash, StorageError, copy_file, hash_file, metadata, read, replace};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the file that completes a checkpoint.
pub const SEAL_NAME: &str = "checkpoint.json";
/// Version of the layout of a checkpoint.
pub const CHECKPOINT_FORMAT_VERSION: u32 = 1;

/// The contents of `checkpoint.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// [`CHECKPOINT_FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// Steps completed when it was saved.
    pub step: u64,
    /// Every other file, by name.
    pub files: BTreeMap<String, FileHash>,
}

/// Only the version, which decides whether the rest can be read.
#[derive(Deserialize)]
struct Header {
    format_version: u32,
}

impl Seal {
    /// Hashes the files of `dir` and writes `checkpoint.json`.
    pub(super) fn write(dir: &Path, step: u64) -> Result<(), CheckpointError> {
        let mut files = BTreeMap::new();
        for name in names_in(dir)? {
            let hash = hash_file(&dir.join(&name))?;
            files.insert(name, hash);
        }
        let seal = Self {
            format_version: CHECKPOINT_FORMAT_VERSION,
            step,
            files,
        };
        let mut json = serde_json::to_vec_pretty(&seal).expect("a seal has string keys only");
        json.push(b'\n');
        Ok(replace(&dir.join(SEAL_NAME), &json)?)
    }

    /// Reads `checkpoint.json` and compares every file with it.
    ///
    /// # Errors
    /// A fault of the checkpoint, or a file that the system refused to read, whose state is unknown.
    pub(super) fn check(dir: &Path, step: u64) -> Result<Self, Rejection> {
        let seal = Self::read(dir)?;
        if seal.step != step {
            let got = seal.step;
            return Err(Fault::OtherStep {
                expected: step,
                got,
            }
            .into());
        }
        if seal.files.is_empty() {
            return Err(Fault::Unreadable("it lists no file".to_owned()).into());
        }
        for (file, expected) in &seal.files {
            check_file(dir, file, expected)?;
        }
        Ok(seal)
    }

    /// Copies the checkpoint of `step` from `dir` to the directory `to`, and compares every file of the copy.
    ///
    /// # Errors
    /// As [`Seal::check`].
    pub(super) fn copy(dir: &Path, step: u64, to: &Path) -> Result<(), Rejection> {
        let files = Self::read(dir)?.files.into_keys();
        for file in files.chain([SEAL_NAME.to_owned()]) {
            check_name(&file)?;
            let copied = copy_file(&dir.join(&file), &to.join(&file));
            copied.map_err(|error| unread_file(&file, error))?;
        }
        Self::check(to, step).map(drop)
    }

    fn read(dir: &Path) -> Result<Self, Rejection> {
        let json = read(&dir.join(SEAL_NAME)).map_err(|error| match error.is_not_found() {
            true => Rejection::Damaged(Fault::Half),
            false => refused(SEAL_NAME, error),
        })?;
        Ok(Self::parse(&json)?)
    }

    fn parse(json: &[u8]) -> Result<Self, Fault> {
        let unreadable = |error: serde_json::Error| Fault::Unreadable(error.to_string());
        let header: Header = serde_json::from_slice(json).map_err(unreadable)?;
        if header.format_version != CHECKPOINT_FORMAT_VERSION {
            return Err(Fault::Version {
                expected: CHECKPOINT_FORMAT_VERSION,
                got: header.format_version,
            });
        }
        serde_json::from_slice(json).map_err(unreadable)
    }
}

fn names_in(dir: &Path) -> Result<Vec<String>, CheckpointError> {
    let io = |source| StorageError::io("list", dir, source);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        names.extend(name.to_str().map(str::to_owned));
    }
    names.retain(|name| name != SEAL_NAME);
    Ok(names)
}

fn check_file(dir: &Path, file: &str, expected: &FileHash) -> Result<(), Rejection> {
    check_name(file)?;
    let path = dir.join(file);
    let found = metadata(&path).map_err(|error| unread_file(file, error))?;
    if found.n_bytes != expected.bytes {
        return Err(Fault::Size {
            file: file.to_owned(),
            expected: expected.bytes,
            got: found.n_bytes,
        }
        .into());
    }
    let got = hash_file(&path).map_err(|error| refused(file, error))?;
    if got.blake3 != expected.blake3 {
        return Err(Fault::Hash {
            file: file.to_owned(),
            expected: expected.blake3.clone(),
            got: got.blake3,
        }
        .into());
    }
    Ok(())
}

/// A checkpoint may only list files inside it.
fn check_name(file: &str) -> Result<(), Fault> {
    let is_name = Path::new(file).file_name().is_some_and(|name| name == file);
    match is_name {
        true => Ok(()),
        false => Err(Fault::Unreadable(format!(
            "it lists {file:?}, which is not the name of a file in it"
        ))),
    }
}

/// Why a checkpoint is not accepted.
#[derive(Debug)]
pub(super) enum Rejection {
    /// It differs from what was saved.
    Damaged(Fault),
    /// The system refused to read it; it may be intact.
    Unread(StorageError),
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        Rejection::Damaged(fault)
    }
}

/// A listed file that could not be read.
fn unread_file(file: &str, error: StorageError) -> Rejection {
    match error.is_not_found() {
        true => Rejection::Damaged(Fault::Missing {
            file: file.to_owned(),
        }),
        false => refused(file, error),
    }
}

/// Tells a refusal by the system, which does not condemn the checkpoint, from a fault of the file.
fn refused(file: &str, error: StorageError) -> Rejection {
    if error.is_refusal() {
        return Rejection::Unread(error);
    }
    let source: &dyn std::error::Error = &error;
    Rejection::Damaged(Fault::Io {
        file: file.to_owned(),
        reason: source.source().unwrap_or(source).to_string(),
    })
}
