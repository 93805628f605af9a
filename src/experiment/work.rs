//! A grid that could be worked on, and whether what is there already is of it.

use super::arm::{Arm, ArmFacts};
use super::config::{ArmConfig, ExperimentConfig};
use super::error::ExperimentError;
use super::grid::{Cell, RunPlan};
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

/// Whose lock says that a process works here.
const LOCK_NAME: &str = ".lock";
/// Bytes a parameter: weights as safetensors and as ONNX.
const MODEL_BYTES: u64 = 8;
/// Bytes a parameter: weights and both moments.
const CHECKPOINT_BYTES: u64 = 12;

/// Which cells of the grid are worked on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Names of arms; none stands for all.
    pub arms: Vec<String>,
    /// Seeds; none stands for all.
    pub seeds: Vec<u64>,
}

/// Who is told what happens, on a thread of a run's pool.
pub struct Watch<'a> {
    /// Once no other process works in the directory, before anything is trained.
    pub on_start: &'a (dyn Fn() + Sync),
    /// What is worth a line.
    pub on_note: &'a (dyn Fn(&str) + Sync),
    /// After every step.
    pub on_progress: &'a (dyn Fn(&GridSnapshot) + Sync),
}

/// A grid that could be worked on: everything that it reads was opened, and what is there already
/// was found to be of it.
pub struct Experiment {
    pub(super) config: ExperimentConfig,
    pub(super) arms: Vec<Arm>,
    /// What models are evaluated on.
    pub(super) sets: Vec<OpenedSet>,
    /// The cells that were chosen.
    pub(super) cells: Vec<Cell>,
    n_bytes: u64,
}

impl Experiment {
    /// Opens all arms of `filter` and all sets; writes nothing. Runs of other arms and seeds stand in
    /// the same results, so they are compared with the configuration too; of an arm whose inputs are gone
    /// only what it recorded of itself is.
    ///
    /// # Errors
    /// Whatever is wrong with the configuration, an arm, a set, or what is in the directory already;
    /// an input of the report that is not there; too little room on the disk.
    pub fn open(config: ExperimentConfig, filter: &RunFilter) -> Result<Self, ExperimentError> {
        let arms = open_arms(&config, filter)?;
        check_others(&config, &arms)?;
        config.report.check()?;
        let known = read_sets(&config.output)?;
        let open = |set| OpenedSet::open(set, &arms, &known);
        let sets = config
            .sets
            .iter()
            .map(open)
            .collect::<Result<Vec<_>, _>>()?;
        for (_, teacher) in config.teachers() {
            TeacherCost::read(teacher)?;
        }
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

    /// What is likely not to be meant, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        let of_arms = self.arms.iter().flat_map(Arm::notes);
        of_arms
            .chain(self.sets.iter().filter_map(OpenedSet::note))
            .collect()
    }

    /// What would be done, a line each.
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

    /// Cells that are done.
    pub(super) fn n_done(&self) -> Result<usize, ExperimentError> {
        let mut n_done = 0;
        for cell in &self.cells {
            n_done += usize::from(self.is_done(cell)?);
        }
        Ok(n_done)
    }

    /// Bytes that are still to be written, at the fullest moment.
    fn bytes_left(&self) -> Result<u64, ExperimentError> {
        let n_params = self.arms[0].facts.n_params;
        let untrained = self.cells.iter().flat_map(Cell::runs);
        let n_models = untrained.filter(|run| !run.is_trained()).count() as u64;
        let n_points = self.cells[0].branches.len() as u64;
        let n_cells = match self.config.keep_checkpoints {
            true => self.cells.len() as u64,
            false => 1,
        };
        // One more is there while the next is written.
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

    /// Shows that the directory can be written to, and that no other process works there.
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

/// Arms that were trained before stand in the same results. One that cannot be opened any more was
/// compared with its inputs when it could.
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

/// Refuses what is in the directories of an arm, of any seed, if it is of another configuration or of
/// other inputs.
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

/// Refuses a trained model that is not what was written, before it is scored or stands for results.
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

/// Refuses the run in `dir`, if there is one, where it was begun with another configuration.
fn check_recorded(config: &RunConfig, dir: &Path, same: &[&str]) -> Result<(), TrainError> {
    let path = dir.join(CONFIG_NAME);
    if !path.is_file() {
        return Ok(());
    }
    let recorded = RunConfig::read(&path, &[])?;
    Ok(config.check_resumes(&recorded, dir, same)?)
}

/// Where a branch is not trained yet, its whole run has not come to it, or keeps that checkpoint.
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
