//! The run in the store: files of the run's directory, uploaded as they are finished.
//!
//! An object appears atomically, but a checkpoint consists of several. So its `checkpoint.json` is uploaded last, after
//! all other files of the checkpoint and the logs up to it. Only then are older checkpoints removed, each one's
//! `checkpoint.json` first. At any moment, the newest checkpoint that has a `checkpoint.json` comes with all that a run
//! needs to resume from it. In the same way, the `config.json` of `final/` is uploaded last.

use super::attempts::Attempt;
use super::finish::final_dir;
use crate::pretrained::CONFIG_JSON;
use crate::storage::{
    StorageError, copy_file, is_file, list, read_if_exists, remove_file, remove_tree,
};
use crate::train::TrainError;
use crate::train::checkpoint::{CheckpointStore, SEAL_NAME};
use crate::train::export::SEAL_JSON;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A directory to upload, the file with the hashes of its files, and the file that is uploaded last.
struct Sealed {
    from: PathBuf,
    to: PathBuf,
    hashes: &'static str,
    last: &'static str,
}

/// The run at a URL, which this process writes to.
#[derive(Debug)]
pub(super) struct Mirror {
    /// The run in the store.
    pub(super) url: PathBuf,
    dir: PathBuf,
    attempt: Attempt,
    /// The lock of the directory, held as long as this process works in it.
    _lock: File,
}

impl Mirror {
    pub(super) fn new(url: PathBuf, dir: PathBuf, attempt: Attempt, lock: File) -> Self {
        Self {
            url,
            dir,
            attempt,
            _lock: lock,
        }
    }

    /// Uploads the checkpoint of `step` with the logs up to it, unless it exists. Removes later checkpoints, which are
    /// not from this process: the logs would lack their steps.
    ///
    /// # Errors
    /// Another process has taken over; errors of the store.
    pub(super) fn put_checkpoint(&self, step: u64) -> Result<(), TrainError> {
        self.remove_after(Some(step))?;
        self.put(&Sealed {
            from: CheckpointStore::of_run(&self.dir).path(step),
            to: self.checkpoints().path(step),
            hashes: SEAL_NAME,
            last: SEAL_NAME,
        })
    }

    /// Uploads the trained model with the rest of the logs, unless it exists.
    ///
    /// # Errors
    /// As [`Mirror::put_checkpoint`].
    pub(super) fn put_final(&self) -> Result<(), TrainError> {
        self.put(&Sealed {
            from: final_dir(&self.dir),
            to: final_dir(&self.url),
            hashes: SEAL_JSON,
            last: CONFIG_JSON,
        })
    }

    /// Removes the store's checkpoints after `step`, or all of them for `None`, the newest first.
    ///
    /// # Errors
    /// As [`Mirror::put_checkpoint`].
    pub(super) fn remove_after(&self, step: Option<u64>) -> Result<(), TrainError> {
        let mut later = self.checkpoints().steps()?;
        later.retain(|&other| Some(other) > step);
        later.reverse();
        self.remove(&later)
    }

    /// Removes the checkpoints of `steps` from the store.
    ///
    /// # Errors
    /// As [`Mirror::put_checkpoint`].
    pub(super) fn remove(&self, steps: &[u64]) -> Result<(), TrainError> {
        self.attempt.check()?;
        for &step in steps {
            self.checkpoints().remove(step)?;
        }
        Ok(())
    }

    /// The checkpoints in the store.
    pub(super) fn checkpoints(&self) -> CheckpointStore {
        CheckpointStore::of_run(&self.url)
    }

    fn put(&self, sealed: &Sealed) -> Result<(), TrainError> {
        self.attempt.check()?;
        if sealed.is_complete()? {
            return Ok(());
        }
        copy_files(&self.dir, &self.url)?;
        sealed.put_all_but_last()?;
        // Checked again, since the upload of a large checkpoint takes long.
        self.attempt.check()?;
        Ok(sealed.put_last()?)
    }
}

/// Copies the current configuration, logs and records of a run, without checkpoints and the trained model.
pub(super) fn copy_files(from: &Path, to: &Path) -> Result<(), StorageError> {
    for entry in list(from)? {
        let is_hidden = entry.name.to_string_lossy().starts_with('.');
        if !entry.is_dir && !is_hidden {
            copy_file(&from.join(&entry.name), &to.join(&entry.name))?;
        }
    }
    Ok(())
}

impl Sealed {
    /// Whether all of it is in the store, with the same hashes.
    fn is_complete(&self) -> Result<bool, StorageError> {
        let hashes = |dir: &Path| read_if_exists(&dir.join(self.hashes));
        Ok(is_file(&self.to.join(self.last))? && hashes(&self.to)? == hashes(&self.from)?)
    }

    /// Replaces what is in the store.
    fn put_all_but_last(&self) -> Result<(), StorageError> {
        remove_file(&self.to.join(self.last))?;
        remove_tree(&self.to)?;
        let names = list(&self.from)?.into_iter().map(|entry| entry.name);
        for name in names.filter(|name| name != self.last) {
            copy_file(&self.from.join(&name), &self.to.join(&name))?;
        }
        Ok(())
    }

    fn put_last(&self) -> Result<(), StorageError> {
        copy_file(&self.from.join(self.last), &self.to.join(self.last))
    }
}
