//! The rows of a selection.

use crate::shards::{
    LabelSet, ShardsError, VIEW_FINGERPRINT_KEY, ViewIdentity, check_view, read_selection_rows,
};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The contents of a selection file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SelectionRows {
    path: PathBuf,
    /// Fingerprint of the view that it selects from, if the file has one.
    view: Option<String>,
    /// By sequence: whether it is kept, and its score, if there is one.
    pub(crate) rows: HashMap<u64, (bool, Option<f64>)>,
    /// Whether the file has scores at all.
    pub(crate) has_scores: bool,
    /// The file's metadata on how it was made: keys without `saltworks.`, and values.
    pub(crate) facts: Vec<(String, String)>,
}

/// Reads the selection at `path`.
pub(crate) fn read_selection(path: &Path) -> Result<SelectionRows, ShardsError> {
    let mut rows = HashMap::new();
    let head = read_selection_rows(path, |row| {
        match rows.insert(row.seq_id, (row.kept, row.score)) {
            None => Ok(()),
            Some(_) => Err(ShardsError::Selection {
                path: path.to_path_buf(),
                reason: format!("it lists seq_id {} more than once", row.seq_id),
            }),
        }
    })?;
    let facts = head.metadata.iter().filter_map(|(key, value)| {
        let name = key.strip_prefix("saltworks.")?;
        Some((name.to_owned(), value.clone()))
    });
    Ok(SelectionRows {
        path: path.to_path_buf(),
        view: head.get(VIEW_FINGERPRINT_KEY).map(str::to_owned),
        rows,
        has_scores: head.has_scores,
        facts: facts.collect(),
    })
}

impl SelectionRows {
    /// Refuses labels of another view.
    pub(crate) fn check_of(&self, set: &LabelSet) -> Result<(), ShardsError> {
        let view = ViewIdentity::of(&set.segments[0]);
        check_view(&self.path, self.view.as_deref(), &view).map(drop)
    }
}
