//! Which sequences a `seq_id` counts.

use crate::shards::ShardsError;
use crate::shards::plan::{FieldDifference, Plan, PlanCorpus, PlanSequences};
use crate::tokens::Packing;
use serde::Serialize;
use std::path::Path;

/// What makes a `seq_id` mean the same sequence: the token files, and how they are cut. Teacher,
/// stored groups, ranges and layout are no part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewIdentity {
    /// `blake3:` and 64 hex digits over the token files' hashes.
    pub corpus: String,
    /// The id that ends documents, where the token files have no boundaries of their own.
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

pub(super) fn other_sequences(path: &Path, expected: String, got: &str) -> ShardsError {
    ShardsError::SelectionOfOthers {
        path: path.to_path_buf(),
        what: "sequences",
        expected,
        got: got.to_owned(),
    }
}
