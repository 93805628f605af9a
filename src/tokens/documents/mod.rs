//! `documents.parquet`: which record of which input file each document of a corpus is.
//!
//! ```text
//! doc_index u64, id string or null, source string, record u64, n_tokens u64, n_bytes u64
//! ```
//!
//! One row per document, by increasing `doc_index`; records that gave no document are not listed. `source` is the path
//! of the input file, `record` its line from 1 (JSON lines), its row from 0 (Parquet) or 0 (a file that is one
//! document), `n_tokens` includes the ids around a document, `n_bytes` is the size of its UTF-8 text. `corpus.json` has
//! the file's hash and counts of the ids.

mod format;
mod ids;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use format::{DocumentEntry, DocumentsStamp};
pub use read::DocumentReader;
pub(super) use write::DocumentWriter;
