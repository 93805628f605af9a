//! Documents in: jsonl, txt and Parquet files, streamed one document at a time.
//!
//! # What is read
//!
//! | file name | documents |
//! | --- | --- |
//! | `.jsonl`, `.json`, `.ndjson` | one JSON object a line; the text is one string field (`text` unless chosen) |
//! | `.txt` | one document a file |
//! | `.parquet` | one document a row; the text is one string column |
//!
//! The first two may be compressed (`.gz` of any number of members, `.zst` of any number of frames).
//! Inputs are files, directories (walked) and globs ([`expand_inputs`]); their documents come in the
//! sorted order of the paths, so the same inputs give the same corpus whatever order they were named in.
//!
//! # What is promised
//!
//! Memory is bounded by the longest document, never by a file. A UTF-8 byte order mark is dropped.
//! A document with no text but white space is counted and left out. Everything else that is not a
//! document is an error that names path, line (or row) and remedy; `skip_bad_lines` counts such lines
//! instead, but a file that cannot be read to its end is an error all the same.

mod documents;
mod error;
mod format;
mod inputs;
mod jsonl;
mod location;
mod parquet;
mod stream;
mod text;

pub use documents::{CorpusOptions, DEFAULT_TEXT_FIELD, Document, Documents, Tally};
pub use error::CorpusError;
pub use inputs::expand_inputs;
pub use jsonl::JsonlReader;
pub use location::{Location, Position};

/// Longest document that is read, bytes. A longer one is far more likely a file without line ends.
pub const MAX_DOCUMENT_BYTES: u64 = 1 << 30;
