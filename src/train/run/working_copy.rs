//! The directory on this machine in which a run is trained whose `output` is a URL: a copy of the run in the store, or
//! already up to date.

use super::RunError;
use super::attempts::{Attempt, add_own, is_own};
use super::finish::copy_final;
use super::mirror::{Mirror, copy_files};
use crate::storage::{
    StorageError, check_writable, is_url, lock_file, make_dirs, remove_tree, unique_name,
    working_dir,
};
use crate::train::TrainError;
use crate::train::checkpoint::CheckpointStore;
use std::fs::File;
use std::path::{Path, PathBuf};

/// A directory locked by this process, and what the store had when it was opened.
#[derive(Debug)]
pub(super) struct WorkingCopy {
    url: PathBuf,
    dir: PathBuf,
    last: Option<Attempt>,
    /// Step of the newest complete checkpoint in the store.
    newest: Option<u64>,
    lock: File,
}

impl WorkingCopy {
    /// The working copy of the run at `output`; `None` if `output` is a directory, which needs none.
    ///
    /// # Errors
    /// A store that cannot be written to; a directory that another process has locked.
    pub(super) fn open(output: &Path) -> Result<Option<Self>, TrainError> {
        if !is_url(output) {
            return Ok(None);
        }
        check_writable(output)?;
        let dir = working_dir(output)?;
        make_dirs(&dir)?;
        let Some(lock) = lock_file(&dir.with_extension("lock"))? else {
            let dir = output.to_owned();
            return Err(RunError::Locked { dir }.into());
        };
        Ok(Some(Self {
            url: output.to_owned(),
            // Read before the checkpoints: an attempt in between is noticed when the next number is taken.
            last: Attempt::last(output)?,
            newest: CheckpointStore::of_run(output).newest_sealed()?,
            dir,
            lock,
        }))
    }

    /// Removes what an earlier run at this URL left here.
    pub(super) fn clear(&self) -> Result<(), StorageError> {
        remove_tree(&self.dir)?;
        make_dirs(&self.dir)
    }

    /// Copies from the store what is needed to resume from the checkpoint of step `wanted`, or from the newest one,
    /// unless it is already here. Returns a note on the checkpoint that was copied.
    ///
    /// # Errors
    /// A checkpoint that is missing or damaged; a run that advanced in the meantime; errors of the store.
    pub(super) fn fetch(&self, wanted: Option<u64>) -> Result<Option<String>, TrainError> {
        let fetched = self.fetch_files(wanted);
        // A process that trains there removes old checkpoints, which looks like damage while one is being copied.
        if fetched.is_err() && self.has_advanced()? {
            let url = self.url.clone();
            return Err(RunError::Advanced { url }.into());
        }
        fetched
    }

    fn fetch_files(&self, wanted: Option<u64>) -> Result<Option<String>, TrainError> {
        let here = CheckpointStore::of_run(&self.dir);
        if !self.is_current(&here)? {
            self.clear()?;
            copy_files(&self.url, &self.dir)?;
            copy_final(&self.url, &self.dir)?;
        }
        let missing = match wanted.or(self.newest) {
            Some(step) if !here.steps()?.contains(&step) => step,
            _ => return Ok(None),
        };
        here.copy_from(&CheckpointStore::of_run(&self.url), missing)?;
        let (url, dir) = (self.url.display(), self.dir.display());
        Ok(Some(format!(
            "copied step-{missing} of {url} to {dir}, the working directory on this machine"
        )))
    }

    /// Whether the store has another newest checkpoint than when it was opened.
    fn has_advanced(&self) -> Result<bool, TrainError> {
        Ok(CheckpointStore::of_run(&self.url).newest_sealed()? != self.newest)
    }

    /// Whether the last writer to the store was a process of this machine. The directory may be ahead of the store.
    fn is_current(&self, here: &CheckpointStore) -> Result<bool, StorageError> {
        let is_own = match &self.last {
            Some(last) => is_own(&self.dir, &last.name)?,
            None => self.newest.is_none(),
        };
        Ok(is_own && self.newest <= here.steps()?.last().copied())
    }

    /// Makes this process the one that writes to the store. It resumes from its checkpoint of step `resumed`: that one
    /// is uploaded, and later ones are removed from the store, which are incomplete or discarded by going back.
    ///
    /// # Errors
    /// Another process took over first, or has advanced since the store was read; errors of the store.
    pub(super) fn claim(self, resumed: Option<u64>) -> Result<Mirror, TrainError> {
        let name = unique_name();
        add_own(&self.dir, &name)?;
        let attempt = Attempt::take(&self.url, self.last.as_ref(), &name)?;
        if self.has_advanced()? {
            return Err(RunError::Advanced { url: self.url }.into());
        }
        let mirror = Mirror::new(self.url, self.dir, attempt, self.lock);
        mirror.remove_after(resumed)?;
        resumed.map_or(Ok(()), |step| mirror.put_checkpoint(step))?;
        Ok(mirror)
    }
}
