//! Identities of token corpora by contents, independent of file names.

use crate::shards::Plan;
use crate::storage::{StorageError, fingerprint_of, sampled_blake3};
use crate::tokens::TokenCorpus;
use crate::train::data::LabelSource;

/// The identity of a corpus: a fingerprint of sampled blocks of its token files, independent of their names.
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

/// The identity of the corpus that labels were made from, according to their plan.
pub fn labelled_identity(labels: &LabelSource) -> String {
    identity_in_plan(labels.plan())
}

/// The same from the plan alone.
pub fn identity_in_plan(plan: &Plan) -> String {
    let files = plan.corpus.files.iter();
    fingerprint_of(files.map(|file| file.sampled_blake3.as_str()))
}
