//! Checks before the long work that tokens, tokenizer and model belong together.

use super::EvalError;
use crate::tokens::{TokenCorpus, Tokenizer};
use crate::train::model::ModelSpec;
use std::path::Path;

/// Checks that every id of the tokenizer has a row in the model; `path` is for the message.
///
/// # Errors
/// [`EvalError::Vocabulary`].
pub fn check_tokenizer(
    spec: &ModelSpec,
    tokenizer: &Tokenizer,
    path: &Path,
) -> Result<(), EvalError> {
    check_vocabulary(spec, tokenizer.vocab_size(), path, "the tokenizer")
}

/// Checks that a given tokenizer and the model's own give every id the same meaning: with another one of the
/// same size all results would be wrong without any sign of it.
///
/// # Errors
/// [`EvalError::OtherTokenizer`]; a file that is not a tokenizer.
pub fn check_same_tokenizer(
    named: &Tokenizer,
    named_path: &Path,
    own_path: &Path,
) -> Result<(), EvalError> {
    let (named, own) = (
        named.fingerprint(),
        Tokenizer::open(own_path)?.fingerprint(),
    );
    if named == own {
        return Ok(());
    }
    Err(EvalError::NotTheModels {
        path: named_path.to_owned(),
        named,
        own_path: own_path.to_owned(),
        own,
    })
}

/// Checks that every id of the corpus has a row in the model, and that this tokenizer made the corpus, as far
/// as either is known.
///
/// # Errors
/// [`EvalError::Vocabulary`], [`EvalError::OtherTokenizer`], or an id past the vocabulary, with its position.
pub fn check_tokens(
    spec: &ModelSpec,
    corpus: &TokenCorpus,
    tokenizer: Option<(&Tokenizer, &Path)>,
) -> Result<(), EvalError> {
    corpus.check_contents()?;
    let path = &corpus.files()[0];
    if let Some(json) = corpus.corpus_json() {
        check_vocabulary(spec, json.vocab_size, path, "the corpus' tokenizer")?;
        if let Some((tokenizer, tokenizer_path)) = tokenizer {
            let (corpus, model) = (&json.tokenizer_fingerprint, tokenizer.fingerprint());
            if *corpus != model {
                return Err(EvalError::OtherTokenizer {
                    path: path.clone(),
                    corpus: corpus.clone(),
                    tokenizer: tokenizer_path.to_owned(),
                    model,
                });
            }
        }
    }
    let vocab_size = u32::try_from(spec.vocab_size).unwrap_or(u32::MAX);
    Ok(corpus.check_ids(0..corpus.n_tokens(), vocab_size)?)
}

/// Checks that the model has a row for an id.
pub(super) fn check_id(spec: &ModelSpec, id: u32) -> Result<(), EvalError> {
    if (id as usize) < spec.vocab_size {
        return Ok(());
    }
    Err(EvalError::IdPastVocab {
        id,
        vocab_size: spec.vocab_size,
    })
}

fn check_vocabulary(
    spec: &ModelSpec,
    n_ids: u32,
    path: &Path,
    what: &'static str,
) -> Result<(), EvalError> {
    if n_ids as usize <= spec.vocab_size {
        return Ok(());
    }
    Err(EvalError::Vocabulary {
        path: path.to_owned(),
        what,
        n_ids: n_ids as usize,
        vocab_size: spec.vocab_size,
    })
}
