//! `saltworks.json`: size and BLAKE3 of the other files of a model that was written here.
//!
//! Only this tells a damaged model from a good one, since a weight with a flipped bit is just another number. A
//! directory without it, from another program or an earlier version, is read unchecked.

use super::ExportError;
use super::names::SEAL_JSON;
use crate::pretrained::{CONFIG_JSON, MODEL_SAFETENSORS, TOKENIZER_JSON};
use crate::storage::{
    FileHash, Partial, Sealed, StorageError, fingerprint_of, hash_file, read_if_exists, replace,
    sampled_blake3,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// Version of its format.
const VERSION: u32 = 1;
/// Files that every model has.
const NEEDED: [&str; 2] = [CONFIG_JSON, MODEL_SAFETENSORS];
/// Files of a model that are read.
const READ: [&str; 3] = [CONFIG_JSON, MODEL_SAFETENSORS, TOKENIZER_JSON];

/// The contents of `saltworks.json`.
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

    /// The seal of the model in `dir`; `None` if it has none.
    ///
    /// # Errors
    /// A file that cannot be read or parsed.
    pub fn read(dir: &Path) -> Result<Option<Self>, ExportError> {
        let path = dir.join(SEAL_JSON);
        let Some(bytes) = read_if_exists(&path)? else {
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

    /// The file, not yet renamed into place.
    pub(super) fn seal(&self, dir: &Path) -> Result<Sealed, ExportError> {
        seal_bytes(&dir.join(SEAL_JSON), &self.json())
    }

    /// Refuses the model in `dir` if one of the files `names` differs from what was written.
    fn check(&self, dir: &Path, names: &[&str]) -> Result<(), ExportError> {
        let mut listed = self.files.iter();
        listed
            .by_ref()
            .filter(|(name, _)| names.contains(&name.as_str()))
            .try_for_each(|(name, expected)| check_file(dir, name, expected))
    }
}

/// A file of these bytes, not yet renamed into place.
pub(super) fn seal_bytes(path: &Path, bytes: &[u8]) -> Result<Sealed, ExportError> {
    let mut partial = Partial::create(path)?;
    partial
        .write_all(bytes)
        .map_err(|source| ExportError::io("write", path, source))?;
    Ok(partial.seal()?)
}

/// Adds a file to the seal of the model in `dir`; does nothing without a seal.
///
/// # Errors
/// I/O errors; a seal that cannot be parsed.
pub(crate) fn seal_also(dir: &Path, name: &str, hash: FileHash) -> Result<(), ExportError> {
    let Some(mut seal) = ModelSeal::read(dir)? else {
        return Ok(());
    };
    seal.files.insert(name.to_owned(), hash);
    Ok(replace(&dir.join(SEAL_JSON), &seal.json())?)
}

/// An identity for the weights of the model in `dir`, from sampled blocks of their files, independent of the
/// directory's name.
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
        // A checkpoint's optimizer moments are not part of the model.
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

/// Refuses the model in `dir` if a file that will be read differs from what was written; a model without a seal
/// is accepted. Reads the weights once.
///
/// # Errors
/// [`ExportError::Changed`], naming the file; a seal that cannot be parsed.
pub fn check_sealed(dir: &Path) -> Result<(), ExportError> {
    check_files_sealed(dir, &READ)
}

/// The same for `config.json` only.
pub(super) fn check_sealed_config(dir: &Path) -> Result<(), ExportError> {
    check_files_sealed(dir, &[CONFIG_JSON])
}

fn check_files_sealed(dir: &Path, names: &[&str]) -> Result<(), ExportError> {
    match ModelSeal::read(dir)? {
        Some(seal) => seal.check(dir, names),
        None => Ok(()),
    }
}

fn check_file(dir: &Path, name: &str, expected: &FileHash) -> Result<(), ExportError> {
    let path = dir.join(name);
    // A missing file is reported by its reader.
    if !path.exists() {
        return Ok(());
    }
    let got = hash_file(&path)?;
    match got == *expected {
        true => Ok(()),
        false => Err(ExportError::Changed {
            expected: shown(expected),
            got: shown(&got),
            seal: dir.join(SEAL_JSON),
            path,
        }),
    }
}

fn shown(hash: &FileHash) -> String {
    format!("{} bytes with the BLAKE3 {}", hash.bytes, hash.blake3)
}
