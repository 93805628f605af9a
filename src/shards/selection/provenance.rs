//! How a selection relates to the labels it is used with.

use super::format::fault;
use super::kept::Selection;
use super::view::{ViewIdentity, other_sequences};
use crate::shards::ShardsError;
use crate::shards::label_set::LabelSet;
use crate::shards::names::{SELECTION_NAME, plan_name};
use crate::shards::plan::Plan;
use crate::storage;
use std::path::Path;

/// One identity for all labels of a directory: `blake3:` and 64 hex digits over the fingerprints of
/// its plans, in order. An extension by another range changes it.
pub fn labels_fingerprint(set: &LabelSet) -> String {
    let plans: Vec<String> = set.segments.iter().map(Plan::fingerprint).collect();
    storage::fingerprint_of(plans.iter().map(String::as_str))
}

/// Whether the selection at `path` defines which sequences the labels in its directory cover.
pub fn is_of_labels(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == SELECTION_NAME)
        && storage::exists(&path.with_file_name(plan_name(0))).unwrap_or(true)
}

/// The origin of a selection, relative to the labels it is used with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provenance {
    /// It was made from these labels.
    TheseLabels,
    /// It was made from other labels of the same sequences.
    SameSequences,
    /// Its origin is not recorded.
    Unnamed,
}

impl Selection {
    /// Reads the selection at `path` and compares it with the labels it is to be used with. If it
    /// was made from these labels, or does not record its origin, it may list only labelled
    /// sequences. If it was made from other labels of the same sequences, it may list more, but not
    /// keep more.
    ///
    /// # Errors
    /// Those of [`Selection::read`]; [`ShardsError::SelectionOfOthers`]; a sequence without labels.
    pub fn read_for(path: &Path, set: &LabelSet) -> Result<(Self, Provenance), ShardsError> {
        let selection = Self::read(path, set.segments[0].sequences.n_total)?;
        let provenance = selection.provenance(path, set)?;
        let (verb, must_be_there) = match provenance {
            Provenance::SameSequences => ("keeps", &selection.kept),
            Provenance::TheseLabels | Provenance::Unnamed => ("lists", &selection.listed),
        };
        let is_absent = |&seq_id: &u64| set.segment_of_sequence(seq_id).is_none();
        if let Some(seq_id) = must_be_there.iter().find(is_absent) {
            let dir = set.dir.display();
            let reason = format!("it {verb} seq_id {seq_id}, for which {dir} has no labels");
            return Err(fault(path, reason));
        }
        Ok((selection, provenance))
    }

    fn provenance(&self, path: &Path, set: &LabelSet) -> Result<Provenance, ShardsError> {
        let labels = labels_fingerprint(set);
        let view = ViewIdentity::of(&set.segments[0]).fingerprint();
        match (&self.labels, &self.view) {
            (Some(got), _) if *got == labels => Ok(Provenance::TheseLabels),
            (_, Some(got)) if *got == view => Ok(Provenance::SameSequences),
            (None, None) => Ok(Provenance::Unnamed),
            (Some(got), _) => Err(ShardsError::SelectionOfOthers {
                path: path.to_path_buf(),
                what: "labels",
                expected: labels,
                got: got.clone(),
            }),
            (None, Some(got)) => Err(other_sequences(path, view, got)),
        }
    }
}
