//! `corpus.json`: describes the token files beside it. Written last, so its presence means that they are complete.

use super::documents::DocumentsStamp;
use super::dtype::Dtype;
use super::error::TokensError;
use crate::corpus::InputFile;
use crate::storage::{self, BlockHashes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The `format_version` that is written, and the newest that can be read.
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
    /// All ids in front of every document, in order, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids_in_front: Vec<u32>,
    /// All ids after every document, in order, if there are several.
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
    /// Input lines that were skipped because they were not documents.
    pub n_bad_lines: u64,
    /// `tokens.bin`.
    pub bin: FileStamp,
    /// `tokens.idx`.
    pub idx: FileStamp,
    /// Blocks of `tokens.bin`, so that parts of it can be read from an object store; absent in older corpora,
    /// which are copied whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<BinBlocks>,
    /// `documents.parquet`, which lists the documents; absent in corpora that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documents: Option<DocumentsStamp>,
    /// The input files, in the order in which they were read; empty if unknown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<InputFile>,
}

/// Size and hash of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileStamp {
    /// Size, bytes.
    pub bytes: u64,
    /// BLAKE3 of the contents, 64 hex digits.
    pub blake3: String,
}

/// Hash and largest id of each block of `tokens.bin`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BinBlocks {
    /// Bytes of every block but the last: a power of two, at least 1,024.
    pub bytes: u64,
    /// The chaining value of each block as a subtree of the BLAKE3 of the file, 64 hex digits; the hash itself
    /// if there is only one block.
    pub blake3: Vec<String>,
    /// The largest id of each block.
    pub max_ids: Vec<u32>,
}

impl BinBlocks {
    pub(super) fn new(hashes: &BlockHashes, max_ids: Vec<u32>) -> Self {
        let hex = |hash: &[u8; 32]| blake3::Hash::from_bytes(*hash).to_hex().to_string();
        Self {
            bytes: hashes.block_bytes,
            blake3: hashes.hashes.iter().map(hex).collect(),
            max_ids,
        }
    }

    /// The hashes as they are checked.
    ///
    /// # Errors
    /// What is wrong with them as hashes of `bin`.
    pub(super) fn hashes(&self, bin: &FileStamp) -> Result<BlockHashes, String> {
        let bytes = |hex: &String| blake3::Hash::from_hex(hex).map(Into::into);
        let hashes = self.blake3.iter().map(bytes).collect::<Result<_, _>>();
        let hashes = hashes.map_err(|_| "blocks.blake3: expected 64 hex digits each".to_owned())?;
        let blocks = BlockHashes {
            block_bytes: self.bytes,
            hashes,
        };
        if let Some(fault) = blocks.fault(bin.bytes, &bin.blake3) {
            return Err(format!("blocks: {fault}"));
        }
        let (expected, got) = (self.blake3.len(), self.max_ids.len());
        match expected == got {
            true => Ok(blocks),
            false => Err(format!("blocks.max_ids: expected {expected}, got {got}")),
        }
    }
}

impl CorpusJson {
    /// Reads a `corpus.json`; `None` if there is none.
    ///
    /// # Errors
    /// I/O, not a corpus description, or one of a newer format.
    pub fn read(path: &Path) -> Result<Option<Self>, TokensError> {
        let Some(bytes) = storage::read_if_exists(path)? else {
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
        if let Some(feature) = json.required_features.first() {
            return Err(fault(format!(
                "it needs the feature `{feature}`, which is unknown to this program"
            )));
        }
        if let Some(blocks) = &json.blocks {
            blocks.hashes(&json.bin).map_err(fault)?;
        }
        Ok(Some(json))
    }

    /// `blake3:` and 64 hex digits over the hashes of the token files: the identity of the corpus that plans and
    /// selections refer to.
    pub fn fingerprint(&self) -> String {
        let hashes = [&self.bin, &self.idx].map(|stamp| stamp.blake3.as_str());
        storage::fingerprint_of(hashes.into_iter())
    }

    /// Hashes of the blocks of `tokens.bin`, if its writer recorded them.
    pub(super) fn block_hashes(&self) -> Option<BlockHashes> {
        self.blocks.as_ref()?.hashes(&self.bin).ok()
    }

    /// Writes the file atomically.
    #[cfg(test)]
    pub(super) fn write(&self, path: &Path) -> Result<(), TokensError> {
        Ok(storage::replace(path, &self.to_bytes())?)
    }

    /// The file's contents, with a checksum of its fields.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        storage::checked_json(self).expect("plain data has a JSON form")
    }
}
