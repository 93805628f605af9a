//! What a run tells those who watch it, before, on the way and at the end.

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
    /// What is read, and how the configuration was resolved.
    pub inputs: &'a Inputs,
    /// What the run holds.
    pub memory: MemoryNeed,
    /// What it may take; `None` where the system does not say.
    pub room: Option<MemoryRoom>,
    /// Sequences needed and there.
    pub coverage: Coverage,
}

/// Who is told what happens, on a thread of the pool.
pub struct Observer<'a> {
    /// Before anything is written or allocated.
    pub on_start: &'a (dyn Fn(&Overview<'_>) + Sync),
    /// What is worth a line between two steps.
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
    /// It is finished.
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
    /// Where the time of this process's steps went.
    pub profile: StepProfile,
    /// The last validation, if there was one.
    pub validation: Option<ValidationReport>,
}
