//! Documents with the scores by which they are selected.

use super::join::{Joiner, resolve};
use super::policy::{DocumentPolicy, Join};
use super::record::Difference;
use super::summary::LeftOut;
use crate::select::SelectError;
use crate::shards::{
    CorpusSpelling, DocumentRow, DocumentRows, DocumentScore, DocumentsIndex, LabelSet,
    open_documents,
};
use crate::storage::Sorted;
use std::path::Path;

/// The source of the scores.
pub(super) struct Source<'a> {
    labels: &'a LabelSet,
    pub(super) index: DocumentsIndex,
    score: DocumentScore,
    /// Whether the tokens of the corpus spell its text, if the score is by byte.
    pub(super) spelling: Option<CorpusSpelling>,
    minus: Option<Minus<'a>>,
}

/// Labels whose scores are subtracted.
struct Minus<'a> {
    labels: &'a LabelSet,
    join: Join,
}

impl<'a> Source<'a> {
    /// Opens the documents of both sets and checks that they support the policy.
    pub(super) fn open(
        labels: &'a LabelSet,
        minus: Option<&'a LabelSet>,
        policy: &DocumentPolicy,
    ) -> Result<Self, SelectError> {
        let (index, _) = open_documents(labels)?;
        check_known(labels, &index, policy)?;
        let minus = match minus {
            None => None,
            Some(minus) => Some(open_minus(&index, labels, minus, policy)?),
        };
        Ok(Source {
            labels,
            spelling: index
                .spelling
                .filter(|_| policy.score == DocumentScore::BitsPerByte),
            index,
            score: policy.score,
            minus,
        })
    }

    /// How the documents of the subtracted labels are matched, if there are any.
    pub(super) fn join(&self) -> Option<Join> {
        self.minus.as_ref().map(|minus| minus.join)
    }

    /// All documents by increasing `doc_index`, each with its score.
    pub(super) fn scored(&self, dir: &Path, run_bytes: usize) -> Result<Scored, SelectError> {
        let joiner = self.minus.as_ref().map(|minus| Joiner {
            ours: self.labels,
            theirs: minus.labels,
            join: minus.join,
            score: self.score,
            dir,
            run_bytes,
        });
        let differences = joiner.map(|joiner| joiner.differences()).transpose()?;
        Ok(Scored {
            rows: self.rows()?,
            left_out: differences.as_ref().map(|differences| differences.left_out),
            differences: differences.map(|differences| differences.rows),
            score: self.score,
        })
    }

    /// All documents by increasing `doc_index`.
    pub(super) fn rows(&self) -> Result<DocumentRows, SelectError> {
        Ok(open_documents(self.labels)?.1)
    }
}

fn open_minus<'a>(
    ours: &DocumentsIndex,
    labels: &LabelSet,
    minus: &'a LabelSet,
    policy: &DocumentPolicy,
) -> Result<Minus<'a>, SelectError> {
    let (theirs, _) = open_documents(minus)?;
    check_known(minus, &theirs, policy)?;
    if ours.tokenizer_fingerprint != theirs.tokenizer_fingerprint {
        if !policy.is_of_text() {
            return Err(SelectError::ByToken {
                labels: labels.dir.clone(),
                minus: minus.dir.clone(),
                score: policy.score.name(),
            });
        }
        check_spelled(labels, ours)?;
        check_spelled(minus, &theirs)?;
    }
    let join = resolve(policy.join, ours, &theirs)?;
    Ok(Minus {
        labels: minus,
        join,
    })
}

/// Refuses a tokenizer that loses text: its model predicts less than another one does.
fn check_spelled(labels: &LabelSet, index: &DocumentsIndex) -> Result<(), SelectError> {
    match index.spelling.filter(CorpusSpelling::is_mostly_lossy) {
        None => Ok(()),
        Some(spelling) => Err(SelectError::LosesText {
            labels: labels.dir.clone(),
            n_not_spelled: spelling.n_not_spelled,
            n_documents: spelling.n_documents,
        }),
    }
}

/// Refuses a policy that requires the corpus's own list of documents, if that is unknown.
fn check_known(
    labels: &LabelSet,
    index: &DocumentsIndex,
    policy: &DocumentPolicy,
) -> Result<(), SelectError> {
    let what = match policy {
        _ if index.has_sources => return Ok(()),
        DocumentPolicy { per: Some(_), .. } => "sources (--per source)",
        DocumentPolicy {
            score: DocumentScore::BitsPerByte,
            ..
        } => "bytes (bits_per_byte)",
        _ => return Ok(()),
    };
    Err(SelectError::UnknownDocuments {
        labels: labels.dir.clone(),
        what,
    })
}

/// Documents by increasing `doc_index`, with their scores.
pub(super) struct Scored {
    rows: DocumentRows,
    differences: Option<Sorted<Difference>>,
    /// How many have no difference, and why.
    pub(super) left_out: Option<LeftOut>,
    score: DocumentScore,
}

impl Scored {
    fn next_row(&mut self) -> Result<Option<(DocumentRow, Option<f64>)>, SelectError> {
        let Some(row) = self.rows.next().transpose()? else {
            return Ok(None);
        };
        let Some(differences) = &mut self.differences else {
            let score = row.score(self.score);
            return Ok(Some((row, score)));
        };
        // There is one for every document of the first labels, in the same order.
        let difference = differences.next().transpose()?;
        let score = difference.filter(|difference| difference.doc_index == row.doc_index);
        let score = score.map(|difference| difference.score);
        Ok(Some((row, score.filter(|score| !score.is_nan()))))
    }
}

impl Iterator for Scored {
    type Item = Result<(DocumentRow, Option<f64>), SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_row().transpose()
    }
}
