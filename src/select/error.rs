use crate::error::{Classified, Kind};
use crate::shards::ShardsError;
use crate::storage::StorageError;
use std::path::PathBuf;

/// What can go wrong while sequences are selected.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// Labels that are damaged, incomplete or not there; a selection that could not be encoded.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// The selection, or a temporary file beside it, could not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A policy that cannot be.
    #[error("{what} is {got}, expected {expected}")]
    Policy {
        /// Which setting.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// A file in the selection's place that is something else.
    #[error(
        "{} exists and is not a selection: choose another --output, or remove it",
        path.display()
    )]
    NotASelection {
        /// The file or directory.
        path: PathBuf,
    },
    /// A selection that labels were made of, beside them.
    #[error(
        "{} lists the sequences of the labels next to it, which cannot be read without it: choose another --output",
        path.display()
    )]
    OfLabels {
        /// The file.
        path: PathBuf,
    },
    /// A difference of scores of different sequences.
    #[error(
        "{} and {} do not label the same sequences: {field} is {ours} in the first and {theirs} in the second; label the same corpus, cut in the same way, with both models",
        labels.display(),
        minus.display()
    )]
    OtherSequences {
        /// The labels whose scores are taken.
        labels: PathBuf,
        /// The labels whose scores are subtracted.
        minus: PathBuf,
        /// What differs.
        field: String,
        /// Value of the first, as JSON.
        ours: String,
        /// Value of the second, as JSON.
        theirs: String,
    },
    /// A policy that keeps nothing.
    #[error(
        "the policy keeps none of {n_rows} sequences: {n_eligible} are eligible ({n_null} have no {score}, {n_below_floor} are below --min-learnable), and the first of them exceeds the amount to keep; raise the amount or lower --min-learnable"
    )]
    KeepsNothing {
        /// Sequences of the labels.
        n_rows: u64,
        /// Those that may be taken.
        n_eligible: u64,
        /// Those without a score.
        n_null: u64,
        /// Those with one, but below the floor.
        n_below_floor: u64,
        /// The score.
        score: &'static str,
    },
}

impl Classified for SelectError {
    fn kind(&self) -> Kind {
        match self {
            SelectError::Shards(error) => error.kind(),
            SelectError::Storage(error) => error.kind(),
            SelectError::Policy { .. }
            | SelectError::NotASelection { .. }
            | SelectError::OfLabels { .. }
            | SelectError::OtherSequences { .. }
            | SelectError::KeepsNothing { .. } => Kind::Usage,
        }
    }
}
