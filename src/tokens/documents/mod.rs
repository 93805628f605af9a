//! `documents.parquet`: which record of which input file each document of a corpus is.
//!
//! ```text
//! doc_index u64, id string or null, source string, record u64, n_tokens u64, n_bytes u64
//! ```
//!
//! One row per document, by rising `doc_index`; records that gave no document are not listed. `source` is
//! the path of the input file, `record` its line from 1 (JSON lines), its row from 0 (Parquet) or 0 (a file
//! that is one document), `n_tokens` has the ids around a document in it, `n_bytes` are those of its UTF-8
//! text. The file's hash, and what is known of the ids, are in `corpus.json`.

mod format;
mod ids;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use format::{DocumentEntry, DocumentsStamp};
pub use read::DocumentReader;
pub(super) use write::DocumentWriter;
