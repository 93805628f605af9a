//! The ways in which a row can be wrong.

use crate::error::{Classified, Kind};

/// The invariant that a row breaks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowFault {
    /// Not the plan's sequence for this row.
    #[error("the row is sequence {got}, but the plan has sequence {expected} here")]
    SeqId {
        /// The plan's.
        expected: u64,
        /// The row's.
        got: u64,
    },
    /// An impossible number of targets for this sequence.
    #[error("n_targets is {got}, expected {min} to {max}")]
    NTargets {
        /// The row's.
        got: u32,
        /// Smallest possible.
        min: u32,
        /// Largest possible.
        max: u32,
    },
    /// A list of the wrong length.
    #[error("{column} has {got} values, expected {expected}")]
    Length {
        /// The column.
        column: &'static str,
        /// The length implied by n_targets and K.
        expected: usize,
        /// The list's.
        got: usize,
    },
    /// An id outside the teacher's vocabulary.
    #[error("{column}[{idx}] is {id}, outside the vocabulary of {vocab_size}")]
    IdPastVocab {
        /// The column.
        column: &'static str,
        /// Index in the list.
        idx: usize,
        /// The id.
        id: u32,
        /// V.
        vocab_size: u32,
    },
    /// An invalid value of this quantity.
    #[error("{column}[{idx}] is {value}, expected {expected}")]
    Value {
        /// The column.
        column: &'static str,
        /// Index in the list; 0 for a scalar.
        idx: usize,
        /// The value.
        value: f64,
        /// The valid values.
        expected: &'static str,
    },
    /// Kept log-probabilities that increase.
    #[error(
        "topk_logprobs of position {position} increase at entry {entry}, expected descending ones"
    )]
    TopkOrder {
        /// t.
        position: usize,
        /// Entry in 0..K.
        entry: usize,
    },
    /// An id that is kept twice.
    #[error("topk_ids of position {position} contain id {id} twice")]
    RepeatedId {
        /// t.
        position: usize,
        /// The id.
        id: u32,
    },
    /// A rank that the stored ids contradict.
    #[error(
        "target_rank of position {position} is {rank}, but topk_ids have its target {target} {}",
        kept.map_or_else(|| "nowhere".to_owned(), |entry| format!("as entry {entry}"))
    )]
    Rank {
        /// t.
        position: usize,
        /// The stored rank.
        rank: u16,
        /// The target's id.
        target: u32,
        /// Where it is among the stored ids.
        kept: Option<usize>,
    },
    /// Two stored values of one quantity that differ.
    #[error("{column}[{idx}] is {value}, but {other} give {expected}")]
    Disagrees {
        /// The column.
        column: &'static str,
        /// Index in the list; 0 for a scalar.
        idx: usize,
        /// The stored value.
        value: f64,
        /// The columns that contradict it.
        other: &'static str,
        /// The value they imply.
        expected: f64,
    },
    /// Ids of one position's draws that do not increase.
    #[error(
        "sampled_ids of position {position} do not increase at entry {entry}, expected each id once, in ascending order"
    )]
    SampledOrder {
        /// t.
        position: usize,
        /// Entry among the position's distinct ids.
        entry: usize,
    },
    /// Counts of one position that do not add up to the plan's draws.
    #[error("sampled_counts of position {position} add up to {got}, expected {expected}")]
    Draws {
        /// t.
        position: usize,
        /// N.
        expected: u64,
        /// Sum of the counts.
        got: u64,
    },
    /// Impossible sums of documents.
    #[error("the columns piece_* are inconsistent: {what}")]
    Pieces {
        /// What is wrong.
        what: &'static str,
    },
    /// Impossible document offsets or indices.
    #[error("doc_starts and doc_indices are inconsistent: {what}")]
    Documents {
        /// What is wrong.
        what: &'static str,
    },
}

impl Classified for RowFault {
    fn kind(&self) -> Kind {
        Kind::BadData
    }
}
