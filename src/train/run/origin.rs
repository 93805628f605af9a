//! Where weights, moments and the position in the data come from.
//!
//! A run's own checkpoints come first, so a stopped branch resumes like any other run. A branch without checkpoints of
//! its own starts at the checkpoint that `branch_from` names. That belongs to another run, which is never written to.

use super::RunError;
use super::directory::{RunDir, Start, refuse_file, run_dir};
use super::finish::final_dir;
use super::inputs::Inputs;
use super::state::TrainState;
use crate::train::TrainError;
use crate::train::checkpoint::{Checkpoint, CheckpointError, CheckpointStore};
use std::path::{Path, PathBuf};

/// Where a process starts.
#[derive(Debug)]
pub(super) enum Origin {
    /// At step 0.
    Nothing,
    /// At a checkpoint of the run itself.
    Own(Checkpoint),
    /// At a checkpoint of the trunk.
    Trunk(Checkpoint),
}

impl Origin {
    /// The origin of the run in `dir`, and the state there.
    pub(super) fn of(inputs: &Inputs, dir: &RunDir) -> Result<(Self, TrainState), TrainError> {
        if let Some(own) = dir.checkpoint()? {
            let state = TrainState::resumed(inputs, &own, &dir.path)?;
            return Ok((Self::Own(own), state));
        }
        // A finished run no longer needs its trunk, which may have been removed.
        let trunk = match dir.has_final_model() {
            true => None,
            false => open_trunk(inputs)?,
        };
        match trunk {
            Some((trunk, state)) => Ok((Self::Trunk(trunk), state)),
            None => Ok((Self::Nothing, TrainState::first(inputs)?)),
        }
    }

    /// A note on where the run in `dir` resumes; `None` for a new run.
    pub(super) fn describe(&self, dir: &RunDir) -> Option<String> {
        match (dir.start, self) {
            (_, Self::Own(checkpoint)) => {
                let place = dir.place_of(checkpoint.step);
                Some(format!("resuming from {}", place.display()))
            }
            (_, Self::Trunk(checkpoint)) => {
                Some(format!("branching from {}", checkpoint.dir.display()))
            }
            (Start::Latest | Start::LatestInGrid, Self::Nothing) => Some(format!(
                "{} has no checkpoint yet: this run starts at step 0",
                dir.place().display()
            )),
            _ => None,
        }
    }

    /// The trained model in `dir`, if `state` is that of the last step, or if no checkpoint is left.
    pub(super) fn finished_model(&self, dir: &RunDir, state: &TrainState) -> Option<PathBuf> {
        let has_own = matches!(self, Self::Own(_));
        let is_last = !has_own || state.step >= state.config.train.steps;
        (is_last && dir.has_final_model()).then(|| final_dir(dir.place()))
    }

    /// The checkpoint with weights and moments; `None` for new ones.
    pub(super) fn checkpoint(&self) -> Option<&Checkpoint> {
        match self {
            Self::Nothing => None,
            Self::Own(checkpoint) | Self::Trunk(checkpoint) => Some(checkpoint),
        }
    }

    /// Step of the run's own newest checkpoint.
    pub(super) fn own_step(&self) -> Option<u64> {
        match self {
            Self::Own(checkpoint) => Some(checkpoint.step),
            Self::Nothing | Self::Trunk(_) => None,
        }
    }
}

/// Refuses a branch that cannot start. Once it has checkpoints of its own, it no longer needs its trunk.
pub(super) fn check_trunk(inputs: &Inputs) -> Result<(), TrainError> {
    let dir = run_dir(&inputs.config)?;
    refuse_file(&dir)?;
    let own = CheckpointStore::of_run(&dir);
    if own.steps()?.is_empty() {
        open_trunk(inputs)?;
    }
    Ok(())
}

/// The checkpoint that `branch_from` names, with all hashes checked, and the state that the branch starts with; `None`
/// without that key.
fn open_trunk(inputs: &Inputs) -> Result<Option<(Checkpoint, TrainState)>, TrainError> {
    let Some(path) = &inputs.config.branch_from else {
        return Ok(None);
    };
    let Some((store, step)) = CheckpointStore::containing(path) else {
        return Err(not_a_checkpoint(path));
    };
    let checkpoint = store
        .at(step)
        .map_err(|error| unusable(path, &store, error))?;
    let state = TrainState::branched(inputs, &checkpoint)?;
    checkpoint.check_model(&inputs.spec)?;
    Ok(Some((checkpoint, state)))
}

fn not_a_checkpoint(path: &Path) -> TrainError {
    RunError::Setting {
        key: "branch_from",
        expected: "a checkpoint of another run, RUN/checkpoints/step-N".to_owned(),
        got: path.display().to_string(),
        remedy: "name one, or set init to start from weights only".to_owned(),
    }
    .into()
}

/// Replaces remedies that are meant for a run's own checkpoints.
fn unusable(path: &Path, store: &CheckpointStore, error: CheckpointError) -> TrainError {
    let others = || match store.steps().unwrap_or_default() {
        steps if steps.is_empty() => "that run has none".to_owned(),
        steps => {
            let names: Vec<String> = steps.iter().map(|step| format!("step-{step}")).collect();
            format!("that run has {}", names.join(", "))
        }
    };
    match error {
        CheckpointError::Damaged { dir, fault, .. } => CheckpointError::Damaged {
            dir,
            fault,
            remedy: format!("restore it, or branch from another one ({})", others()),
        }
        .into(),
        CheckpointError::NotFound { .. } => RunError::Setting {
            key: "branch_from",
            expected: "a checkpoint that exists".to_owned(),
            got: format!("{} ({})", path.display(), others()),
            remedy: "name another one; a run keeps its last checkpoint.keep_last checkpoints, and for good those at multiples of checkpoint.keep_every".to_owned(),
        }
        .into(),
        error => error.into(),
    }
}
