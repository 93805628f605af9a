//! Grids of training runs, arm by seed, and what they show.
//!
//! Invariant: this room names neither `teacher` nor `label`.

pub mod report;
mod results;

pub use results::{
    ArmResults, BranchResults, BucketScore, EvalSet, RESULTS_VERSION, Results, RunResults,
    SetScore, TeacherCost,
};
