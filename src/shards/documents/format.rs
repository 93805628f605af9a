//! A row of `documents/`.

use crate::signals::TargetSums;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Version of the files of `documents/`.
pub(super) const DOCUMENTS_VERSION: u32 = 1;
/// The directory.
pub(in crate::shards) const DOCUMENTS_DIR: &str = "documents";
/// The index file in that directory, which lists the others.
pub(in crate::shards) const INDEX_NAME: &str = "documents.json";

/// Which score of a document; the names are those of the columns.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum DocumentScore {
    /// Sum of the targets' NLL, nats.
    NllSum,
    /// The same per byte of the text, in bits.
    BitsPerByte,
    /// Mean NLL of the targets.
    MeanNll,
    /// Fraction of the targets among the teacher's k best.
    LearnableFraction,
    /// Mean NLL of the targets among the teacher's k best.
    NllLearnableMean,
    /// Mean entropy of the full softmax.
    MeanEntropy,
    /// Mean probability of the k best ids.
    MeanTopkMass,
}

impl DocumentScore {
    /// All scores, in column order.
    pub const ALL: [DocumentScore; 7] = [
        DocumentScore::NllSum,
        DocumentScore::BitsPerByte,
        DocumentScore::MeanNll,
        DocumentScore::LearnableFraction,
        DocumentScore::NllLearnableMean,
        DocumentScore::MeanEntropy,
        DocumentScore::MeanTopkMass,
    ];

    /// Name of the column.
    pub fn name(self) -> &'static str {
        match self {
            DocumentScore::NllSum => "nll_sum",
            DocumentScore::BitsPerByte => "bits_per_byte",
            DocumentScore::MeanNll => "mean_nll",
            DocumentScore::LearnableFraction => "learnable_fraction",
            DocumentScore::NllLearnableMean => "nll_learnable_mean",
            DocumentScore::MeanEntropy => "mean_entropy",
            DocumentScore::MeanTopkMass => "mean_topk_mass",
        }
    }

    /// Unit of the values.
    pub fn unit(self) -> &'static str {
        match self {
            DocumentScore::BitsPerByte => "bits per byte",
            DocumentScore::LearnableFraction => "fraction",
            DocumentScore::MeanTopkMass => "probability",
            DocumentScore::NllSum
            | DocumentScore::MeanNll
            | DocumentScore::NllLearnableMean
            | DocumentScore::MeanEntropy => "nats",
        }
    }

    /// Whether a document may lack it: an NLL may be infinite, the size of a text unknown, and no target learnable.
    pub(super) fn is_nullable(self) -> bool {
        match self {
            DocumentScore::NllSum
            | DocumentScore::BitsPerByte
            | DocumentScore::MeanNll
            | DocumentScore::NllLearnableMean => true,
            DocumentScore::LearnableFraction
            | DocumentScore::MeanEntropy
            | DocumentScore::MeanTopkMass => false,
        }
    }
}

/// One document of the set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DocumentRow {
    /// Its number in the corpus.
    pub doc_index: u64,
    /// Its id, if its record has a string or an integer as id.
    pub id: Option<String>,
    /// The input file that it comes from, if known.
    pub source: Option<Arc<str>>,
    /// Its place there: a line from 1, a row from 0, or 0 if the file is one document.
    pub record: Option<u64>,
    /// Its tokens, including those around it; known with `source`.
    pub n_tokens: Option<u64>,
    /// Its labelled targets, at least one.
    pub n_targets: u64,
    /// Bytes of its text in UTF-8; known with `source`.
    pub n_bytes: Option<u64>,
    /// Its scores, in the order of [`DocumentScore::ALL`].
    pub scores: [Option<f64>; 7],
}

impl DocumentRow {
    /// The value of `score`, if there is one.
    pub fn score(&self, score: DocumentScore) -> Option<f64> {
        self.scores[score as usize]
    }
}

fn finite(x: f64) -> Option<f64> {
    Some(x).filter(|x| x.is_finite())
}

/// `nll` nats over `n_bytes` bytes of text; `None` if that is not finite.
pub(super) fn bits_per_byte(nll: f64, n_bytes: u64) -> Option<f64> {
    finite(nll / (n_bytes as f64 * std::f64::consts::LN_2))
}

/// The scores of a document with these sums; `n_bytes` is given only if these are all targets of its text.
pub(super) fn scores_of(sums: &TargetSums, n_bytes: Option<u64>) -> [Option<f64>; 7] {
    let n = sums.n_targets as f64;
    DocumentScore::ALL.map(|score| match score {
        DocumentScore::NllSum => finite(sums.nll),
        DocumentScore::BitsPerByte => n_bytes.and_then(|n_bytes| bits_per_byte(sums.nll, n_bytes)),
        DocumentScore::MeanNll => finite(sums.nll / n),
        DocumentScore::LearnableFraction => Some(sums.n_learnable as f64 / n),
        // Without learnable targets it is 0 / 0.
        DocumentScore::NllLearnableMean => finite(sums.nll_learnable / sums.n_learnable as f64),
        DocumentScore::MeanEntropy => Some(sums.entropy / n),
        DocumentScore::MeanTopkMass => Some(sums.topk_mass / n),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn scores_are_in_the_order_of_their_names() {
        for (i, score) in DocumentScore::ALL.into_iter().enumerate() {
            assert_eq!(score as usize, i);
            assert_eq!(score.to_possible_value().unwrap().get_name(), score.name());
            assert_eq!(serde_json::to_value(score).unwrap(), score.name());
        }
    }

    #[test]
    fn unknown_values_are_absent() {
        let sums = TargetSums {
            n_targets: 4,
            n_learnable: 0,
            nll: 8.0 * std::f64::consts::LN_2,
            nll_learnable: 0.0,
            entropy: 2.0,
            topk_mass: 1.0,
        };
        let of = |sums: &TargetSums, n_bytes| DocumentRow {
            scores: scores_of(sums, n_bytes),
            ..DocumentRow::default()
        };
        let row = of(&sums, Some(16));
        assert_eq!(row.score(DocumentScore::BitsPerByte), Some(0.5));
        assert_eq!(row.score(DocumentScore::NllLearnableMean), None);
        assert_eq!(row.score(DocumentScore::LearnableFraction), Some(0.0));
        assert_eq!(row.score(DocumentScore::MeanEntropy), Some(0.5));
        assert_eq!(of(&sums, None).score(DocumentScore::BitsPerByte), None);
        let impossible = TargetSums {
            nll: f64::INFINITY,
            ..sums
        };
        let row = of(&impossible, Some(16));
        assert_eq!(row.score(DocumentScore::NllSum), None);
        assert_eq!(row.score(DocumentScore::MeanNll), None);
        assert_eq!(row.score(DocumentScore::BitsPerByte), None);
    }
}
