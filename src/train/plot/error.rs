//! What can go wrong when plotting runs.

use crate::error::{Classified, Kind};
use crate::storage::StorageError;
use crate::train::metrics::MetricsError;
use std::path::PathBuf;

/// Runs that cannot be plotted.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// Not a run.
    #[error(
        "{} is not a run: expected a directory with metrics.jsonl, as `saltworks-train run` writes it",
        path.display()
    )]
    NoRun {
        /// As given.
        path: PathBuf,
    },
    /// A run that has logged nothing yet.
    #[error(
        "the run {} has nothing to plot: its metrics.jsonl has no training steps yet; wait for the first, or leave the run out",
        path.display()
    )]
    Empty {
        /// As given.
        path: PathBuf,
    },
    /// The same run twice.
    #[error("the run {} is given twice: leave one out", path.display())]
    Twice {
        /// As given the second time.
        path: PathBuf,
    },
    /// No runs, or more than there are colours and line styles for.
    #[error("expected 1 to {most} runs in one figure, got {got}; plot several figures")]
    Count {
        /// The maximum.
        most: usize,
        /// As given.
        got: usize,
    },
    /// A teacher's run without a validation.
    #[error(
        "the teacher's run {} has no validation NLL: expected a run with [data] validation; leave --teacher out",
        path.display()
    )]
    NoValidation {
        /// As given.
        path: PathBuf,
    },
    /// A teacher that was validated on other text than a run.
    #[error(
        "the teacher's run {} was validated on {teacher_targets} targets, the run {run} on {run_targets}: their NLL \
         cannot be compared; expected runs with the same [data] validation and eval.sequences",
        path.display()
    )]
    OtherValidation {
        /// The teacher's run, as given.
        path: PathBuf,
        /// The other run.
        run: String,
        /// Targets of the teacher's validation.
        teacher_targets: u64,
        /// Targets of the run's.
        run_targets: u64,
    },
    /// The drawing itself failed.
    #[error("cannot plot {}", path.display())]
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
    /// From `storage`.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classified for PlotError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoRun { .. }
            | Self::Empty { .. }
            | Self::Twice { .. }
            | Self::Count { .. }
            | Self::NoValidation { .. }
            | Self::OtherValidation { .. } => Kind::Usage,
            Self::Draw { .. } => Kind::Failed,
            Self::Metrics(error) => error.kind(),
            Self::Storage(error) => error.kind(),
        }
    }
}
