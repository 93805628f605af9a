//! The checkpoints of a run, which are always saved, checked and removed as a whole.

use super::error::{CheckpointError, Fault};
use super::seal::{Rejection, SEAL_NAME, Seal};
use crate::storage::{
    self, StorageError, exists, is_file, make_dirs, remove_file, remove_tree, rename_dir,
    replace_dir,
};
use std::path::{Path, PathBuf};

/// Prefix of the step in a checkpoint's name.
const NAME_PREFIX: &str = "step-";
/// A checkpoint that is being written.
const PARTIAL: &str = "part";
/// A checkpoint that is being replaced.
const REPLACED: &str = "old";
/// A checkpoint that is being removed.
const BEING_REMOVED: &str = "gone";
/// Suffix of a checkpoint from which the run went back to an earlier one.
const ABANDONED: &str = "abandoned";

/// `RUN/checkpoints`. Only the process that holds the lock of the run writes there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointStore {
    dir: PathBuf,
}

/// A checkpoint, all files of which were verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The directory.
    pub dir: PathBuf,
    /// Steps completed.
    pub step: u64,
    /// The contents of `checkpoint.json`.
    pub seal: Seal,
}

impl CheckpointStore {
    /// The checkpoints of the run in `run_dir`, which need not exist yet.
    pub fn of_run(run_dir: &Path) -> Self {
        Self {
            dir: run_dir.join("checkpoints"),
        }
    }

    /// The store that contains `checkpoint` (RUN/checkpoints/step-N), and its step; `None` for a path of
    /// another form. Nothing needs to exist.
    pub fn containing(checkpoint: &Path) -> Option<(Self, u64)> {
        let step = step_of(checkpoint.file_name()?.to_str()?)?;
        let dir = checkpoint.parent()?.to_path_buf();
        Some((Self { dir }, step))
    }

    /// The path of the checkpoint of `step`, whether it exists or not.
    pub fn path(&self, step: u64) -> PathBuf {
        self.dir.join(format!("{NAME_PREFIX}{step}"))
    }

    /// Steps with a checkpoint, good or not, in increasing order.
    ///
    /// # Errors
    /// [`StorageError`] with the path; a directory that does not exist has none.
    pub fn steps(&self) -> Result<Vec<u64>, StorageError> {
        let mut steps: Vec<u64> = self
            .names()?
            .iter()
            .filter_map(|name| step_of(name))
            .collect();
        steps.sort_unstable();
        Ok(steps)
    }

    /// Saves what `fill` writes into the directory that it is given, which becomes the checkpoint of `step`
    /// only once all of it is on disk. An existing one is replaced.
    ///
    /// # Errors
    /// Errors of `fill`, and [`CheckpointError::Storage`]; an earlier checkpoint stays.
    pub fn save(
        &self,
        step: u64,
        fill: impl FnOnce(&Path) -> Result<(), CheckpointError>,
    ) -> Result<Checkpoint, CheckpointError> {
        let part = self.hidden(step, PARTIAL);
        let filled = self
            .fill(step, &part, fill)
            .and_then(|()| self.put_in_place(step, &part));
        if let Err(error) = filled {
            // Best effort: the next run removes what is left.
            let _ = std::fs::remove_dir_all(&part);
            return Err(error);
        }
        self.at(step)
    }

    fn fill(
        &self,
        step: u64,
        part: &Path,
        fill: impl FnOnce(&Path) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        remove_tree(part)?;
        make_dirs(part)?;
        fill(part)?;
        Seal::write(part, step)
    }

    fn put_in_place(&self, step: u64, part: &Path) -> Result<(), CheckpointError> {
        let old = self.hidden(step, REPLACED);
        Ok(replace_dir(part, &self.path(step), &old)?)
    }

    /// The checkpoint of `step`, with all hashes checked.
    ///
    /// # Errors
    /// [`CheckpointError::NotFound`], listing the existing ones; [`CheckpointError::Damaged`], naming the last
    /// good one before it; a storage error for one that could not be read, which may be intact.
    pub fn at(&self, step: u64) -> Result<Checkpoint, CheckpointError> {
        let dir = self.existing(step)?;
        match Seal::check(&dir, step) {
            Ok(seal) => Ok(Checkpoint { dir, step, seal }),
            Err(rejection) => Err(self.refused(dir, step, rejection)?),
        }
    }

    fn existing(&self, step: u64) -> Result<PathBuf, CheckpointError> {
        let dir = self.path(step);
        match exists(&dir)? {
            true => Ok(dir),
            false => Err(CheckpointError::NotFound {
                existing: list(&self.steps()?),
                dir: self.dir.clone(),
                step,
            }),
        }
    }

    /// The checkpoint of the largest step, with all hashes checked; `None` if there are none.
    ///
    /// # Errors
    /// [`CheckpointError::Damaged`], naming the last good one before it.
    pub fn latest(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let steps = self.steps()?;
        steps.last().map(|&step| self.at(step)).transpose()
    }

    fn refused(
        &self,
        dir: PathBuf,
        step: u64,
        rejection: Rejection,
    ) -> Result<CheckpointError, StorageError> {
        match rejection {
            Rejection::Damaged(fault) => self.damaged(dir, step, fault),
            Rejection::Unread(error) => Ok(error.into()),
        }
    }

    fn damaged(
        &self,
        dir: PathBuf,
        step: u64,
        fault: Fault,
    ) -> Result<CheckpointError, StorageError> {
        let mut steps = self.steps()?;
        steps.retain(|&earlier| earlier < step);
        let good = steps
            .iter()
            .rev()
            .find(|&&earlier| Seal::check(&self.path(earlier), earlier).is_ok());
        let remedy = match good {
            Some(good) => format!(
                "the last good one before it is step-{good}: resume from it with --resume-from step-{good}"
            ),
            None => {
                "there is no good one before it: restore it, or start again with another --output"
                    .to_owned()
            }
        };
        Ok(CheckpointError::Damaged { dir, fault, remedy })
    }

    /// The step of the newest checkpoint whose `checkpoint.json`, which is written last, is there.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn newest_sealed(&self) -> Result<Option<u64>, StorageError> {
        for step in self.steps()?.into_iter().rev() {
            if is_file(&self.path(step).join(SEAL_NAME))? {
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    /// Copies the checkpoint of `step` from another place, maybe in a store. Every hash of the copy is checked, and
    /// it appears whole or not at all.
    ///
    /// # Errors
    /// As [`CheckpointStore::at`] of the other place; a copy that cannot be written.
    pub fn copy_from(&self, other: &Self, step: u64) -> Result<(), CheckpointError> {
        let (from, part) = (other.existing(step)?, self.hidden(step, PARTIAL));
        remove_tree(&part)?;
        make_dirs(&part)?;
        match Seal::copy(&from, step, &part) {
            Ok(()) => self.put_in_place(step, &part),
            Err(rejection) => Err(other.refused(from, step, rejection)?),
        }
    }

    /// Steps up to `newest`, which is whole, that the policy does not keep: all but the last `keep_last`, and those
    /// whose step `is_kept` for good.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn superfluous(
        &self,
        newest: u64,
        keep_last: usize,
        is_kept: impl Fn(u64) -> bool,
    ) -> Result<Vec<u64>, StorageError> {
        let mut steps = self.steps()?;
        steps.retain(|&step| step <= newest);
        steps.truncate(steps.len().saturating_sub(keep_last.max(1)));
        steps.retain(|&step| !is_kept(step));
        Ok(steps)
    }

    /// Removes the [`superfluous`](Self::superfluous) checkpoints of a local directory.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn retain(
        &self,
        newest: u64,
        keep_last: usize,
        is_kept: impl Fn(u64) -> bool,
    ) -> Result<(), StorageError> {
        for step in self.superfluous(newest, keep_last, is_kept)? {
            let gone = self.hidden(step, BEING_REMOVED);
            remove_tree(&gone)?;
            rename_dir(&self.path(step), &gone)?;
            remove_tree(&gone)?;
        }
        Ok(())
    }

    /// Removes the checkpoint of `step` where there are no renames: first the file that completes it.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn remove(&self, step: u64) -> Result<(), StorageError> {
        remove_file(&self.path(step).join(SEAL_NAME))?;
        remove_tree(&self.path(step))
    }

    /// Renames every checkpoint past `step`, good or not, latest first, since the run resumes from `step` and
    /// none of them may count as its latest. They are kept as `step-N.abandoned`. Returns the new paths.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn abandon_after(&self, step: u64) -> Result<Vec<PathBuf>, StorageError> {
        let mut later = self.steps()?;
        later.retain(|&other| other > step);
        let moved = later.iter().rev().map(|&step| {
            let aside = self.free_name(step);
            rename_dir(&self.path(step), &aside)?;
            Ok(aside)
        });
        moved.collect()
    }

    /// An unused name for the abandoned checkpoint of `step`.
    fn free_name(&self, step: u64) -> PathBuf {
        let first = self.dir.join(format!("{NAME_PREFIX}{step}.{ABANDONED}"));
        let numbered = (2_u64..).map(|n| first.with_extension(format!("{ABANDONED}-{n}")));
        let mut names = std::iter::once(first.clone()).chain(numbered);
        let free = names.find(|name| !name.exists());
        free.unwrap_or(first)
    }

    /// Removes leftovers of killed saves, and restores a checkpoint whose replacement was never completed.
    ///
    /// # Errors
    /// [`StorageError`] with the path.
    pub fn sweep(&self) -> Result<(), StorageError> {
        for name in self.names()? {
            let Some((step, state)) = hidden_parts(&name) else {
                continue;
            };
            let (left, place) = (self.dir.join(&name), self.path(step));
            if state == REPLACED && !exists(&place)? {
                rename_dir(&left, &place)?;
            } else {
                remove_tree(&left)?;
            }
        }
        Ok(())
    }

    fn hidden(&self, step: u64, state: &str) -> PathBuf {
        self.dir.join(format!(".{NAME_PREFIX}{step}.{state}"))
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        let entries = match storage::list(&self.dir) {
            Err(error) if error.is_not_found() => return Ok(Vec::new()),
            entries => entries?,
        };
        let names = entries.iter().filter_map(|entry| entry.name.to_str());
        Ok(names.map(str::to_owned).collect())
    }
}

/// The step of `step-N`, if spelled as by [`CheckpointStore::path`].
pub fn step_of(name: &str) -> Option<u64> {
    let step = name.strip_prefix(NAME_PREFIX)?.parse().ok()?;
    (name == format!("{NAME_PREFIX}{step}")).then_some(step)
}

/// Step and state of `.step-N.STATE`.
fn hidden_parts(name: &str) -> Option<(u64, &str)> {
    let (name, state) = name.strip_prefix('.')?.rsplit_once('.')?;
    let is_ours = [PARTIAL, REPLACED, BEING_REMOVED].contains(&state);
    step_of(name).filter(|_| is_ours).map(|step| (step, state))
}

fn list(steps: &[u64]) -> String {
    let names: Vec<String> = steps.iter().map(|step| format!("step-{step}")).collect();
    match names.is_empty() {
        true => "there are no checkpoints; run without --resume-from".to_owned(),
        false => format!("choose one of {}", names.join(", ")),
    }
}
