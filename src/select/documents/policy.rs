//! The policy by which documents are selected.

use crate::select::SelectError;
use crate::select::policy::{Amount, Order, check_settings};
use crate::shards::DocumentScore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What gets its own ranking and amount.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Per {
    /// Every input file of the corpus.
    Source,
}

/// How a document of one label set is found in another.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Join {
    /// By its number; for labels of the same corpus.
    Index,
    /// By its id, which must exist and be unique.
    Id,
    /// By its input file, as named when it was tokenized, and its record number there.
    Record,
}

/// Which documents to keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentPolicy {
    /// The order in which they are kept.
    #[serde(flatten)]
    pub order: Order,
    /// The score that determines the order. Documents without one are never kept.
    pub score: DocumentScore,
    /// How many are kept; tokens are all of a document's, as far as they are known, else its targets.
    pub amount: Amount,
    /// Documents whose `learnable_fraction` is below this are never kept.
    pub min_learnable: Option<f64>,
    /// What gets its own ranking and amount; absent: all documents are ranked together.
    pub per: Option<Per>,
    /// How documents of the subtracted labels are found; absent: by number if both label the same
    /// corpus, else by id.
    pub join: Option<Join>,
}

impl DocumentPolicy {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`SelectError::Policy`], naming the setting.
    pub fn validate(&self) -> Result<(), SelectError> {
        check_settings(self.order, self.amount, self.min_learnable)
    }

    /// Whether the score of a text does not depend on its tokenization.
    pub(super) fn is_of_text(&self) -> bool {
        matches!(
            self.score,
            DocumentScore::BitsPerByte | DocumentScore::NllSum
        )
    }
}
