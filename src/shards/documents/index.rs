//! `documents.json`: lists the files and what they were made from.

use super::format::{DOCUMENTS_DIR, DOCUMENTS_VERSION, INDEX_NAME};
use crate::shards::ShardsError;
use crate::shards::json;
use crate::shards::sidecar::SidecarFile;
use crate::storage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The documents of a finished set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentsIndex {
    /// Version of these files.
    pub format_version: u32,
    /// Of the labels: `blake3:` and 64 hex digits over the fingerprints of their plans.
    pub labels_fingerprint: String,
    /// BLAKE3 of the manifest of the shards that were summed up, 64 hex digits.
    pub manifest_blake3: String,
    /// Of the token files, as the plan has it.
    pub corpus_fingerprint: String,
    /// Of the model.
    pub teacher_fingerprint: String,
    /// Of the tokenizer, where it is known.
    pub tokenizer_fingerprint: Option<String>,
    /// Whether ids, sources and bytes are known.
    pub has_sources: bool,
    /// Whether the tokens of the whole corpus spell its text; absent where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spelling: Option<CorpusSpelling>,
    /// Documents that have a labelled target.
    pub n_documents: u64,
    /// Those of them in which every target is known to be labelled.
    pub n_whole: u64,
    /// Bytes of the texts of those.
    pub n_bytes_whole: u64,
    /// Bits per byte of those together; absent if there are none, or one has an infinite NLL.
    pub bits_per_byte: Option<f64>,
    /// Labelled targets.
    pub n_targets: u64,
    /// The files, in order.
    pub parts: Vec<DocumentsPart>,
}

/// How many documents of a corpus have tokens that spell their text. Those of a tokenizer that changes case,
/// normalizes or loses characters do not: its model predicts less than the text, so its bits per byte are
/// too low.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CorpusSpelling {
    /// Documents of the corpus.
    pub n_documents: u64,
    /// Those whose tokens do not spell their text byte by byte, except for one space in front.
    pub n_not_spelled: u64,
}

impl CorpusSpelling {
    /// Whether most documents lose something, so that the total bits per byte are no measure of the text.
    pub fn is_mostly_lossy(&self) -> bool {
        self.n_not_spelled > self.n_documents / 2
    }

    /// A note to show with bits per byte; `None` if all documents are spelled.
    pub fn note(&self) -> Option<String> {
        let CorpusSpelling {
            n_documents,
            n_not_spelled,
        } = self;
        (*n_not_spelled > 0).then(|| {
            format!(
                "the tokens of {n_not_spelled} of {n_documents} documents do not spell their text: the tokenizer changes case, normalizes or loses characters, so their bits per byte are too low compared with other tokenizers'"
            )
        })
    }
}

/// One file of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentsPart {
    /// Documents in it.
    pub rows: u64,
    /// The file.
    #[serde(flatten)]
    pub file: SidecarFile,
}

impl DocumentsIndex {
    /// The path of a label directory's index.
    pub(super) fn path(dir: &Path) -> PathBuf {
        dir.join(DOCUMENTS_DIR).join(INDEX_NAME)
    }

    /// The index of the label directory `dir`; `None` if there is none.
    ///
    /// # Errors
    /// It is damaged, or of a later format.
    pub fn read(dir: &Path) -> Result<Option<Self>, ShardsError> {
        let path = Self::path(dir);
        let Some(bytes) = json::read_if_exists(&path)? else {
            return Ok(None);
        };
        let fault = |reason| ShardsError::Documents {
            path: path.clone(),
            reason,
        };
        let index: Self =
            storage::from_checked_json(&bytes).map_err(|error| fault(error.to_string()))?;
        match index.format_version {
            DOCUMENTS_VERSION => Ok(Some(index)),
            other => Err(fault(format!(
                "its format version {other} is unknown to this program"
            ))),
        }
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), ShardsError> {
        let bytes = storage::checked_json(self).expect("plain data has a JSON form");
        Ok(storage::replace(&Self::path(dir), &bytes)?)
    }
}
