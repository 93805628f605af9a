//! Completes a set: its manifest, and the results for each document of the corpus.

use super::error::LabelError;
use super::options::LabelOptions;
use super::record::RECORD_NAME;
use crate::config::Layers;
use crate::shards::{
    self, CorpusSpelling, DocumentsOutcome, LabelSet, ListedDocuments, Manifest, Plan,
    write_documents,
};
use crate::tokens::{DocumentReader, corpus_json_of};
use std::path::{Path, PathBuf};

/// The outcome of [`finalize`].
#[derive(Debug, Clone, PartialEq)]
pub struct Finalized {
    /// The manifest.
    pub manifest: Manifest,
    /// The documents.
    pub documents: DocumentsOutcome,
    /// Notes for the user about them.
    pub notes: Vec<String>,
}

/// Writes the manifest of `dir`, and then its documents. Their ids, files and sizes come from the corpus at `tokens`,
/// or by default from the one in the labels' record, if it still exists.
///
/// # Errors
/// Those of [`shards::finalize`]; a corpus at `tokens` that is not the labelled one; I/O.
pub fn finalize(
    dir: &Path,
    allow_mixed_runtime: bool,
    tokens: Option<&Path>,
) -> Result<Finalized, LabelError> {
    let manifest = shards::finalize(dir, allow_mixed_runtime)?;
    let set = LabelSet::open(dir)?;
    match tokens {
        Some(tokens) => {
            let entries = entries_of(tokens, &set.segments[0])?;
            let without = entries.is_none().then(|| {
                format!(
                    "documents/ has neither ids nor bytes, as {} does not list its documents: tokenize with this version, and label that corpus",
                    tokens.display()
                )
            });
            with_documents(&set, manifest, entries, without)
        }
        None => {
            let recorded = recorded_tokens(&set);
            with_entries_if_available(&set, manifest, recorded)
        }
    }
}

/// Like [`finalize`], for labels just made from the corpus at `tokens`. They are finished whatever has happened to its
/// list of documents.
pub(super) fn finalize_labelled(
    dir: &Path,
    allow_mixed_runtime: bool,
    tokens: &Path,
) -> Result<Finalized, LabelError> {
    let manifest = shards::finalize(dir, allow_mixed_runtime)?;
    let set = LabelSet::open(dir)?;
    with_entries_if_available(&set, manifest, Ok(tokens.to_path_buf()))
}

/// Writes documents with the list of the corpus at `tokens`; if that is unavailable, a note says why.
fn with_entries_if_available(
    set: &LabelSet,
    manifest: Manifest,
    tokens: Result<PathBuf, String>,
) -> Result<Finalized, LabelError> {
    let of =
        |tokens: PathBuf| entries_of(&tokens, &set.segments[0]).map_err(|error| error.to_string());
    match tokens.and_then(of) {
        Ok(entries) => with_documents(set, manifest, entries, None),
        Err(reason) => {
            let note = format!(
                "documents/ has neither ids nor bytes ({reason}): `saltworks finalize --tokens` with the labelled corpus adds them"
            );
            with_documents(set, manifest, None, Some(note))
        }
    }
}

/// Writes documents; `without` says why only their numbers are known, unless the rest was known before.
fn with_documents(
    set: &LabelSet,
    manifest: Manifest,
    entries: Option<DocumentReader>,
    without: Option<String>,
) -> Result<Finalized, LabelError> {
    let listed = entries.map(|entries| ListedDocuments {
        spelling: entries.n_not_spelled().map(|n_not_spelled| CorpusSpelling {
            n_documents: entries.n_documents(),
            n_not_spelled,
        }),
        entries: entries.map(|entry| Ok(entry?)),
    });
    let documents = write_documents::<LabelError, _>(set, listed)?;
    let note = match &documents {
        DocumentsOutcome::Written(index) => without.filter(|_| !index.has_sources),
        DocumentsOutcome::WithoutSums { shard } => Some(format!(
            "documents/ is not written: shard {shard} was made by an earlier version, which did not store sums per document"
        )),
    };
    Ok(Finalized {
        manifest,
        documents,
        notes: note.into_iter().collect(),
    })
}

/// The documents of the corpus at `tokens`, which must be the one that `plan` labels. `None` if it has no list of them.
fn entries_of(tokens: &Path, plan: &Plan) -> Result<Option<DocumentReader>, LabelError> {
    let Some((json, dir)) = corpus_json_of(tokens)? else {
        return Ok(None);
    };
    let got = json.fingerprint();
    if got != plan.corpus.fingerprint {
        return Err(LabelError::OtherCorpus {
            tokens: tokens.to_path_buf(),
            expected: plan.corpus.fingerprint.clone(),
            got,
        });
    }
    Ok(DocumentReader::open(&dir, &json)?)
}

/// The corpus named in the labels' record.
fn recorded_tokens(set: &LabelSet) -> Result<PathBuf, String> {
    let record = set.dir.join(RECORD_NAME);
    let layers = Layers::read(Some(&record), &[]);
    let options = layers.and_then(Layers::into_options::<LabelOptions>);
    match options.map(|options| options.tokens) {
        Ok(Some(tokens)) => Ok(tokens),
        Ok(None) => Err(format!("{} names no tokens", record.display())),
        Err(error) => Err(error.to_string()),
    }
}
