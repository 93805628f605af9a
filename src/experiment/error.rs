//! What can go wrong with an experiment.

use crate::error::{Classified, Kind};
use crate::shards::ShardsError;
use crate::storage::StorageError;
use crate::train::TrainError;
use crate::train::config::ConfigError;
use crate::view::ViewError;
use std::path::PathBuf;

/// An experiment that cannot begin, or was stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentError {
    /// `experiment.toml`.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An arm whose configuration is not valid, or whose inputs cannot be opened.
    #[error("the arm {arm} cannot be trained")]
    Arm {
        /// Its name.
        arm: String,
        /// Why.
        #[source]
        source: Box<TrainError>,
    },
    /// A set that cannot be evaluated on.
    #[error("cannot evaluate on the set {set}")]
    Set {
        /// Its name.
        set: String,
        /// Why.
        #[source]
        source: Box<TrainError>,
    },
    /// The teacher's run cannot be read.
    #[error("cannot read the costs of the teacher from {} (teacher.run)", run.display())]
    Teacher {
        /// Directory of the run.
        run: PathBuf,
        /// Why.
        #[source]
        source: Box<TrainError>,
    },
    /// Labels whose costs cannot be read.
    #[error("cannot read the costs of the labels of the arm {arm}")]
    Labels {
        /// Name of the arm.
        arm: String,
        /// Why.
        #[source]
        source: Box<ShardsError>,
    },
    /// An existing run has another configuration or other inputs.
    #[error("cannot resume {cell}")]
    OtherRun {
        /// Which run.
        cell: String,
        /// What differs.
        #[source]
        source: Box<TrainError>,
    },
    /// A run whose results cannot be read.
    #[error("cannot take the results of the run in {}", run.display())]
    FinishedRun {
        /// Directory of the run.
        run: PathBuf,
        /// Why.
        #[source]
        source: Box<TrainError>,
    },
    /// A run that stopped.
    #[error(
        "{cell} stopped; finished work is kept, and when the cause is fixed, the same `compare` resumes"
    )]
    Cell {
        /// Which run.
        cell: String,
        /// Why.
        #[source]
        source: Box<TrainError>,
    },
    /// The model of a finished run is not the one that was scored.
    #[error(
        "{cell}: {} is not the model that was scored (samples of it now have the BLAKE3 {got}, then {expected}): restore it, or remove {} to train that run again; its results are unchanged",
        path.display(), run.display()
    )]
    OtherModel {
        /// Which run.
        cell: String,
        /// The weights.
        path: PathBuf,
        /// BLAKE3 of the weights that were scored.
        expected: String,
        /// BLAKE3 of the current weights.
        got: String,
        /// Directory of the run.
        run: PathBuf,
    },
    /// The model of a finished run is damaged.
    #[error("the model of {cell} is damaged; its results are unchanged (to train that run again, remove {})", run.display())]
    DamagedModel {
        /// Which run.
        cell: String,
        /// Directory of the run.
        run: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<TrainError>,
    },
    /// A branch needs a checkpoint of its run that is gone.
    #[error(
        "branches.shares contains {share}, but {} is past step {step} and has no checkpoint of it: remove the share, or remove that directory to train it again",
        run.display()
    )]
    BranchPointGone {
        /// The branch's fraction of the steps.
        share: f64,
        /// Directory of the whole run.
        run: PathBuf,
        /// The step at which the branch begins.
        step: u64,
    },
    /// Too little room for all runs.
    #[error(
        "the runs need about {needed} MiB of disk, and {} has {free} MiB: free some, or choose another output",
        output.display()
    )]
    Disk {
        /// Space still needed, MiB.
        needed: u64,
        /// Free space, MiB.
        free: u64,
        /// Directory of the experiment.
        output: PathBuf,
    },
    /// Results were requested before there are any.
    #[error("{} has no results yet: run `compare` without --report-only first", output.display())]
    Nothing {
        /// Directory of the experiment.
        output: PathBuf,
    },
    /// A damaged file of the experiment.
    #[error("{} is damaged ({reason}): remove it, and the same `compare` writes it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Another process is working on the same experiment.
    #[error("another process is working on {}: wait for it; --report-only shows the results so far", output.display())]
    Locked {
        /// Directory of the experiment.
        output: PathBuf,
    },
    /// The process was asked to stop.
    #[error(
        "interrupted in {cell}, with {n_done} of {n_cells} runs done; the same command resumes from there"
    )]
    Interrupted {
        /// Which run.
        cell: String,
        /// Finished cells.
        n_done: usize,
        /// Requested cells.
        n_cells: usize,
    },
    /// From `view`: the footer of a shard.
    #[error(transparent)]
    View(#[from] ViewError),
    /// From `storage`.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classified for ExperimentError {
    fn kind(&self) -> Kind {
        match self {
            Self::Config(error) => error.kind(),
            Self::Nothing { .. } | Self::BranchPointGone { .. } => Kind::Usage,
            Self::Arm { source, .. }
            | Self::Set { source, .. }
            | Self::Teacher { source, .. }
            | Self::OtherRun { source, .. }
            | Self::FinishedRun { source, .. }
            | Self::DamagedModel { source, .. }
            | Self::Cell { source, .. } => source.kind(),
            Self::Labels { source, .. } => source.kind(),
            Self::Damaged { .. } | Self::OtherModel { .. } => Kind::BadData,
            Self::Disk { .. } | Self::Locked { .. } => Kind::Failed,
            Self::Interrupted { .. } => Kind::Interrupted,
            Self::View(error) => error.kind(),
            Self::Storage(error) => error.kind(),
        }
    }
}
