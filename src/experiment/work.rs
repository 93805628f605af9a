//! A grid that is ready to be worked on, with checks of existing work.

use super::arm::{Arm, ArmFacts};
use super::config::{ArmConfig, ExperimentConfig};
use super::error::ExperimentError;
use super::grid::{Cell, RunPlan};
use super::output::check_output;
use super::pace::GridSnapshot;
use super::results::TeacherCost;
use super::scores::{ModelScores, is_scored};
use super::sets::{OpenedSet, read_sets};
use crate::storage::{StorageError, free_bytes, lock_file};
use crate::train::TrainError;
use crate::train::checkpoint::CheckpointStore;
use crate::train::config::{RunConfig, require};
use crate::train::export::check_sealed;
use crate::train::run::{CONFIG_NAME, Sources};
use std::fs::File;
use std::path::Path;

/// Lock file that shows that a process is working here.
const LOCK_NAME: &str = ".lock";
/// Bytes per parameter: weights as safetensors and as ONNX.
const MODEL_BYTES: u64 = 8;
/// Bytes per parameter: weights and both moments.
const CHECKPOINT_BYTES: u64 = 12;

/// Which cells of the grid are worked on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Names of arms; empty means all.
    pub arms: Vec<String>,
    /// Seeds; empty means all.
    pub seeds: Vec<u64>,
}

/// Callbacks for progress, called on a thread of a run's pool.
pub struct Watch<'a> {
    /// Called once the directory is locked, before anything is trained.
    pub on_start: &'a (dyn Fn() + Sync),
    /// Called with notes.
    pub on_note: &'a (dyn Fn(&str) + Sync),
    /// Called after every step.
    pub on_progress: &'a (dyn Fn(&GridSnapshot) + Sync),
}

/// A grid that is ready to be worked on: all its inputs are opened, and existing work was found to belong to
/// it.
pub struct Experiment {
    pub(super) config: ExperimentConfig,
    pub(super) arms: Vec<Arm>,
    /// The evaluation sets.
    pub(super) sets: Vec<OpenedSet>,
    /// The chosen cells.
    pub(super) cells: Vec<Cell>,
    n_bytes: u64,
}

impl Experiment {
    /// Opens all arms of `filter` and all sets; writes nothing. Runs of other arms and seeds are in the same
    /// results, so they are also compared with the configuration; for an arm whose inputs are gone, only its
    /// records are.
    ///
    /// # Errors
    /// Anything wrong with the configuration, an arm, a set, or existing files; a missing input of the report;
    /// too little disk space.
    pub fn open(config: ExperimentConfig, filter: &RunFilter) -> Result<Self, ExperimentError> {
        let arms = open_arms(&config, filter)?;
        check_others(&config, &arms)?;
        check_output(&config.output)?;
        config.report.check()?;
        let known = read_sets(&config.output)?;
        let open = |set| OpenedSet::open(set, &arms, &known);
        let sets = config
            .sets
            .iter()
            .map(open)
            .collect::<Result<Vec<_>, _>>()?;
        check_teachers(&config, &arms)?;
        let cells = cells(&config, &arms, filter)?;
        let mut experiment = Self {
            config,
            arms,
            sets,
            cells,
            n_bytes: 0,
        };
        for arm in &experiment.arms {
            check_runs(&experiment.config, arm)?;
        }
        experiment.cells.iter().try_for_each(check_branch_points)?;
        experiment.n_bytes = experiment.bytes_left()?;
        experiment.check_disk()?;
        Ok(experiment)
    }

    /// Notes on what is probably unintended, one sentence each.
    pub fn notes(&self) -> Vec<String> {
        let of_arms = self.arms.iter().flat_map(Arm::notes);
        of_arms
            .chain(self.sets.iter().filter_map(OpenedSet::note))
            .collect()
    }

    /// What would be done, one line each.
    ///
    /// # Errors
    /// Files of the experiment that cannot be read.
    pub fn describe(&self) -> Result<Vec<(&'static str, String)>, ExperimentError> {
        let facts = &self.arms[0].facts;
        let runs = self.cells.iter().flat_map(Cell::runs);
        let left: u64 = runs.map(RunPlan::n_steps_left).sum::<Result<u64, _>>()?;
        let names = |names: Vec<&str>| names.join(", ");
        let arms = self.arms.iter().map(|arm| arm.name.as_str()).collect();
        let sets = &self.sets;
        let sets = sets.iter().map(|set| set.facts.set.name.as_str()).collect();
        Ok(vec![
            ("arms", names(arms)),
            ("sets", names(sets)),
            (
                "cells",
                format!(
                    "{}, {} of them done; each {} steps and {} branches",
                    self.cells.len(),
                    self.n_done()?,
                    facts.n_steps,
                    self.cells[0].branches.len(),
                ),
            ),
            (
                "left",
                format!(
                    "{left} steps of {} tokens; {} MiB of disk",
                    facts.tokens_per_step,
                    self.n_bytes >> 20
                ),
            ),
        ])
    }

    /// Whether all runs of `cell` are trained and scored.
    pub(super) fn is_done(&self, cell: &Cell) -> Result<bool, ExperimentError> {
        for run in cell.runs() {
            if !is_scored(run, &self.sets)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Number of cells that are done.
    pub(super) fn n_done(&self) -> Result<usize, ExperimentError> {
        let mut n_done = 0;
        for cell in &self.cells {
            n_done += usize::from(self.is_done(cell)?);
        }
        Ok(n_done)
    }

    /// Peak of the disk space still needed, in bytes.
    fn bytes_left(&self) -> Result<u64, ExperimentError> {
        let n_params = self.arms[0].facts.n_params;
        let untrained = self.cells.iter().flat_map(Cell::runs);
        let n_models = untrained.filter(|run| !run.is_trained()).count() as u64;
        let n_points = self.cells[0].branches.len() as u64;
        let n_cells = match self.config.keep_checkpoints {
            true => self.cells.len() as u64,
            false => 1,
        };
        // One more exists while the next is written.
        let n_checkpoints = match n_models {
            0 => 0,
            _ => n_cells * (2 * n_points + 1) + 1,
        };
        Ok(n_params * (n_models * MODEL_BYTES + n_checkpoints * CHECKPOINT_BYTES))
    }

    fn check_disk(&self) -> Result<(), ExperimentError> {
        let output = &self.config.output;
        let existing = output.ancestors().find(|dir| dir.is_dir());
        let free = free_bytes(existing.unwrap_or(Path::new(".")));
        match free {
            Some(free) if free < self.n_bytes => Err(ExperimentError::Disk {
                needed: self.n_bytes >> 20,
                free: free >> 20,
                output: output.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Checks that the directory can be written to, and that no other process is working there.
    pub(super) fn lock(&self) -> Result<File, ExperimentError> {
        let output = &self.config.output;
        let io = |source| StorageError::io("create the directory", output, source);
        std::fs::create_dir_all(output).map_err(io)?;
        lock_file(&output.join(LOCK_NAME))?.ok_or_else(|| ExperimentError::Locked {
            output: output.clone(),
        })
    }
}

fn open_arms(config: &ExperimentConfig, filter: &RunFilter) -> Result<Vec<Arm>, ExperimentError> {
    let names: Vec<&str> = config
        .arms
        .0
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    for chosen in &filter.arms {
        require(
            names.contains(&chosen.as_str()),
            "--only",
            format_args!("names of arms: {}", names.join(", ")),
            chosen,
            "name some of [arms]",
        )?;
    }
    let is_chosen = |name: &str| filter.arms.is_empty() || filter.arms.iter().any(|c| c == name);
    let chosen = config.arms.0.iter().filter(|(name, _)| is_chosen(name));
    let open = |(name, arm): &(String, ArmConfig)| Arm::open(config, name, arm);
    let arms: Vec<Arm> = chosen.map(open).collect::<Result<_, _>>()?;
    for arm in &arms[1..] {
        arm.facts
            .check_comparable(&arm.name, &arms[0].facts, &arms[0].name)?;
    }
    Ok(arms)
}

/// Checks arms that were trained before, since they are in the same results. One that can no longer be opened
/// was compared with its inputs when it could.
fn check_others(config: &ExperimentConfig, arms: &[Arm]) -> Result<(), ExperimentError> {
    let is_open = |name: &str| arms.iter().any(|arm| arm.name == name);
    for (name, arm) in config.arms.0.iter().filter(|(name, _)| !is_open(name)) {
        let Some(facts) = ArmFacts::read(&config.output, name)? else {
            continue;
        };
        arms[0]
            .facts
            .check_comparable(&arms[0].name, &facts, name)?;
        if let Ok(arm) = Arm::open(config, name, arm) {
            check_runs(config, &arm)?;
        }
    }
    Ok(())
}

/// Reads the costs of the teachers of all arms that will have results: the open ones and those trained
/// before. The teacher of another arm may be trained later.
fn check_teachers(config: &ExperimentConfig, arms: &[Arm]) -> Result<(), ExperimentError> {
    if let Some(common) = &config.teacher {
        TeacherCost::read(common)?;
    }
    for (name, arm) in &config.arms.0 {
        let Some(own) = &arm.teacher else { continue };
        let is_open = arms.iter().any(|arm| &arm.name == name);
        if is_open || ArmFacts::read(&config.output, name)?.is_some() {
            TeacherCost::read(own)?;
        }
    }
    Ok(())
}

/// Refuses existing runs of an arm, with any seed, that have another configuration or other inputs.
fn check_runs(config: &ExperimentConfig, arm: &Arm) -> Result<(), ExperimentError> {
    for &seed in &config.seeds {
        let cell = Cell::new(config, &arm.name, seed, arm.facts.n_steps);
        for run in cell.runs() {
            let known = ModelScores::read(run)?;
            check_run(&cell.config_of(run, &arm.config), arm, known, &run.dir).map_err(
                |source| ExperimentError::OtherRun {
                    cell: run.full_name(),
                    source: Box::new(source),
                },
            )?;
            check_model(run)?;
        }
    }
    Ok(())
}

/// Refuses a trained model that differs from what was written, before it is scored or its results are used.
fn check_model(run: &RunPlan) -> Result<(), ExperimentError> {
    if !run.is_trained() {
        return Ok(());
    }
    check_sealed(&run.model_dir()).map_err(|error| ExperimentError::DamagedModel {
        cell: run.full_name(),
        run: run.dir.clone(),
        source: Box::new(error.into()),
    })
}

fn check_run(
    config: &RunConfig,
    arm: &Arm,
    known: Option<ModelScores>,
    dir: &Path,
) -> Result<(), TrainError> {
    config.validate()?;
    let of_scores = || known.map(|known| known.sources);
    let recorded = Sources::recorded(dir)?.or_else(of_scores);
    let same = recorded.as_ref().map(|it| arm.sources.same_keys(it));
    check_recorded(config, dir, &same.unwrap_or_default())?;
    recorded.map_or(Ok(()), |it| arm.sources.check_resumes(&it, dir))
}

/// Seed by seed, so that there is something to compare early.
fn cells(
    config: &ExperimentConfig,
    arms: &[Arm],
    filter: &RunFilter,
) -> Result<Vec<Cell>, ExperimentError> {
    for seed in &filter.seeds {
        require(
            config.seeds.contains(seed),
            "--seeds",
            format_args!("some of seeds: {:?}", config.seeds),
            seed,
            "choose some of them, or add it to seeds",
        )?;
    }
    let is_chosen = |seed: &&u64| filter.seeds.is_empty() || filter.seeds.contains(seed);
    let seeds = config.seeds.iter().filter(is_chosen);
    let of_seed = |&seed| {
        let cell = move |arm: &Arm| Cell::new(config, &arm.name, seed, arm.facts.n_steps);
        arms.iter().map(cell)
    };
    Ok(seeds.flat_map(of_seed).collect())
}

/// Refuses the run in `dir`, if there is one, if it was begun with another configuration.
fn check_recorded(config: &RunConfig, dir: &Path, same: &[&str]) -> Result<(), TrainError> {
    let path = dir.join(CONFIG_NAME);
    if !path.is_file() {
        return Ok(());
    }
    let recorded = RunConfig::read(&path, &[])?;
    Ok(config.check_resumes(&recorded, dir, same)?)
}

/// Checks, for each branch that is not trained yet, that its whole run has not reached the branch point or
/// still has that checkpoint.
fn check_branch_points(cell: &Cell) -> Result<(), ExperimentError> {
    let whole = &cell.whole;
    let checkpoints = CheckpointStore::of_run(&whole.dir);
    let done = whole.n_steps - whole.n_steps_left()?;
    for branch in &cell.branches {
        let has_begun = !CheckpointStore::of_run(&branch.dir).steps()?.is_empty();
        let is_there = checkpoints.path(branch.first_step).is_dir();
        if !(branch.is_trained() || has_begun || is_there) && done >= branch.first_step {
            return Err(ExperimentError::BranchPointGone {
                share: branch.share,
                run: whole.dir.clone(),
                step: branch.first_step,
            });
        }
    }
    Ok(())
}
