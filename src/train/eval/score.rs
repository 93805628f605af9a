//! From sums of negative log-likelihoods to comparable scores.

use super::calibration::Calibration;
use crate::tokens::{Sequence, Tokenizer};
use crate::train::batch::PositionScore;
use serde::Serialize;
use std::collections::HashMap;

/// Sums over predicted positions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct NllSums {
    /// Positions.
    pub n_targets: u64,
    /// Sum of -log q_y, nats.
    pub nll_nats: f64,
    /// Bytes of the predicted text, if they are counted.
    pub n_bytes: u64,
}

impl std::ops::AddAssign for NllSums {
    fn add_assign(&mut self, other: Self) {
        self.n_targets += other.n_targets;
        self.nll_nats += other.nll_nats;
        self.n_bytes += other.n_bytes;
    }
}

/// A model's score on some positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Score {
    /// Predicted positions.
    pub n_targets: u64,
    /// Mean of -log q_y, nats per token; null without positions.
    pub mean_nll_nats: Option<f64>,
    /// exp of that.
    pub perplexity: Option<f64>,
    /// Bytes of the predicted text; null if unknown.
    pub n_bytes: Option<u64>,
    /// Sum of -log2 q_y over those bytes.
    pub bits_per_byte: Option<f64>,
}

impl Score {
    /// From sums; their bytes count only if `with_bytes`.
    pub fn new(sums: &NllSums, with_bytes: bool) -> Self {
        let mean = (sums.n_targets > 0).then(|| sums.nll_nats / sums.n_targets as f64);
        let n_bytes = with_bytes.then_some(sums.n_bytes);
        let bits = sums.nll_nats / std::f64::consts::LN_2;
        Self {
            n_targets: sums.n_targets,
            mean_nll_nats: mean,
            perplexity: mean.map(f64::exp),
            n_bytes,
            bits_per_byte: n_bytes.filter(|&n| n > 0).map(|n| bits / n as f64),
        }
    }
}

/// The score of one group of documents.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupScore {
    /// Name that its documents share.
    pub kind: String,
    /// Over positions with targets in these documents.
    #[serde(flatten)]
    pub score: Score,
}

/// The outcome of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EvalReport {
    /// Sequences that were evaluated.
    pub n_sequences: u64,
    /// Over all positions.
    #[serde(flatten)]
    pub score: Score,
    /// Fraction of positions whose target is the model's top id (ties: the lowest); null without positions.
    pub accuracy: Option<f64>,
    /// Expected calibration error of the top id's probability, from 0 to 1: see
    /// [`Calibration::ece`](super::Calibration::ece); null without positions.
    pub ece: Option<f64>,
    /// By group, if there are groups, in the order of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_kind: Vec<GroupScore>,
}

/// Assignment of documents to groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentGroups {
    /// Names of the groups.
    pub names: Vec<String>,
    /// `[n_documents]` indices into the names.
    pub of_document: Vec<u32>,
    /// Index of each name.
    known: HashMap<String, u32>,
}

impl DocumentGroups {
    /// Adds a document to the group of that name.
    pub fn push(&mut self, name: &str) {
        let group = self.known.get(name).copied().unwrap_or_else(|| {
            let group = self.names.len() as u32;
            self.names.push(name.to_owned());
            self.known.insert(name.to_owned(), group);
            group
        });
        self.of_document.push(group);
    }
}

/// Sums of an evaluation in progress.
pub(super) struct Tally<'a> {
    n_sequences: u64,
    groups: Option<&'a DocumentGroups>,
    /// `[V]` bytes of text of each id.
    bytes_of_ids: Option<&'a [u32]>,
    /// One per group; a single one without groups.
    sums: Vec<NllSums>,
    calibration: Calibration,
}

impl<'a> Tally<'a> {
    pub(super) fn new(groups: Option<&'a DocumentGroups>, bytes_of_ids: Option<&'a [u32]>) -> Self {
        Self {
            n_sequences: 0,
            groups,
            bytes_of_ids,
            sums: vec![NllSums::default(); groups.map_or(1, |groups| groups.names.len())],
            calibration: Calibration::default(),
        }
    }

    /// Adds one sequence with the scores of its positions.
    pub(super) fn add(&mut self, sequence: &Sequence, scores_t: &[PositionScore]) {
        self.n_sequences += 1;
        let mut document_idx = 0;
        for (t, score) in scores_t.iter().enumerate() {
            self.calibration.add(score);
            let starts = &sequence.doc_starts;
            while starts
                .get(document_idx + 1)
                .is_some_and(|&start| start as usize <= t + 1)
            {
                document_idx += 1;
            }
            let group = self.groups.map_or(0, |groups| {
                groups.of_document[sequence.doc_indices[document_idx] as usize]
            });
            let target = sequence.input_ids[t + 1] as usize;
            self.sums[group as usize] += NllSums {
                n_targets: 1,
                nll_nats: score.nll,
                n_bytes: self.bytes_of_ids.map_or(0, |bytes| bytes[target].into()),
            };
        }
    }

    pub(super) fn n_targets(&self) -> u64 {
        self.sums.iter().map(|sums| sums.n_targets).sum()
    }

    /// The report; `text_bytes`, one per group, replace the bytes counted from ids if they are known more
    /// exactly.
    pub(super) fn report(mut self, text_bytes: Option<&[u64]>) -> EvalReport {
        for (sums, &n_bytes) in std::iter::zip(&mut self.sums, text_bytes.unwrap_or_default()) {
            sums.n_bytes = n_bytes;
        }
        let with_bytes = text_bytes.is_some() || self.bytes_of_ids.is_some();
        let mut all = NllSums::default();
        self.sums.iter().for_each(|&sums| all += sums);
        let names = self.groups.map_or(&[][..], |groups| &groups.names);
        let mut by_kind: Vec<GroupScore> = std::iter::zip(names, &self.sums)
            .map(|(name, sums)| GroupScore {
                kind: name.clone(),
                score: Score::new(sums, with_bytes),
            })
            .collect();
        by_kind.sort_by(|a, b| a.kind.cmp(&b.kind));
        EvalReport {
            n_sequences: self.n_sequences,
            score: Score::new(&all, with_bytes),
            accuracy: self.calibration.accuracy(),
            ece: self.calibration.ece(),
            by_kind,
        }
    }
}

/// `[vocab_size]` bytes of text of each id: 0 for special ids and for ids that the tokenizer does not have.
pub fn text_bytes_of_ids(tokenizer: &Tokenizer, vocab_size: usize) -> Vec<u32> {
    let bytes_of = |id: u32| match tokenizer.is_special(id) {
        true => 0,
        false => tokenizer
            .token_bytes(id)
            .map_or(0, |bytes| bytes.len() as u32),
    };
    (0..vocab_size as u32).map(bytes_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(input_ids: &[u32], doc_starts: &[u32], doc_indices: &[u64]) -> Sequence {
        Sequence {
            seq_id: 0,
            input_ids: input_ids.to_vec(),
            doc_starts: doc_starts.to_vec(),
            doc_indices: doc_indices.to_vec(),
        }
    }

    /// Positions with these NLLs, nats.
    fn scores(nlls: &[f64]) -> Vec<PositionScore> {
        let score = |&nll: &f64| PositionScore {
            nll,
            best_prob: 0.5,
            is_best: false,
        };
        nlls.iter().map(score).collect()
    }

    fn groups(names: &[&str]) -> DocumentGroups {
        let mut groups = DocumentGroups::default();
        names.iter().for_each(|name| groups.push(name));
        groups
    }

    #[test]
    fn a_target_counts_for_the_document_that_it_is_in() {
        // Documents 3 and 4 end within; document 5 starts with the last id, which is a target.
        let groups = groups(&["z", "z", "z", "poem", "letter", "poem"]);
        let mut tally = Tally::new(Some(&groups), None);
        let ids = sequence(&[9, 9, 9, 9, 9, 9], &[0, 2, 5], &[3, 4, 5]);
        tally.add(&ids, &scores(&[1.0, 2.0, 4.0, 8.0, 16.0]));
        let report = tally.report(None);
        let found: Vec<_> = report
            .by_kind
            .iter()
            .map(|group| {
                (
                    &*group.kind,
                    group.score.n_targets,
                    group.score.mean_nll_nats,
                )
            })
            .collect();
        let wanted = [
            ("letter", 3, Some(14.0 / 3.0)),
            ("poem", 2, Some(17.0 / 2.0)),
            ("z", 0, None),
        ];
        assert_eq!(found, wanted);
        assert_eq!((report.n_sequences, report.score.n_targets), (1, 5));
        assert_eq!(report.score.mean_nll_nats, Some(31.0 / 5.0));
        assert_eq!(report.score.bits_per_byte, None);
    }

    #[test]
    fn bits_per_byte_count_the_bytes_of_targets_or_the_bytes_of_the_text() {
        let bytes = [0, 1, 3];
        let ids = sequence(&[0, 1, 2, 1], &[0], &[0]);
        let nll = std::f64::consts::LN_2;
        let mut tally = Tally::new(None, Some(&bytes));
        tally.add(&ids, &scores(&[nll, nll, 3.0 * nll]));
        let score = tally.report(None).score;
        assert_eq!(score.n_bytes, Some(5));
        assert!((score.bits_per_byte.unwrap() - 1.0).abs() < 1e-6);
        assert!((score.perplexity.unwrap() - 2f64.powf(5.0 / 3.0)).abs() < 1e-6);
        let mut tally = Tally::new(None, None);
        tally.add(&ids, &scores(&[nll, nll, 3.0 * nll]));
        let score = tally.report(Some(&[10])).score;
        assert!((score.bits_per_byte.unwrap() - 0.5).abs() < 1e-6);
    }

    #[test]
    fn the_report_is_one_flat_object() {
        let json = serde_json::to_value(Tally::new(None, None).report(None)).unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        let mut wanted = [
            "n_sequences",
            "n_targets",
            "mean_nll_nats",
            "perplexity",
            "n_bytes",
            "bits_per_byte",
            "accuracy",
            "ece",
        ];
        wanted.sort_unstable();
        let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, wanted);
    }
}
