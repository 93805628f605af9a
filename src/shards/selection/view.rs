//! The identity of the sequences that `seq_id`s refer to.

use crate::shards::ShardsError;
use crate::shards::plan::{FieldDifference, Plan, PlanCorpus, PlanSequences};
use crate::tokens::Packing;
use serde::Serialize;
use std::path::Path;

/// Everything that determines which sequence a `seq_id` is: the token files, and how they are
/// divided. Teacher, stored groups, ranges and layout do not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewIdentity {
    /// `blake3:` and 64 hex digits over the token files' hashes.
    pub corpus: String,
    /// The id that ends documents, if the token files have no boundaries of their own.
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
    /// The view of which `plan` labels some sequences.
    pub fn of(plan: &Plan) -> Self {
        Self::new(&plan.corpus, &plan.sequences)
    }

    /// The view of a corpus, divided in this way.
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

    /// `blake3:` and 64 hex digits over all fields.
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

/// Refuses the selection at `path`, made for the sequences `named`, if they are not those of
/// `view`: the same `seq_id`s would be other text. Returns whether it names any.
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

pub(super) fn other_sequences(path: &Path, expected: String, got: &str) -> ShardsError {
    ShardsError::SelectionOfOthers {
        path: path.to_path_buf(),
        what: "sequences",
        expected,
        got: got.to_owned(),
    }
}
