//! Grids of training runs, arm by seed, and what they show.
//!
//! ```text
//! OUTPUT/
//!   results.json                   what is known so far, written after every cell
//!   results.md                     the same as tables, every cell with its values by seed
//!   sets.json                      what the models are evaluated on
//!   samples.json                   what the model of each arm writes after the same words
//!   invocations.jsonl              the calls that worked here
//!   runs/ARM/arm.json              settings and costs of an arm
//!   runs/ARM/seed-S/               a run to the end (see `train::run`), with
//!     sources.json                 what it was trained from, by contents
//!     scores.json                  its model on every set
//!     at-50/, at-60/, ...          branches: runs that leave it and decay early, each with scores
//!   .lock                          held by the process that works here
//! ```
//!
//! A cell is one arm with one seed: a whole run of N steps whose learning rate stays and then falls
//! over the last D (`wsd`), and branches, each from the whole run's checkpoint at step x * N - D, that
//! fall over D steps to the end at x * N. So a model of fewer steps is compared as it would have been
//! if its run had been meant to be so short, at the price of D steps instead of x * N.
//!
//! Cells are worked on one after the other, seed by seed. Whatever stops the work, the same call goes
//! on: a run from its checkpoint, an evaluation from the last set. What is finished is looked at
//! again, and refused if it is of another configuration or of other inputs.
//!
//! The way through: `config` is what was typed; `arm` and `sets` are what it opens, and `grid` the
//! cells. `work` checks what is there, and `run` goes through them, by `cell` and `scores`. `collect` reads results from the directory,
//! with what `cost` says; `summary` has what they show, and `tables` and `report` how that looks.
//!
//! `runs` has the same results of finished runs that no grid made, of either trainer, by their own validations.
//!
//! Invariant: this room names neither `teacher` nor `label`.

mod arm;
mod cell;
mod collect;
mod config;
mod cost;
mod error;
mod grid;
mod json;
mod pace;
pub mod report;
mod results;
mod run;
mod runs;
mod scores;
mod sets;
mod summary;
mod tables;
#[cfg(test)]
pub(crate) mod testing;
mod work;

pub use collect::{MARKDOWN_NAME, RESULTS_NAME, collect, write};
pub use config::{
    ArmConfig, Arms, BranchesConfig, ExperimentConfig, ReportConfig, SetConfig, TeacherConfig,
};
pub use error::ExperimentError;
pub use pace::GridSnapshot;
pub use results::{
    ArmResults, BranchResults, BucketScore, EvalSet, RESULTS_VERSION, Results, RunResults,
    SetScore, TeacherCost,
};
pub use runs::{ArmRuns, RunsConfig, collect_runs, write_runs};
pub use summary::{ArmReach, Budget, OverSeeds, Reach, reach};
pub use tables::{ResultTable, TableCell, tables, to_markdown, to_text};
pub use work::{Experiment, RunFilter, Watch};
