//! The content of a selection's file.

use crate::shards::ShardsError;
use crate::shards::seal::Seal;
use serde::Serialize;
use std::path::Path;

/// Version of a selection's columns and metadata.
pub const SELECTION_VERSION: u32 = 1;
/// Metadata key of the labels that a selection was made from.
pub const LABELS_FINGERPRINT_KEY: &str = "saltworks.labels_fingerprint";
/// Metadata key of the view of sequences that a selection is of.
pub const VIEW_FINGERPRINT_KEY: &str = "saltworks.view_fingerprint";
/// Metadata key of the policy that made a selection, as JSON.
pub const POLICY_KEY: &str = "saltworks.policy";
/// Metadata key of the number of rows.
pub(in crate::shards) const N_ROWS_KEY: &str = "saltworks.n_rows";
/// Metadata key of the number of rows that are kept.
pub(in crate::shards) const N_KEPT_KEY: &str = "saltworks.n_kept";
/// Metadata key of the version.
pub(in crate::shards) const VERSION_KEY: &str = "saltworks.format_version";
/// Metadata key of the kind of file.
pub(in crate::shards) const FILE_KEY: &str = "saltworks.file";
/// Its value for a selection.
pub(super) const FILE_KIND: &str = "selection";
/// The writer of these files.
pub(super) const SEAL: Seal = Seal {
    created_by: "saltworks-selection version 1.1.0",
    created_by_before: Some("saltworks-selection version 1.0.0"),
};

pub(super) const SEQ_ID: &str = "seq_id";
pub(in crate::shards) const SCORE: &str = "score";
pub(in crate::shards) const KEPT: &str = "kept";

/// One row of a selection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectionRow {
    /// The sequence.
    pub seq_id: u64,
    /// Whether it is kept.
    pub kept: bool,
    /// The value it was selected by, in the unit of that score; `None` if it has none.
    pub score: Option<f64>,
}

/// A selection's file apart from its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectionHead {
    /// Whether there is a column of scores.
    pub has_scores: bool,
    /// Key and value, in file order.
    pub metadata: Vec<(String, String)>,
}

impl SelectionHead {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.metadata.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// One column of a selection, for readers of the file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelectionColumn {
    /// Name.
    pub name: &'static str,
    /// `u64`, `f64` or `bool`.
    pub item_type: &'static str,
    /// Whether a row may have no value.
    pub nullable: bool,
    /// What the values are.
    pub meaning: &'static str,
}

/// The columns of a selection, in order.
pub fn describe_selection() -> Vec<SelectionColumn> {
    let column = |name, item_type, nullable, meaning| SelectionColumn {
        name,
        item_type,
        nullable,
        meaning,
    };
    vec![
        column(
            SEQ_ID,
            "u64",
            false,
            "number of the sequence in the view; rows are in ascending order of seq_id, one for each labelled sequence",
        ),
        column(
            SCORE,
            "f64",
            true,
            "the policy's score, or the difference of two; null if there is none",
        ),
        column(
            "rank",
            "u64",
            true,
            "place in the policy's order, 0 is the first to keep; null if the sequence may not be kept",
        ),
        column(
            KEPT,
            "bool",
            false,
            "whether the sequence is in the selection: the first ranks are, up to the amount",
        ),
    ]
}

/// What is wrong with the selection at `path`.
pub(super) fn fault(path: &Path, reason: String) -> ShardsError {
    ShardsError::selection(path, reason)
}
