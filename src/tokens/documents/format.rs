//! The content of the file and its entry in `corpus.json`.

use arrow_schema::{DataType, Field, Schema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

pub(super) const DOC_INDEX: &str = "doc_index";
pub(super) const ID: &str = "id";
pub(super) const SOURCE: &str = "source";
pub(super) const RECORD: &str = "record";
pub(super) const N_TOKENS: &str = "n_tokens";
pub(super) const N_BYTES: &str = "n_bytes";

/// Where one document of a corpus comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentEntry {
    /// Its number in the corpus.
    pub doc_index: u64,
    /// Its id, if the record has one that is a string or an integer.
    pub id: Option<String>,
    /// The input file, as `inputs` in `corpus.json` spells it.
    pub source: Arc<str>,
    /// Its place in the file: a line from 1, a row from 0, or 0 where the file is one document.
    pub record: u64,
    /// Tokens, including those around it.
    pub n_tokens: u64,
    /// Bytes of its text in UTF-8.
    pub n_bytes: u64,
}

/// What `corpus.json` says of `documents.parquet`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentsStamp {
    /// Size, bytes.
    pub bytes: u64,
    /// BLAKE3 of the contents, 64 hex digits.
    pub blake3: String,
    /// Documents whose record has no id.
    pub n_without_id: u64,
    /// Documents whose id is neither a string nor an integer, and is left out.
    pub n_other_ids: u64,
    /// Documents with the id of an earlier one.
    pub n_repeated_ids: u64,
    /// Documents whose tokens do not spell their text byte by byte, except for one space in front: the
    /// tokenizer changes case, normalizes or loses characters. Absent in corpora of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_not_spelled: Option<u64>,
}

/// The columns.
pub(super) fn schema() -> Arc<Schema> {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    Arc::new(Schema::new(vec![
        field(DOC_INDEX, DataType::UInt64, false),
        field(ID, DataType::Utf8, true),
        field(SOURCE, DataType::Utf8, false),
        field(RECORD, DataType::UInt64, false),
        field(N_TOKENS, DataType::UInt64, false),
        field(N_BYTES, DataType::UInt64, false),
    ]))
}
