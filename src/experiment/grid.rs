//! The cells of a grid, and the directory of each run.

use super::config::ExperimentConfig;
use super::error::ExperimentError;
use crate::train::checkpoint::CheckpointStore;
use crate::train::config::{LrShape, RunConfig, require};
use crate::train::run::SOURCES_NAME;
use std::path::{Path, PathBuf};

/// One run: a whole run, or a branch of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RunPlan {
    /// Fraction of the steps of a whole run, up to 1.
    pub(super) share: f64,
    /// Steps before the branch, which the whole run did.
    pub(super) first_step: u64,
    /// Total steps, including those before the branch.
    pub(super) n_steps: u64,
    /// Its directory.
    pub(super) dir: PathBuf,
    /// Name of its cell.
    pub(super) cell: String,
}

/// The runs of one arm with one seed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    /// Name of the arm.
    pub(super) arm: String,
    /// The seed.
    pub(super) seed: u64,
    /// The run to the end.
    pub(super) whole: RunPlan,
    /// By increasing share.
    pub(super) branches: Vec<RunPlan>,
}

/// Directory of an arm's runs.
pub(super) fn arm_dir(output: &Path, arm: &str) -> PathBuf {
    output.join("runs").join(arm)
}

impl Cell {
    /// The runs of `arm` with `seed`, of `n_steps` steps.
    pub(super) fn new(config: &ExperimentConfig, arm: &str, seed: u64, n_steps: u64) -> Self {
        let dir = arm_dir(&config.output, arm).join(format!("seed-{seed}"));
        let decay = decay_steps(config, n_steps);
        let shares = &config.branches.shares;
        let branches = shares[..shares.len() - 1].iter().map(|&share| {
            let n_steps = steps_of(share, n_steps);
            RunPlan {
                share,
                first_step: n_steps.saturating_sub(decay),
                n_steps,
                dir: dir.join(branch_name(share)),
                cell: cell_name(arm, seed),
            }
        });
        Self {
            arm: arm.to_owned(),
            seed,
            branches: branches.collect(),
            whole: RunPlan {
                share: 1.0,
                first_step: 0,
                n_steps,
                dir,
                cell: cell_name(arm, seed),
            },
        }
    }

    /// All runs in the order of work: the whole run first, since the others branch off it.
    pub(super) fn runs(&self) -> impl Iterator<Item = &RunPlan> {
        std::iter::once(&self.whole).chain(&self.branches)
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        cell_name(&self.arm, self.seed)
    }

    /// The configuration of one of its runs, from the arm's resolved one.
    pub(super) fn config_of(&self, run: &RunPlan, arm: &RunConfig) -> RunConfig {
        let mut config = arm.clone();
        config.output = run.dir.clone();
        config.train.seed = self.seed;
        config.checkpoint.keep_last = 1;
        config.checkpoint.keep_every = 0;
        config.checkpoint.keep_steps = Vec::new();
        if run.first_step == 0 {
            let points = self.branches.iter().map(|branch| branch.first_step);
            config.checkpoint.keep_steps = points.collect();
        } else {
            let checkpoints = CheckpointStore::of_run(&self.whole.dir);
            config.branch_from = Some(checkpoints.path(run.first_step));
            config.train.steps = run.n_steps;
        }
        config
    }
}

impl RunPlan {
    /// The directory of its trained model, whether it exists yet or not.
    pub(super) fn model_dir(&self) -> PathBuf {
        self.dir.join("final")
    }

    /// Whether it is trained: the model's directory appears by one rename.
    pub(super) fn is_trained(&self) -> bool {
        self.model_dir().is_dir()
    }

    /// Whether its training inputs are recorded.
    pub(super) fn has_sources(&self) -> bool {
        self.dir.join(SOURCES_NAME).is_file()
    }

    /// Its own steps that are still to be done.
    pub(super) fn n_steps_left(&self) -> Result<u64, ExperimentError> {
        if self.is_trained() {
            return Ok(0);
        }
        let steps = CheckpointStore::of_run(&self.dir).steps()?;
        let done = steps.last().copied().unwrap_or(0).max(self.first_step);
        Ok(self.n_steps.saturating_sub(done))
    }

    /// Its name among all runs of the grid.
    pub(super) fn full_name(&self) -> String {
        format!("the {} of {}", self.name(), self.cell)
    }

    /// `the whole run`, or the name of the branch.
    pub(super) fn name(&self) -> String {
        match self.first_step {
            0 => "whole run".to_owned(),
            _ => format!("branch {}", branch_name(self.share)),
        }
    }
}

fn cell_name(arm: &str, seed: u64) -> String {
    format!("{arm}, seed {seed}")
}

/// Steps of the decay.
pub(super) fn decay_steps(config: &ExperimentConfig, n_steps: u64) -> u64 {
    steps_of(config.branches.decay, n_steps).max(1)
}

fn steps_of(share: f64, n_steps: u64) -> u64 {
    (share * n_steps as f64).round() as u64
}

/// `at-50` for half of the steps.
fn branch_name(share: f64) -> String {
    let percent = (share * 100.0 * 1e6).round() / 1e6;
    format!("at-{percent}")
}

/// Sets the schedule of all runs of a grid: `wsd` takes the experiment's decay; with branches the schedule must
/// be `wsd` with that decay.
pub(super) fn with_decay(
    config: &ExperimentConfig,
    mut run: RunConfig,
) -> Result<RunConfig, ExperimentError> {
    let decay = decay_steps(config, run.train.steps);
    let schedule = &mut run.schedule;
    if config.branches.shares.len() == 1 {
        let is_wsd = schedule.shape == LrShape::Wsd;
        schedule.decay_steps = schedule.decay_steps.or(is_wsd.then_some(decay));
        return Ok(run);
    }
    require(
        schedule.shape == LrShape::Wsd,
        "schedule.shape",
        "wsd, since branches start in its stable phase",
        format_args!("{:?}", schedule.shape)
            .to_string()
            .to_lowercase(),
        "set it to wsd, or branches.shares to [1.0]",
    )?;
    let decay_steps = schedule.decay_steps.unwrap_or(decay);
    require(
        decay_steps == decay,
        "schedule.decay_steps",
        format_args!("{decay}, branches.decay of train.steps"),
        decay_steps,
        "leave it out, or change branches.decay",
    )?;
    schedule.decay_steps = Some(decay);
    let first = steps_of(config.branches.shares[0], run.train.steps).saturating_sub(decay);
    let warmup_steps = schedule.warmup_steps(run.train.steps);
    require(
        first >= warmup_steps.max(1),
        "branches.shares",
        format_args!("a first share whose decay starts after the warm-up of {warmup_steps} steps"),
        config.branches.shares[0],
        "use a larger share, or fewer warm-up steps",
    )?;
    Ok(run)
}
