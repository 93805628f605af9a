//! The ways in which a row can be wrong.

use crate::error::{Classified, Kind};

/// The invariant that a row breaks.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RowFault {
    /// Another sequence than the plan has in this row.
    #[error("the row is sequence {got}, but the plan has sequence {expected} here")]
    SeqId {
        /// The plan's.
        expected: u64,
        /// The row's.
        got: u64,
    },
    /// A number of targets that this sequence cannot have.
    #[error("n_targets is {got}, expected {min} to {max}")]
    NTargets {
        /// The row's.
        got: u32,
        /// Least possible.
        min: u32,
        /// Greatest possible.
        max: u32,
    },
    /// A list of the wrong length.
    #[error("{column} has {got} values, expected {expected}")]
    Length {
        /// The column.
        column: &'static str,
        /// What n_targets and K ask for.
        expected: usize,
        /// The list's.
        got: usize,
    },
    /// An id that the teacher does not predict.
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
    /// A number that this quantity cannot be.
    #[error("{column}[{idx}] is {value}, expected {expected}")]
    Value {
        /// The column.
        column: &'static str,
        /// Index in the list; 0 for a scalar.
        idx: usize,
        /// The value.
        value: f64,
        /// What it could be.
        expected: &'static str,
    },
    /// Kept log-probabilities that rise.
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
        /// What they make of it.
        expected: f64,
    },
    /// Ids of one position's draws that are not rising.
    #[error(
        "sampled_ids of position {position} do not increase at entry {entry}, expected each id once, in ascending order"
    )]
    SampledOrder {
        /// t.
        position: usize,
        /// Entry among the position's distinct ids.
        entry: usize,
    },
    /// Counts of one position that are not those of the plan's draws.
    #[error("sampled_counts of position {position} add up to {got}, expected {expected}")]
    Draws {
        /// t.
        position: usize,
        /// N.
        expected: u64,
        /// Sum of the counts.
        got: u64,
    },
    /// Sums of documents that cannot be.
    #[error("the columns piece_* are inconsistent: {what}")]
    Pieces {
        /// What is wrong.
        what: &'static str,
    },
    /// Document offsets or indices that cannot be.
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
