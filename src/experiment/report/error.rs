//! What can go wrong with a report.

use crate::error::{Classified, Kind};
use crate::experiment::ExperimentError;
use crate::page::PageError;
use crate::shards::ShardsError;
use crate::storage::{JsonFault, StorageError};
use crate::train::TrainError;
use crate::train::metrics::MetricsError;
use crate::view::ViewError;
use std::path::PathBuf;

/// A report that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not an experiment, or one without finished runs.
    #[error(
        "{} has no results.json: expected the directory of an experiment, as `saltworks-train compare` writes it",
        dir.display()
    )]
    NoResults {
        /// As given.
        dir: PathBuf,
    },
    /// The report's directory is a file.
    #[error("{} is a file: expected a directory for the report; choose another --output", dir.display())]
    NotADirectory {
        /// The file.
        dir: PathBuf,
    },
    /// Results of another format.
    #[error(
        "{} is of version {got}, this program reads {expected}: use the version of saltworks that wrote it, or compare again",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Version of this program.
        expected: u32,
        /// Version of the file.
        got: u64,
    },
    /// Results that are damaged.
    #[error(
        "{} contains no valid results; restore it, or run `saltworks-train compare` again, which resumes from what is done",
        path.display()
    )]
    Results {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        fault: JsonFault,
    },
    /// Empty results.
    #[error(
        "the results of {name} have nothing to report: expected at least one arm with a run; \
         run the experiment first, with `saltworks-train compare`"
    )]
    Empty {
        /// The experiment.
        name: String,
    },
    /// Results without the baseline that they name.
    #[error(
        "the results name the baseline {baseline}, but the arms are {}; name one of them",
        arms.join(", ")
    )]
    NoBaseline {
        /// As named.
        baseline: String,
        /// Existing arms.
        arms: Vec<String>,
    },
    /// A figure that could not be drawn.
    #[error("cannot draw {}", path.display())]
    Draw {
        /// The picture.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// From `metrics`.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// From `shards`.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// From `view`.
    #[error(transparent)]
    View(#[from] ViewError),
    /// From `page`.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A file of the experiment that cannot be read.
    #[error(transparent)]
    Experiment(#[from] Box<ExperimentError>),
    /// A run's records cannot be read.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// From `storage`.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classified for ReportError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoResults { .. }
            | Self::NotADirectory { .. }
            | Self::Empty { .. }
            | Self::NoBaseline { .. } => Kind::Usage,
            Self::Version { .. } | Self::Results { .. } => Kind::BadData,
            Self::Draw { .. } => Kind::Failed,
            Self::Metrics(error) => error.kind(),
            Self::Shards(error) => error.kind(),
            Self::View(error) => error.kind(),
            Self::Page(error) => error.kind(),
            Self::Experiment(error) => error.kind(),
            Self::Train(error) => error.kind(),
            Self::Storage(error) => error.kind(),
        }
    }
}
