use crate::error::{Classified, Kind};
use crate::shards::ShardsError;
use std::path::PathBuf;

/// What can go wrong while computing a teacher's figures from its labels.
#[derive(Debug, thiserror::Error)]
pub enum BoundsError {
    /// The set could not be read.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// No shard has a sidecar.
    #[error("{dir} has no finished shard; resume it by running the same `saltworks label` again")]
    NothingFinished {
        /// The set.
        dir: PathBuf,
    },
    /// Top-k mass was requested of more ids than are stored, or of none.
    #[error(
        "{dir} does not give the probability of the top {k} ids: it needs the groups stats and topk, and k from 1 to the {top_k} stored ids"
    )]
    TopK {
        /// The set.
        dir: PathBuf,
        /// The k that was asked for.
        k: u32,
        /// K of the set; 0 where it lacks a group.
        top_k: u32,
    },
    /// Two sets with different teachers or different kinds of sequences.
    #[error(
        "{held_out} cannot be compared with {labels}: its {field} is {got}, expected {expected}; label the held-out text with the same teacher and options"
    )]
    NotComparable {
        /// The set of the training text.
        labels: PathBuf,
        /// The set that should be of held-out text.
        held_out: PathBuf,
        /// Field in which the plans differ.
        field: &'static str,
        /// Value in the first.
        expected: String,
        /// Value in the second.
        got: String,
    },
    /// The same text twice.
    #[error(
        "{held_out} is not held out: it has sequences of {labels}; label text that the teacher was not trained on"
    )]
    NotHeldOut {
        /// The set of the training text.
        labels: PathBuf,
        /// The set that should be of held-out text.
        held_out: PathBuf,
    },
}

impl Classified for BoundsError {
    fn kind(&self) -> Kind {
        match self {
            BoundsError::Shards(source) => source.kind(),
            _ => Kind::Usage,
        }
    }
}
