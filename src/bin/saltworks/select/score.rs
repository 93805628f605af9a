//! The scores of sequences and of documents, by one flag.

use super::By;
use clap::ValueEnum;
use clap::builder::PossibleValue;
use saltworks::select::SelectError;
use saltworks::shards::{DocumentScore, ScoreId};

/// A score of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnyScore {
    Sequence(ScoreId),
    Document(DocumentScore),
}

impl ValueEnum for AnyScore {
    fn value_variants<'a>() -> &'a [Self] {
        use AnyScore::{Document, Sequence};
        &[
            Sequence(ScoreId::Salt),
            Sequence(ScoreId::SaltMasked),
            Sequence(ScoreId::MeanNll),
            Sequence(ScoreId::MedianNll),
            Sequence(ScoreId::LearnableFraction),
            Sequence(ScoreId::MeanEntropy),
            Sequence(ScoreId::MeanTopkMass),
            Document(DocumentScore::NllSum),
            Document(DocumentScore::BitsPerByte),
            Document(DocumentScore::MeanNll),
            Document(DocumentScore::LearnableFraction),
            Document(DocumentScore::NllLearnableMean),
            Document(DocumentScore::MeanEntropy),
            Document(DocumentScore::MeanTopkMass),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            AnyScore::Sequence(score) => score.to_possible_value(),
            AnyScore::Document(score) => score.to_possible_value(),
        }
    }
}

impl AnyScore {
    /// As a score of sequences.
    pub(super) fn of_sequence(self) -> Result<ScoreId, SelectError> {
        match self {
            AnyScore::Sequence(score) => Ok(score),
            AnyScore::Document(score) => Err(wrong(By::Sequence, score.name())),
        }
    }

    /// As a score of documents.
    pub(super) fn of_document(self) -> Result<DocumentScore, SelectError> {
        match self {
            AnyScore::Document(score) => Ok(score),
            AnyScore::Sequence(score) => Err(wrong(By::Document, score.name())),
        }
    }
}

fn wrong(by: By, got: &str) -> SelectError {
    SelectError::Policy {
        what: "--score",
        expected: match by {
            By::Sequence => "a score of sequences (its name begins with score_), or --by document",
            By::Document => "a score of documents, such as bits_per_byte",
        },
        got: got.to_owned(),
    }
}
