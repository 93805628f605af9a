//! The result of a selection, in numbers and examples.

use super::policy::DocumentPolicy;
use crate::select::histogram::ScoreHistogram;
use crate::shards::{CorpusSpelling, SelectedDocument};
use serde::Serialize;

/// The result of a selection of documents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentSummary {
    /// The policy, with how documents were joined.
    pub policy: DocumentPolicy,
    /// Documents with a labelled target.
    pub n_documents: u64,
    /// Eligible ones: they have a score and are above the minimum of the learnable fraction.
    pub n_eligible: u64,
    /// Those without a score; none of them is kept.
    pub n_null: u64,
    /// Why they have none, if the score is a difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
    /// Whether the tokens of the corpus spell its text, if the score is by byte and this is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spelling: Option<CorpusSpelling>,
    /// Those with a score, but below that minimum; none of them is kept.
    pub n_below_floor: u64,
    /// Kept documents.
    pub n_kept: u64,
    /// Tokens of all documents, if known, else labelled targets.
    pub n_tokens: u64,
    /// Those of kept documents.
    pub n_tokens_kept: u64,
    /// Bytes of the selection's file.
    pub n_bytes: u64,
    /// Each source, sorted by name; only with `per`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceSummary>,
    /// Scores of kept and of dropped documents.
    pub scores: ScoreHistogram,
    /// Some documents with the lowest scores, lowest first.
    pub lowest: Vec<DocumentExample>,
    /// Some with the highest, highest first.
    pub highest: Vec<DocumentExample>,
}

/// Documents without a difference of scores, by the first reason that applies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// The subtracted labels do not have them.
    pub n_absent: u64,
    /// One of the two sets has no score for them: a target's NLL is infinite, or no target is learnable.
    pub n_without_score: u64,
    /// One of the two sets labels only a part of them, or the two label different parts.
    pub n_in_part: u64,
}

impl LeftOut {
    /// The reasons that apply to any document, each with its count.
    pub fn reasons(&self) -> Vec<(u64, &'static str)> {
        let all = [
            (self.n_absent, "are not in the subtracted labels"),
            (self.n_without_score, "have no score in one of the two sets"),
            (
                self.n_in_part,
                "are only partly labelled by one of the two sets",
            ),
        ];
        all.into_iter().filter(|&(n, _)| n > 0).collect()
    }
}

/// The documents of one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SourceSummary {
    /// The input file.
    pub source: String,
    /// Its documents with a labelled target.
    pub n_documents: u64,
    /// Kept documents.
    pub n_kept: u64,
    /// Tokens of the kept ones.
    pub n_tokens_kept: u64,
}

/// One document, as an example.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DocumentExample {
    /// Its number in the corpus.
    pub doc_index: u64,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// The input file, if known.
    pub source: Option<String>,
    /// Its place there.
    pub record: Option<u64>,
    /// The score it was selected by.
    pub score: f64,
    /// Its labelled targets.
    pub n_targets: u64,
    /// Whether it is kept.
    pub kept: bool,
}

impl DocumentExample {
    pub(super) fn of(row: &SelectedDocument, score: f64) -> Self {
        DocumentExample {
            doc_index: row.document.doc_index,
            id: row.document.id.clone(),
            source: row.document.source.as_deref().map(str::to_owned),
            record: row.document.record,
            score,
            n_targets: row.document.n_targets,
            kept: row.kept,
        }
    }
}
