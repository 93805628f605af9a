//! Writing and reading `metrics.jsonl`.

use super::error::MetricsError;
use super::line::MetricsLine;
use crate::storage::{self, StorageError};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Name of the file in a run's directory.
pub const METRICS_NAME: &str = "metrics.jsonl";

/// Appends lines; each is written to the system before the call returns.
#[derive(Debug)]
pub struct MetricsWriter {
    file: File,
    path: PathBuf,
}

impl MetricsWriter {
    /// Begins the file `path`.
    ///
    /// # Errors
    /// An existing file that is not empty; the filesystem's error.
    pub fn create(path: &Path) -> Result<Self, MetricsError> {
        let writer = Self::append_to(path)?;
        let metadata = writer.file.metadata();
        let n_bytes = metadata.map_err(|source| StorageError::io("read", path, source))?;
        if n_bytes.len() > 0 {
            return Err(MetricsError::AlreadyThere { path: path.into() });
        }
        Ok(writer)
    }

    /// Continues the file `path` after `step` steps: later lines and an incomplete last one are cut, by
    /// replacing the file. A missing file is created.
    ///
    /// # Errors
    /// An invalid line; the filesystem's error. The file is then unchanged.
    pub fn resume(path: &Path, step: u64) -> Result<Self, MetricsError> {
        let Some(bytes) = read_whole(path)? else {
            return Self::append_to(path);
        };
        let mut kept = Vec::with_capacity(bytes.len());
        for (raw, line) in parse(path, &bytes)? {
            if line.step() <= step {
                kept.extend_from_slice(raw);
                kept.push(b'\n');
            }
        }
        if kept != bytes {
            storage::replace(path, &kept)?;
        }
        Self::append_to(path)
    }

    /// Appends one line.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn write(&mut self, line: &MetricsLine) -> Result<(), MetricsError> {
        let json = serde_json::to_vec(line);
        let written = json.map_err(std::io::Error::from).and_then(|mut bytes| {
            bytes.push(b'\n');
            self.file.write_all(&bytes)
        });
        Ok(written.map_err(|source| StorageError::io("write", &self.path, source))?)
    }

    /// Makes all lines durable, as is needed before a checkpoint that relies on them.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn sync(&self) -> Result<(), MetricsError> {
        let synced = self.file.sync_all();
        Ok(synced.map_err(|source| StorageError::io("fsync", &self.path, source))?)
    }

    fn append_to(path: &Path) -> Result<Self, MetricsError> {
        let opened = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self {
            file: opened.map_err(|source| StorageError::io("open", path, source))?,
            path: path.into(),
        })
    }
}

/// Every line of the file `path`, in order; an incomplete last one is skipped.
///
/// # Errors
/// An invalid line, by number; a file that cannot be read.
pub fn read_metrics(path: &Path) -> Result<Vec<MetricsLine>, MetricsError> {
    let bytes = read_whole(path)?
        .ok_or_else(|| StorageError::io("read", path, ErrorKind::NotFound.into()))?;
    let lines = parse(path, &bytes)?;
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// `None` if there is no file. There is no limit: a line is written for every step.
fn read_whole(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    storage::read_up_to(path, u64::MAX)
}

/// Lines as bytes without line feeds, and as values.
fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Vec<(&'a [u8], MetricsLine)>, MetricsError> {
    let mut lines = Vec::new();
    for (i, whole) in bytes.split_inclusive(|&byte| byte == b'\n').enumerate() {
        let raw = whole.strip_suffix(b"\n").unwrap_or(whole);
        match serde_json::from_slice(raw) {
            Ok(line) => lines.push((raw, line)),
            // Only the last line can lack a line feed, and is then incomplete.
            Err(_) if raw.len() == whole.len() => {}
            Err(source) => {
                return Err(MetricsError::Line {
                    path: path.into(),
                    line: i + 1,
                    source,
                });
            }
        }
    }
    Ok(lines)
}
