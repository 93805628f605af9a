//! The files of the cache.

use crate::storage::StorageError;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// A file that appears under its name whole or not at all.
pub(super) struct AtomicFile {
    file: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Begins the file at `path`, written in its own directory, which is created if necessary.
    pub(super) fn begin(path: &Path) -> Result<Self, StorageError> {
        let dir = path.parent().unwrap_or(path);
        make_dirs(dir)?;
        let file = NamedTempFile::new_in(dir);
        Ok(AtomicFile {
            file: file.map_err(|source| StorageError::io("create", path, source))?,
            path: path.to_path_buf(),
        })
    }

    pub(super) fn write(&mut self, block: &[u8]) -> Result<(), StorageError> {
        let written = self.file.write_all(block);
        written.map_err(|source| StorageError::io("write", &self.path, source))
    }

    /// Gives the file its final name, replacing what has it.
    pub(super) fn publish(self) -> Result<(), StorageError> {
        let AtomicFile { file, path } = self;
        let synced = file.as_file().sync_all();
        synced.map_err(|source| StorageError::io("fsync", &path, source))?;
        let named = file.persist(&path);
        named.map_err(|error| StorageError::io("rename into place", &path, error.error))?;
        Ok(())
    }
}

pub(super) fn make_dirs(dir: &Path) -> Result<(), StorageError> {
    std::fs::create_dir_all(dir)
        .map_err(|source| StorageError::io("create the directory", dir, source))
}

/// The whole file; `None` if there is none.
pub(super) fn read_if_exists(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StorageError::io("read", path, source)),
    }
}

/// Every file below `dir`, following links: its relative name, if that is text, and its size in
/// bytes.
pub(super) fn list_below(dir: &Path) -> Result<Vec<(String, u64)>, StorageError> {
    let io = |source| StorageError::io("list", dir, source);
    let (mut found, mut open) = (Vec::new(), vec![String::new()]);
    while let Some(below) = open.pop() {
        for entry in std::fs::read_dir(dir.join(&below)).map_err(io)? {
            let entry = entry.map_err(io)?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let name = match below.is_empty() {
                true => name,
                false => format!("{below}/{name}"),
            };
            match std::fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_dir() => open.push(name),
                Ok(metadata) => found.push((name, metadata.len())),
                // A link to a file that was removed from the cache.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(io(source)),
            }
        }
    }
    Ok(found)
}
