//! The directory of a run: who may write there, and from where a run goes on.

use super::RunError;
use super::finish::final_dir;
use super::state::TrainState;
use crate::storage::StorageError;
use crate::train::TrainError;
use crate::train::checkpoint::{Checkpoint, CheckpointStore};
use crate::train::config::RunConfig;
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// Whose lock says that a process trains here.
const LOCK_NAME: &str = ".lock";
/// The configuration as it was resolved.
const CONFIG_NAME: &str = "config.toml";

/// From where a run goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The beginning; a directory with checkpoints is refused.
    Fresh,
    /// The latest checkpoint, or the beginning where there is none.
    Latest,
    /// The checkpoint of this step.
    At(u64),
}

/// The directory of a run, held by this process alone for as long as the value lives.
#[derive(Debug)]
pub(super) struct RunDir {
    pub(super) path: PathBuf,
    pub(super) checkpoints: CheckpointStore,
    _lock: File,
}

impl RunDir {
    /// Makes the directory where it is not there, shows that it can be written to, and takes its
    /// lock, which the kernel drops when the process ends, however it ends.
    pub(super) fn claim(path: &Path, start: Start) -> Result<Self, TrainError> {
        let checkpoints = CheckpointStore::of_run(path);
        if start == Start::Fresh {
            refuse_what_is_there(path, &checkpoints)?;
        }
        std::fs::create_dir_all(path.join("checkpoints"))
            .map_err(|source| StorageError::io("create the directory", path, source))?;
        let lock_path = path.join(LOCK_NAME);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|source| StorageError::io("write to", &lock_path, source))?;
        // A filesystem without locks cannot tell: whoever uses one sees to it.
        if matches!(lock.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(RunError::Locked {
                dir: path.to_path_buf(),
            }
            .into());
        }
        checkpoints.sweep()?;
        Ok(Self {
            path: path.to_path_buf(),
            checkpoints,
            _lock: lock,
        })
    }

    /// The checkpoint to go on from, checked; `None` begins at step 0.
    pub(super) fn checkpoint(&self, start: Start) -> Result<Option<Checkpoint>, TrainError> {
        Ok(match start {
            Start::Fresh => None,
            Start::Latest => self.checkpoints.latest()?,
            Start::At(step) => Some(self.checkpoints.at(step)?),
        })
    }

    /// The trained model, where `state` is that of the last step, or no checkpoint is left of one.
    pub(super) fn finished_model(&self, state: &TrainState) -> Option<PathBuf> {
        let is_last = state.step == 0 || state.step >= state.config.train.steps;
        Some(final_dir(&self.path)).filter(|model| is_last && model.is_dir())
    }

    /// From where a run goes on, for whoever asked for that; `None` where nothing is to be said.
    pub(super) fn describe_start(
        &self,
        start: Start,
        checkpoint: Option<&Checkpoint>,
    ) -> Option<String> {
        match (start, checkpoint) {
            (_, Some(checkpoint)) => Some(format!("going on from {}", checkpoint.dir.display())),
            (Start::Latest, None) => Some(format!(
                "{} has no checkpoint yet: this run begins at step 0",
                self.path.display()
            )),
            _ => None,
        }
    }

    /// Writes down what is done here.
    pub(super) fn write_config(&self, config: &RunConfig) -> Result<(), TrainError> {
        Ok(config.write(&self.path.join(CONFIG_NAME))?)
    }
}

/// A run that begins anew takes the place of none that got anywhere, and of nothing that is no run.
fn refuse_what_is_there(path: &Path, checkpoints: &CheckpointStore) -> Result<(), TrainError> {
    let dir = path.to_path_buf();
    if let Some(&step) = checkpoints.steps()?.last() {
        return Err(RunError::NotResumed { dir, step }.into());
    }
    if final_dir(path).exists() {
        return Err(RunError::Finished { dir }.into());
    }
    let config = path.join(CONFIG_NAME);
    if !config.exists() {
        return Ok(());
    }
    match RunConfig::read(&config, &[]) {
        Ok(_) => Ok(()),
        Err(error) => Err(RunError::NotARun {
            reason: error.to_string(),
            path: config,
        }
        .into()),
    }
}
