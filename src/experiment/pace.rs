//! Progress of a grid, and when it will be done.

use super::error::ExperimentError;
use super::grid::{Cell, RunPlan};
use crate::train::run::Snapshot;
use serde::Serialize;
use std::sync::Mutex;
use std::time::Instant;

/// Progress after a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GridSnapshot {
    /// Number of the current cell, from 1.
    pub cell: usize,
    /// Number of cells.
    pub n_cells: usize,
    /// Its arm.
    pub arm: String,
    /// Its seed.
    pub seed: u64,
    /// Which run of the cell.
    pub run: String,
    /// Progress of the run.
    #[serde(flatten)]
    pub step: Snapshot,
    /// Steps of all cells that are still to be done.
    pub n_steps_left: u64,
    /// Seconds left for all of them, at the speed of this process so far, including evaluations.
    pub experiment_eta_s: Option<f64>,
}

/// Speed over all steps of this process.
pub(super) struct Pace {
    began: Instant,
    n_steps: u64,
    done: Mutex<Done>,
}

/// Steps of this process.
#[derive(Debug, Default)]
struct Done {
    n_steps: u64,
    /// Run and step of the last one.
    last: Option<(std::path::PathBuf, u64)>,
}

impl Pace {
    /// Before the first step of this process.
    pub(super) fn new(cells: &[Cell]) -> Result<Self, ExperimentError> {
        let runs = cells.iter().flat_map(Cell::runs);
        Ok(Self {
            began: Instant::now(),
            n_steps: runs.map(RunPlan::n_steps_left).sum::<Result<u64, _>>()?,
            done: Mutex::default(),
        })
    }

    /// Progress after a step of `run`, in cell number `place.0` of `place.1`.
    pub(super) fn snapshot(
        &self,
        cell: &Cell,
        run: &RunPlan,
        place: (usize, usize),
        step: &Snapshot,
    ) -> GridSnapshot {
        let n_done = self.count(run, step.step);
        let n_steps_left = self.n_steps.saturating_sub(n_done);
        let seconds_per_step = self.began.elapsed().as_secs_f64() / n_done.max(1) as f64;
        let eta_s = seconds_per_step * n_steps_left as f64;
        GridSnapshot {
            cell: place.0 + 1,
            n_cells: place.1,
            arm: cell.arm.clone(),
            seed: cell.seed,
            run: run.name(),
            step: *step,
            n_steps_left,
            experiment_eta_s: (n_done > 0).then(|| eta_s.round()),
        }
    }

    /// Counts the step, which may be reported more than once, and returns the sum.
    fn count(&self, run: &RunPlan, step: u64) -> u64 {
        let lock = self.done.lock();
        let mut done = lock.unwrap_or_else(std::sync::PoisonError::into_inner);
        let this = Some((run.dir.clone(), step));
        if done.last != this {
            done.n_steps += 1;
            done.last = this;
        }
        done.n_steps
    }
}
