//! The sequences that a selection keeps.

use super::format::{LABELS_FINGERPRINT_KEY, SelectionRow, VIEW_FINGERPRINT_KEY, fault};
use super::rows::read_rows;
use super::view::{ViewIdentity, check_view};
use crate::shards::ShardsError;
use crate::shards::names::SELECTION_NAME;
use crate::shards::plan::{Plan, PlanSelection};
use crate::shards::seq_ids::{SeqIdOrder, SeqIdSet};
use crate::storage::{self, Partial, StorageError};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Most sequences that a selection may cover: a set of them takes at most 4 GiB, whatever a damaged file claims.
const MAX_SEQ_IDS: u64 = 1 << 35;

/// The content of a selection.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The sequences that it lists, kept or not.
    pub listed: SeqIdSet,
    /// The sequences that it keeps.
    pub kept: SeqIdSet,
    /// Fingerprint of the labels it was made from, if recorded.
    pub labels: Option<String>,
    /// Fingerprint of the sequences it covers, if recorded.
    pub view: Option<String>,
}

impl Selection {
    /// Reads a selection of a view of `n_total` sequences.
    ///
    /// # Errors
    /// Those of [`crate::shards::read_selection_rows`]; a `seq_id` listed twice or outside the view.
    pub fn read(path: &Path, n_total: u64) -> Result<Self, ShardsError> {
        let mut selection = Selection {
            listed: SeqIdSet::default(),
            kept: SeqIdSet::default(),
            labels: None,
            view: None,
        };
        let head = read_rows(path, false, |row| selection.add(path, row, n_total))?;
        selection.labels = head.get(LABELS_FINGERPRINT_KEY).map(str::to_owned);
        selection.view = head.get(VIEW_FINGERPRINT_KEY).map(str::to_owned);
        Ok(selection)
    }

    /// Refuses a selection that was made for sequences other than those of `view`. Returns whether it names any.
    ///
    /// # Errors
    /// [`ShardsError::SelectionOfOthers`].
    pub fn check_view(&self, path: &Path, view: &ViewIdentity) -> Result<bool, ShardsError> {
        check_view(path, self.view.as_deref(), view)
    }
}

/// Copies a selection into a directory of labels, replacing one that a killed run may have left without a plan. The
/// copy has all rows and metadata, so that the labels document their origin.
pub(in crate::shards) fn copy_into(dir: &Path, selection: &Path) -> Result<(), ShardsError> {
    let io = |source| StorageError::io("copy the selection", selection, source);
    let mut partial = Partial::create(&dir.join(SELECTION_NAME))?;
    storage::for_each_block(selection, |block| partial.write_all(block).map_err(io))?;
    Ok(partial.seal()?.replace()?)
}

/// Attaches the kept sequences to a plan that labels a selection: those of `known`, or of the directory's copy.
pub(in crate::shards) fn attach(
    dir: &Path,
    plan: &mut Plan,
    known: Option<Arc<SeqIdOrder>>,
) -> Result<(), ShardsError> {
    let Some(expected) = &plan.sequences.selection else {
        return Ok(());
    };
    let path = dir.join(SELECTION_NAME);
    let (range, n_total) = (&plan.sequences, plan.sequences.n_total);
    let range = range.start..range.end;
    let kept = match known {
        Some(kept) => kept,
        None if !storage::exists(&path)? => {
            let reason =
                "it is missing, but the plan labels the sequences that it keeps (restore it)";
            return Err(fault(&path, reason.to_owned()));
        }
        None => Arc::new(SeqIdOrder::new(Selection::read(&path, n_total)?.kept)),
    };
    let got = PlanSelection::of_order(kept, range);
    if (&got.fingerprint, got.n_kept, got.n_rows)
        != (&expected.fingerprint, expected.n_kept, expected.n_rows)
    {
        let reason = format!(
            "it keeps {} sequences ({}), {} of them in the range, but the plan next to it says {} ({}), {} (restore it)",
            got.n_kept,
            got.fingerprint,
            got.n_rows,
            expected.n_kept,
            expected.fingerprint,
            expected.n_rows
        );
        return Err(fault(&path, reason));
    }
    plan.sequences.selection = Some(got);
    Ok(())
}

impl Selection {
    fn add(&mut self, path: &Path, row: SelectionRow, n_total: u64) -> Result<(), ShardsError> {
        let SelectionRow { seq_id, kept, .. } = row;
        if seq_id >= n_total {
            let reason = format!("it lists seq_id {seq_id}, but there are {n_total} sequences");
            return Err(fault(path, reason));
        }
        if seq_id >= MAX_SEQ_IDS {
            let reason =
                format!("it lists seq_id {seq_id}, above the limit of {MAX_SEQ_IDS} sequences");
            return Err(fault(path, reason));
        }
        if !self.listed.insert(seq_id) {
            let reason = format!("it lists seq_id {seq_id} more than once");
            return Err(fault(path, reason));
        }
        if kept {
            self.kept.insert(seq_id);
        }
        Ok(())
    }
}
