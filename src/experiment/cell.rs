//! One cell: its whole run, its branches, and their scores.

use super::arm::Arm;
use super::error::ExperimentError;
use super::grid::{Cell, RunPlan};
use super::pace::Pace;
use super::scores::{ModelScores, score_missing};
use super::work::{Experiment, Watch};
use crate::error::{Classified, Kind};
use crate::interrupt::Interrupt;
use crate::storage::{remove_file, remove_tree};
use crate::train::TrainError;
use crate::train::run::{self, Observer, Outcome, Start};

/// A file in a branch's model directory that is not needed again.
const ONNX_NAME: &str = "model.onnx";

/// A cell being worked on.
pub(super) struct CellWork<'a> {
    pub(super) experiment: &'a Experiment,
    pub(super) arm: &'a Arm,
    pub(super) cell: &'a Cell,
    /// Its index, from 0.
    pub(super) idx: usize,
    pub(super) interrupt: &'a Interrupt,
    pub(super) watch: &'a Watch<'a>,
    pub(super) pace: &'a Pace,
}

impl CellWork<'_> {
    /// Does what is not done yet, then removes files that are no longer needed.
    pub(super) fn run(&self) -> Result<(), ExperimentError> {
        if self.experiment.is_done(self.cell)? {
            return self.remove_resume_state();
        }
        self.note(&format!(
            "cell {} of {}: {}",
            self.idx + 1,
            self.experiment.cells.len(),
            self.cell.name()
        ));
        for run in self.cell.runs() {
            self.finish(run)
                .map_err(|error| self.interrupted(error, run))?;
        }
        self.remove_resume_state()
    }

    fn finish(&self, plan: &RunPlan) -> Result<(), ExperimentError> {
        self.train(plan)?;
        let pool = run::pool_of(self.arm.config.train.threads());
        let pool = pool.map_err(|error| self.failed(plan, error.into()))?;
        let sets = &self.experiment.sets;
        score_missing(plan, &self.arm.sources, sets, &pool, self.interrupt)
    }

    /// A trained model with scores was compared with the inputs when the grid was opened. For one without, the
    /// run itself checks that they are still those it was trained on, by what it recorded when it began.
    fn train(&self, run: &RunPlan) -> Result<(), ExperimentError> {
        if let Some(known) = ModelScores::read(run)? {
            return match run.has_sources() {
                true => Ok(()),
                false => Ok(known.sources.write(&run.dir)?),
            };
        }
        let config = self.cell.config_of(run, &self.arm.config);
        let observer = Observer {
            on_start: &|_| {},
            on_note: &|text| self.note(&format!("{}: {text}", run.name())),
            on_progress: &|snapshot| {
                let place = (self.idx, self.experiment.cells.len());
                let snapshot = self.pace.snapshot(self.cell, run, place, snapshot);
                (self.watch.on_progress)(&snapshot);
            },
        };
        let label_fingerprints = &self.arm.label_fingerprints;
        let start = Start::LatestInGrid;
        let outcome = run::run_as_of(
            &config,
            label_fingerprints,
            start,
            self.interrupt,
            &observer,
        );
        let outcome = outcome.map_err(|error| self.failed(run, error))?;
        if let Outcome::Finished(finished) = outcome {
            self.note(&format!(
                "{}: {} steps, {} tokens, {:.0} s",
                run.name(),
                finished.n_steps,
                finished.n_tokens,
                finished.seconds
            ));
        }
        Ok(())
    }

    /// Removes what only a resumed run would need, once the cell is done.
    fn remove_resume_state(&self) -> Result<(), ExperimentError> {
        if self.experiment.config.keep_checkpoints {
            return Ok(());
        }
        for run in self.cell.runs() {
            remove_tree(&run.dir.join("checkpoints"))?;
        }
        for branch in &self.cell.branches {
            remove_file(&branch.model_dir().join(ONNX_NAME))?;
        }
        Ok(())
    }

    fn note(&self, text: &str) {
        (self.watch.on_note)(text);
    }

    fn failed(&self, run: &RunPlan, source: TrainError) -> ExperimentError {
        ExperimentError::Cell {
            cell: run.full_name(),
            source: Box::new(source),
        }
    }

    fn interrupted(&self, error: ExperimentError, run: &RunPlan) -> ExperimentError {
        if error.kind() != Kind::Interrupted {
            return error;
        }
        ExperimentError::Interrupted {
            cell: run.full_name(),
            n_done: self.experiment.n_done().unwrap_or(self.idx),
            n_cells: self.experiment.cells.len(),
        }
    }
}
