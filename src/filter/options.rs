//! Settings besides the selection.

use super::error::FilterError;
use crate::corpus::{Compression, CorpusOptions};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The default key, or column, of weights.
pub const DEFAULT_WEIGHTS_KEY: &str = "weight";

/// What is filtered, how, and to where.
#[derive(Debug, Clone)]
pub struct Request {
    /// The inputs of the corpus, in any order.
    pub inputs: Vec<PathBuf>,
    /// How they are read, as for `tokenize`.
    pub reading: CorpusOptions,
    /// Directory of the token corpus made from them.
    pub corpus: PathBuf,
    /// The selection of its documents.
    pub selection: PathBuf,
    /// Directory of the outputs.
    pub output: PathBuf,
    /// How records are written.
    pub options: FilterOptions,
}

/// How records are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterOptions {
    /// Key, or column, for the selection's scores in every written document.
    pub scores_key: Option<String>,
    /// Key, or column, with 1 for a kept document and 0 for any other; if set, all are written.
    pub weights_key: Option<String>,
    /// What happens to records that are not documents.
    pub skipped: Skipped,
    /// Compression of the outputs; `None`: as in the input.
    pub compression: Option<Compression>,
}

/// What becomes of records that were skipped at tokenization: empty documents, bad lines, blank lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum Skipped {
    /// They are left out.
    #[default]
    Drop,
    /// They are written as they are.
    Keep,
}

impl FilterOptions {
    /// Whether anything is added to a record.
    pub(super) fn adds(&self) -> bool {
        self.scores_key.is_some() || self.weights_key.is_some()
    }

    /// The keys to be added.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let keys = [self.scores_key.as_deref(), self.weights_key.as_deref()];
        keys.into_iter().flatten()
    }

    /// Refuses impossible keys.
    pub(super) fn check(&self) -> Result<(), FilterError> {
        if self.keys().any(str::is_empty) {
            return Err(FilterError::EmptyKey);
        }
        match (&self.scores_key, &self.weights_key) {
            (Some(scores), Some(weights)) if scores == weights => Err(FilterError::SameKey {
                key: scores.clone(),
            }),
            _ => Ok(()),
        }
    }
}
