//! Callbacks of a run, and its results.

use super::inputs::Inputs;
use super::memory::{MemoryNeed, MemoryRoom};
use super::pace::Snapshot;
use super::profile::StepProfile;
use super::validation::ValidationReport;
use crate::train::data::Coverage;
use std::path::PathBuf;

/// What is known before the first step.
#[derive(Debug)]
pub struct Overview<'a> {
    /// The inputs, with the resolved configuration.
    pub inputs: &'a Inputs,
    /// Memory that the run needs.
    pub memory: MemoryNeed,
    /// Memory that it may use; `None` if that is unknown.
    pub room: Option<MemoryRoom>,
    /// Sequences needed and available.
    pub coverage: Coverage,
}

/// Callbacks, called on a thread of the pool.
pub struct Observer<'a> {
    /// Before anything is written or allocated.
    pub on_start: &'a (dyn Fn(&Overview<'_>) + Sync),
    /// Called with notes, between two steps.
    pub on_note: &'a (dyn Fn(&str) + Sync),
    /// After every step, and once more at the end.
    pub on_progress: &'a (dyn Fn(&Snapshot) + Sync),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It was finished by an earlier process.
    AlreadyFinished {
        /// The trained model.
        model: PathBuf,
    },
    /// This process finished it.
    Finished(Box<Finished>),
}

/// A finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The trained model.
    pub model: PathBuf,
    /// Steps of the run.
    pub n_steps: u64,
    /// Positions learnt from.
    pub n_tokens: u64,
    /// Seconds that the steps took, over all processes.
    pub seconds: f64,
    /// The last step of this process, if it did one.
    pub last_step: Option<Snapshot>,
    /// Time spent in each part of this process's steps.
    pub profile: StepProfile,
    /// The last validation, if there was one.
    pub validation: Option<ValidationReport>,
}
