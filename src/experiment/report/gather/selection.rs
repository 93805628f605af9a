//! The rows of a selection.

use crate::shards::{ShardsError, read_selection_rows};
use std::collections::HashMap;
use std::path::Path;

/// What a selection says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SelectionRows {
    /// By sequence: whether it is kept, and its score where there is one.
    pub(crate) rows: HashMap<u64, (bool, Option<f64>)>,
    /// Whether the file has scores at all.
    pub(crate) has_scores: bool,
    /// What the file says of how it was made: keys without `saltworks.`.
    pub(crate) facts: Vec<(String, String)>,
}

/// Reads the selection at `path`.
pub(crate) fn read_selection(path: &Path) -> Result<SelectionRows, ShardsError> {
    let mut rows = HashMap::new();
    let head = read_selection_rows(path, |row| {
        rows.insert(row.seq_id, (row.kept, row.score));
        Ok(())
    })?;
    let facts = head.metadata.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix("saltworks.")?;
        Some((name.to_owned(), value.clone()))
    });
    Ok(SelectionRows {
        rows,
        has_scores: head.has_scores,
        facts: facts.collect(),
    })
}
