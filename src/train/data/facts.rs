//! The facts that a run compares its inputs with.

use super::DataError;
use crate::tokens::{TokenCorpus, Tokenizer};
use crate::train::batch::KdLoss;
use crate::train::loss::Gate;
use std::path::Path;

/// What is known about a run's tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerFacts {
    /// `blake3:` and 64 hex digits over its ids; `None` if only the vocabulary is known.
    pub fingerprint: Option<String>,
    /// V.
    pub vocab_size: u32,
    /// Its source, for messages: a file, or `the model`.
    pub source: String,
}

impl TokenizerFacts {
    /// From a `tokenizer.json`.
    ///
    /// # Errors
    /// A file that is not a tokenizer.
    pub fn of_tokenizer(path: &Path) -> Result<Self, DataError> {
        let tokenizer = Tokenizer::open(path)?;
        Ok(TokenizerFacts {
            fingerprint: Some(tokenizer.fingerprint()),
            vocab_size: tokenizer.vocab_size(),
            source: path.display().to_string(),
        })
    }

    /// From a corpus, if it has a `corpus.json`.
    pub fn of_corpus(corpus: &TokenCorpus) -> Option<Self> {
        let json = corpus.corpus_json()?;
        let file = corpus.files().first()?;
        Some(TokenizerFacts {
            fingerprint: Some(json.tokenizer_fingerprint.clone()),
            vocab_size: json.vocab_size,
            source: file.with_file_name("corpus.json").display().to_string(),
        })
    }

    /// Refuses `other`, the tokenizer of `path`, if it or its vocabulary differs. If either side has no
    /// fingerprint, only the vocabulary is compared, and a note says so.
    ///
    /// # Errors
    /// [`DataError::Vocabulary`], [`DataError::Tokenizer`].
    pub fn check(&self, path: &Path, other: &TokenizerFacts) -> Result<Option<String>, DataError> {
        if other.vocab_size != self.vocab_size {
            return Err(DataError::Vocabulary {
                path: path.to_path_buf(),
                expected: self.vocab_size,
                got: other.vocab_size,
                source_of: self.source.clone(),
            });
        }
        match (&self.fingerprint, &other.fingerprint) {
            (Some(expected), Some(got)) if expected != got => Err(DataError::Tokenizer {
                path: path.to_path_buf(),
                expected: expected.clone(),
                got: got.clone(),
                source_of: self.source.clone(),
            }),
            (Some(_), Some(_)) => Ok(None),
            (known, _) => {
                let unknown = match known {
                    None => &self.source,
                    Some(_) => &other.source,
                };
                Ok(Some(format!(
                    "{unknown} does not record its tokenizer: only the vocabulary of {} ids was compared with {}",
                    self.vocab_size,
                    path.display()
                )))
            }
        }
    }
}

/// What a run needs from labels besides their tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelNeeds {
    /// The KD loss.
    pub loss: KdLoss,
    /// Temperature of the teacher.
    pub tau: f64,
    /// Which positions learn from the teacher.
    pub gate: Gate,
    /// Minimum K.
    pub min_top_k: u32,
    /// Whether the teacher's NLL is read, as by the transition `auto`.
    pub teacher_nll: bool,
}
