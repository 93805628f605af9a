//! `saltworks.json`: size and BLAKE3 of the other files of a model that was written here.
//!
//! It is what tells a damaged model from a good one: a flipped bit of a weight is another number, and
//! nothing else shows it. A directory without it, of another program or of an earlier version, is read
//! as it is.

use super::ExportError;
use super::names::SEAL_JSON;
use crate::pretrained::{CONFIG_JSON, MODEL_SAFETENSORS, TOKENIZER_JSON};
use crate::storage::{
    FileHash, Partial, Sealed, StorageError, fingerprint_of, hash_file, read_if_there, replace,
    sampled_blake3,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Version of its format.
const VERSION: u32 = 1;
/// What every model has.
const NEEDED: [&str; 2] = [CONFIG_JSON, MODEL_SAFETENSORS];
/// What is read of a model.
const READ: [&str; 3] = [CONFIG_JSON, MODEL_SAFETENSORS, TOKENIZER_JSON];

/// What `saltworks.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelSeal {
    /// Version of this file's format.
    pub format_version: u32,
    /// Every other file, by name.
    pub files: BTreeMap<String, FileHash>,
}

impl ModelSeal {
    pub(super) fn new(files: impl Iterator<Item = (String, FileHash)>) -> Self {
        Self {
            format_version: VERSION,
            files: files.collect(),
        }
    }

    /// That of the model in `dir`; `None` where it has none.
    ///
    /// # Errors
    /// A file that cannot be read, or understood.
    pub fn read(dir: &Path) -> Result<Option<Self>, ExportError> {
        let path = dir.join(SEAL_JSON);
        let Some(bytes) = read_if_there(&path)? else {
            return Ok(None);
        };
        let unreadable = |fault: String| ExportError::Unsealed {
            path: path.clone(),
            fault,
        };
        let seal: Self =
            serde_json::from_slice(&bytes).map_err(|error| unreadable(error.to_string()))?;
        if seal.format_version != VERSION {
            let got = seal.format_version;
            return Err(unreadable(format!(
                "format version {got}, expected {VERSION}"
            )));
        }
        let mut needed = NEEDED.into_iter();
        match needed.find(|name| !seal.files.contains_key(*name)) {
            Some(name) => Err(unreadable(format!("it does not list {name}"))),
            None => Ok(Some(seal)),
        }
    }

    /// The bytes of the file.
    fn json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("a seal has string keys only");
        json.push(b'\n');
        json
    }

    /// The file, before it gets its name.
    pub(super) fn seal(&self, dir: &Path) -> Result<Sealed, ExportError> {
        seal_bytes(&dir.join(SEAL_JSON), &self.json())
    }

    /// Refuses the files `names` of the model in `dir` where one is not as it was written.
    fn check(&self, dir: &Path, names: &[&str]) -> Result<(), ExportError> {
        let mut listed = self.files.iter();
        listed
            .by_ref()
            .filter(|(name, _)| names.contains(&name.as_str()))
            .try_for_each(|(name, expected)| check_file(dir, name, expected))
    }
}

/// A file of these bytes, before it gets its name.
pub(super) fn seal_bytes(path: &Path, bytes: &[u8]) -> Result<Sealed, ExportError> {
    let mut partial = Partial::create(path)?;
    partial
        .write_all(bytes)
        .map_err(|source| ExportError::io("write", path, source))?;
    Ok(partial.seal()?)
}

/// Lists one more file in the seal of the model in `dir`.
///
/// # Errors
/// I/O; a directory without a seal.
pub(crate) fn seal_also(dir: &Path, name: &str, hash: FileHash) -> Result<(), ExportError> {
    let Some(mut seal) = ModelSeal::read(dir)? else {
        return Ok(());
    };
    seal.files.insert(name.to_owned(), hash);
    Ok(replace(&dir.join(SEAL_JSON), &seal.json())?)
}

/// One identity for the weights of the model in `dir`, of sampled blocks of their files: the same
/// whatever the directory is called.
///
/// # Errors
/// A file that cannot be read.
pub fn model_identity(dir: &Path) -> Result<String, StorageError> {
    let io = |source| StorageError::io("list", dir, source);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let is_weights = path
            .extension()
            .is_some_and(|ending| ending == "safetensors");
        // Moments, of a checkpoint, are no part of the model.
        if is_weights && path.file_stem().is_some_and(|stem| stem != "optimizer") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    let hashes: Vec<String> = paths
        .iter()
        .map(|path| sampled_blake3(path))
        .collect::<Result<_, _>>()?;
    Ok(fingerprint_of(hashes.iter().map(String::as_str)))
}

/// Refuses the model in `dir` where a file that is read of it is not the one that was written;
/// one that has no seal is taken as it is. Reads the weights once.
///
/// # Errors
/// [`ExportError::Changed`], naming the file; a seal that cannot be understood.
pub fn check_sealed(dir: &Path) -> Result<(), ExportError> {
    check_some(dir, &READ)
}

/// The same of its `config.json` alone.
pub(super) fn check_sealed_config(dir: &Path) -> Result<(), ExportError> {
    check_some(dir, &[CONFIG_JSON])
}

fn check_some(dir: &Path, names: &[&str]) -> Result<(), ExportError> {
    match ModelSeal::read(dir)? {
        Some(seal) => seal.check(dir, names),
        None => Ok(()),
    }
}

fn check_file(dir: &Path, name: &str, expected: &FileHash) -> Result<(), ExportError> {
    let path = dir.join(name);
    // Whoever reads it says that it is not there.
    if !path.exists() {
        return Ok(());
    }
    let got = hash_file(&path)?;
    match got == *expected {
        true => Ok(()),
        false => Err(ExportError::Changed {
            expected: said(expected),
            got: said(&got),
            seal: dir.join(SEAL_JSON),
            path,
        }),
    }
}

fn said(hash: &FileHash) -> String {
    format!("{} bytes with the BLAKE3 {}", hash.bytes, hash.blake3)
}
