//! The kinds of token files, and the names in a corpus directory.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names in a corpus directory.
pub(super) const PREFIX: &str = "tokens";
/// Describes a corpus directory; written last.
pub const CORPUS_JSON: &str = "corpus.json";
pub(super) const DOCUMENTS: &str = "documents.parquet";

/// A kind of token file.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum TokenFormat {
    /// `.bin` and `.idx`, with or without a `corpus.json`.
    Megatron,
    /// Ids without a header, u16 by default, or a NumPy array.
    NanoGpt,
    /// llm.c's header, then u16 or u32 ids.
    LlmC,
    /// A list column `input_ids`, in one file or several.
    Parquet,
}

impl TokenFormat {
    /// Whether its files record where documents begin; a raw file is split at an id, or is one
    /// document.
    pub fn has_document_boundaries(self) -> bool {
        match self {
            TokenFormat::Megatron | TokenFormat::Parquet => true,
            TokenFormat::NanoGpt | TokenFormat::LlmC => false,
        }
    }
}
