//! A selection: which sequences stage 1 sees, as one Parquet file.
//!
//! ```text
//! seq_id u64, score f64 or null, rank u64 or null (0 = best by the policy), kept bool
//! ```
//!
//! One row a sequence, by rising `seq_id`. Readers need `seq_id` alone, of any integer type, and `kept`
//! where not every row is; they ignore other columns and take rows in any order. A sequence that is not
//! listed is not kept. The file carries its own checksum (`selection_seal`). The key-value
//! metadata says what it was made from: [`LABELS_FINGERPRINT_KEY`] the labels whose scores were read,
//! and [`VIEW_FINGERPRINT_KEY`] the sequences themselves ([`ViewIdentity`]): the same corpus cut
//! in the same way has the same `seq_id`s whoever labels it, so a selection by the scores of an
//! early checkpoint holds for labels of the final one.

use super::names::{SELECTION_NAME, plan_name};
use super::plan::{Plan, PlanCorpus, PlanSelection, PlanSequences};
use super::selection_rows::{SelectionRow, read_rows};
use super::seq_ids::{SeqIdOrder, SeqIdSet};
use super::{FieldDifference, ShardsError};
use crate::storage::{self, Partial, StorageError};
use crate::tokens::Packing;
use serde::Serialize;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Metadata key of the labels that a selection was made from.
pub const LABELS_FINGERPRINT_KEY: &str = "saltworks.labels_fingerprint";
/// Metadata key of the sequences that a selection is of.
pub const VIEW_FINGERPRINT_KEY: &str = "saltworks.view_fingerprint";
/// Metadata key of the policy that made a selection, as JSON.
pub const POLICY_KEY: &str = "saltworks.policy";
/// Sequences that a selection may be of: a set of them takes 4 GiB at most, whatever a damaged file says.
const MAX_SEQ_IDS: u64 = 1 << 35;

/// Whether a selection at `path` says which sequences the labels in its directory are of.
pub fn is_of_labels(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == SELECTION_NAME)
        && storage::is_there(&path.with_file_name(plan_name(0))).unwrap_or(true)
}

/// What makes a `seq_id` mean the same sequence: the token files, and how they are cut. Teacher,
/// stored groups, ranges and layout are no part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewIdentity {
    /// `blake3:` and 64 hex digits over the token files' hashes.
    pub corpus: String,
    /// The id that ends documents, where the token files have no borders of their own.
    pub eod: Option<u32>,
    /// T.
    pub seq_len: u32,
    /// How documents become sequences.
    pub packing: Packing,
    /// Id in front of every sequence, if any.
    pub sequence_bos: Option<u32>,
    /// Sequences of the whole view.
    pub n_total: u64,
}

impl ViewIdentity {
    /// That of the sequences that `plan` labels some of.
    pub fn of(plan: &Plan) -> Self {
        Self::new(&plan.corpus, &plan.sequences)
    }

    /// That of a corpus and a way of cutting it.
    pub fn new(corpus: &PlanCorpus, sequences: &PlanSequences) -> Self {
        ViewIdentity {
            corpus: corpus.fingerprint.clone(),
            eod: corpus.eod,
            seq_len: sequences.seq_len,
            packing: sequences.packing,
            sequence_bos: sequences.sequence_bos,
            n_total: sequences.n_total,
        }
    }

    /// `blake3:` and 64 hex digits over all of it.
    pub fn fingerprint(&self) -> String {
        let json = serde_json::to_vec(self).expect("plain fields");
        format!("blake3:{}", blake3::hash(&json).to_hex())
    }

    /// The first field in which the two differ.
    pub fn difference(&self, other: &ViewIdentity) -> Option<FieldDifference> {
        let value = |view: &ViewIdentity| serde_json::to_value(view).expect("plain fields");
        let (ours, theirs) = (value(self), value(other));
        let fields = ours.as_object().into_iter().flat_map(|map| map.keys());
        fields
            .filter(|field| ours[*field] != theirs[*field])
            .map(|field| FieldDifference {
                field: field.clone(),
                ours: ours[field].to_string(),
                theirs: theirs[field].to_string(),
            })
            .next()
    }
}

/// What a selection says.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// The sequences that it lists, kept or not.
    pub listed: SeqIdSet,
    /// The sequences that it keeps.
    pub kept: SeqIdSet,
    /// Fingerprint of the labels that it was made from, if it names them.
    pub labels: Option<String>,
    /// Fingerprint of the sequences that it is of, if it names them.
    pub view: Option<String>,
}

impl Selection {
    /// Reads a selection of a view of `n_total` sequences.
    ///
    /// # Errors
    /// As [`super::read_selection_rows`]; a `seq_id` that is listed twice or past the view.
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

    /// Refuses a selection that names other sequences than those of `view`. It tells whether it
    /// names any.
    ///
    /// # Errors
    /// [`ShardsError::SelectionOfOthers`].
    pub fn check_view(&self, path: &Path, view: &ViewIdentity) -> Result<bool, ShardsError> {
        check_view(path, self.view.as_deref(), view)
    }
}

/// Refuses the selection at `path`, which is of the sequences `named`, where those are others than
/// `view`: their `seq_id`s are the same numbers for other text. It tells whether it names any.
///
/// # Errors
/// [`ShardsError::SelectionOfOthers`].
pub fn check_view(
    path: &Path,
    named: Option<&str>,
    view: &ViewIdentity,
) -> Result<bool, ShardsError> {
    let expected = view.fingerprint();
    match named {
        None => Ok(false),
        Some(got) if got == expected => Ok(true),
        Some(got) => Err(other_sequences(path, expected, got)),
    }
}

/// Copies a selection into a directory of labels, in place of one that a killed run may have left
/// without a plan. The copy holds whole rows and metadata, so that the labels tell how they came to be.
pub(super) fn copy_into(dir: &Path, selection: &Path) -> Result<(), ShardsError> {
    let io = |source| StorageError::io("copy the selection", selection, source);
    let mut partial = Partial::create(&dir.join(SELECTION_NAME))?;
    let mut file = File::open(selection).map_err(io)?;
    std::io::copy(&mut file, &mut partial).map_err(io)?;
    Ok(partial.seal()?.replace()?)
}

/// Gives a plan that labels a selection the sequences that it keeps: those of `known`, or as the
/// directory's copy has them.
pub(super) fn attach(
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
        None if !storage::is_there(&path)? => {
            let reason = "it is not there, but the plan labels what it keeps (restore it)";
            return Err(ShardsError::selection(&path, reason.to_owned()));
        }
        None => Arc::new(SeqIdOrder::new(Selection::read(&path, n_total)?.kept)),
    };
    let got = PlanSelection::of_order(kept, range);
    if (&got.fingerprint, got.n_kept, got.n_rows)
        != (&expected.fingerprint, expected.n_kept, expected.n_rows)
    {
        let reason = format!(
            "it keeps {} sequences ({}), {} of them in the range, and the plan beside it says {} ({}), {} (restore it)",
            got.n_kept,
            got.fingerprint,
            got.n_rows,
            expected.n_kept,
            expected.fingerprint,
            expected.n_rows
        );
        return Err(ShardsError::selection(&path, reason));
    }
    plan.sequences.selection = Some(got);
    Ok(())
}

pub(super) fn other_sequences(path: &Path, expected: String, got: &str) -> ShardsError {
    ShardsError::SelectionOfOthers {
        path: path.to_path_buf(),
        what: "sequences",
        expected,
        got: got.to_owned(),
    }
}

impl Selection {
    fn add(&mut self, path: &Path, row: SelectionRow, n_total: u64) -> Result<(), ShardsError> {
        let SelectionRow { seq_id, kept, .. } = row;
        if seq_id >= n_total {
            let reason = format!("it lists seq_id {seq_id}, past the {n_total} sequences");
            return Err(ShardsError::selection(path, reason));
        }
        if seq_id >= MAX_SEQ_IDS {
            let reason = format!(
                "it lists seq_id {seq_id}, past the {MAX_SEQ_IDS} that a selection may hold"
            );
            return Err(ShardsError::selection(path, reason));
        }
        if !self.listed.insert(seq_id) {
            let reason = format!("it lists seq_id {seq_id} more than once");
            return Err(ShardsError::selection(path, reason));
        }
        if kept {
            self.kept.insert(seq_id);
        }
        Ok(())
    }
}
