//! Grids of training runs, arm by seed, and their results.
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
//! A cell is one arm with one seed: a whole run of N steps whose learning rate is constant and then decays over
//! the last D steps (`wsd`), and branches. Each branch starts from the whole run's checkpoint at step x * N -
//! D, and decays over D steps to its end at x * N. So models of fewer steps are compared as if their runs had
//! been planned to be that short, at the price of D steps instead of x * N.
//!
//! Cells are worked on one after another, seed by seed. If the work stops for any reason, the same call resumes
//! it: a run from its checkpoint, an evaluation from the last set. Finished work is checked again, and refused
//! if it has another configuration or other inputs.
//!
//! Reading order: `config` is the configuration as typed; `arm` and `sets` are the inputs that it opens, and `grid`
//! the cells. `work` checks existing work, and `run` works through the cells, with `cell` and `scores`. `collect`
//! reads results from the directory, with costs from `cost`; `summary` computes comparisons, which `tables` and
//! `report` present.
//!
//! `runs` makes the same results from finished runs of either trainer outside a grid, by their own validations.
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
mod output;
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
