//! Token corpora by their contents, whatever their files are called.

use crate::shards::Plan;
use crate::storage::{StorageError, fingerprint_of, sampled_blake3};
use crate::tokens::TokenCorpus;
use crate::train::data::LabelSource;

/// One identity for the token files of a corpus, of sampled blocks of them: the same whatever they
/// are called.
///
/// # Errors
/// A file that cannot be read.
pub fn corpus_identity(corpus: &TokenCorpus) -> Result<String, StorageError> {
    let files = corpus.local_files().iter();
    let hashes: Vec<String> = files
        .map(|file| sampled_blake3(file))
        .collect::<Result<_, _>>()?;
    Ok(fingerprint_of(hashes.iter().map(String::as_str)))
}

/// The same of the corpus that labels were made of, as their plan says.
pub fn labelled_identity(labels: &LabelSource) -> String {
    identity_in_plan(labels.plan())
}

/// The same from the plan alone.
pub fn identity_in_plan(plan: &Plan) -> String {
    let files = plan.corpus.files.iter();
    fingerprint_of(files.map(|file| file.sampled_blake3.as_str()))
}
