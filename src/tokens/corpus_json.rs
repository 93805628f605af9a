//! `corpus.json`: what the token files beside it are. Written last, so its presence means done.

use super::dtype::Dtype;
use super::error::TokensError;
use crate::storage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The `format_version` that is written, and the newest that is read.
pub const CORPUS_FORMAT_VERSION: u32 = 1;

/// `corpus.json`: the tokenizer, the ids around documents, and what the token files must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CorpusJson {
    /// Version of this format.
    pub format_version: u32,
    /// Names of features a reader must know; it refuses unknown ones.
    #[serde(default)]
    pub required_features: Vec<String>,
    /// `blake3:<hex>` over the tokenizer's canonical id-to-bytes table and its special ids.
    pub tokenizer_fingerprint: String,
    /// Every id is below this.
    pub vocab_size: u32,
    /// The first id in front of every document, if any.
    pub bos: Option<u32>,
    /// The last id after every document, if any.
    pub eod: Option<u32>,
    /// All ids in front of every document, in order, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids_in_front: Vec<u32>,
    /// All ids after every document, in order, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids_after: Vec<u32>,
    /// Type of the ids in `tokens.bin`.
    pub dtype: Dtype,
    /// Number of documents.
    pub n_documents: u64,
    /// Number of tokens, `bos` and `eod` included.
    pub n_tokens: u64,
    /// Bytes of UTF-8 text that the documents had.
    pub n_text_bytes: u64,
    /// Documents that were left out because they had no text.
    pub n_empty_documents: u64,
    /// Input lines that were skipped because they were no documents.
    pub n_bad_lines: u64,
    /// `tokens.bin`.
    pub bin: FileStamp,
    /// `tokens.idx`.
    pub idx: FileStamp,
}

/// Size and hash of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileStamp {
    /// Size, bytes.
    pub bytes: u64,
    /// BLAKE3 of the contents, 64 hex digits.
    pub blake3: String,
}

impl CorpusJson {
    /// Reads a `corpus.json`; `None` if there is none.
    ///
    /// # Errors
    /// I/O, not a corpus description, or one of a newer format.
    pub fn read(path: &Path) -> Result<Option<Self>, TokensError> {
        let Some(bytes) = storage::read_if_there(path)? else {
            return Ok(None);
        };
        let fault = |reason| TokensError::CorpusJson {
            path: path.to_path_buf(),
            reason,
        };
        let json: Self =
            storage::from_checked_json(&bytes).map_err(|error| fault(error.to_string()))?;
        if !(1..=CORPUS_FORMAT_VERSION).contains(&json.format_version) {
            let version = json.format_version;
            return Err(fault(format!(
                "format version {version} is unknown to this program"
            )));
        }
        match json.required_features.first() {
            Some(feature) => Err(fault(format!(
                "it needs the feature `{feature}`, which is unknown to this program"
            ))),
            None => Ok(Some(json)),
        }
    }

    /// Writes the file at once.
    #[cfg(test)]
    pub(super) fn write(&self, path: &Path) -> Result<(), TokensError> {
        Ok(storage::replace(path, &self.to_bytes())?)
    }

    /// The file's contents, with a checksum of its fields.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        storage::checked_json(self).expect("plain data has a JSON form")
    }
}
