//! Input documents: jsonl, txt and Parquet files, streamed one document at a time.
//!
//! # What is read
//!
//! | file name | documents |
//! | --- | --- |
//! | `.jsonl`, `.json`, `.jsonlines`, `.ndjson` | one JSON object per line; the text is one string field (`text` unless chosen) |
//! | `.txt`, `.md`, other text, source code | one document per file |
//! | `.parquet` | one document per row; the text is one string column |
//! | no extension | what the contents show |
//!
//! The first two may be compressed (`.gz`, `.zst`, `.xz`, `.bz2`, `.lz4`, with any number of members or frames). Inputs
//! are files, directories (walked) and globs ([`expand_inputs`]); their documents come in the sorted order of the
//! paths, so the same inputs give the same corpus in whatever order they were named. Files found there but not read are
//! counted ([`LeftOut`]); a file whose contents do not match its name is refused, with what it is.
//!
//! # Guarantees
//!
//! Memory is bounded by the longest document, never by a file. A UTF-8 byte order mark is dropped. JSON is read as
//! Python reads it, so that `NaN`, `Infinity`, numbers of any size and lone surrogates in other fields do no harm; a
//! lone surrogate in the text is an error, since UTF-8 cannot encode it. A blank document is counted and left out.
//! Everything else that is not a document is an error that names path, line (or row) and remedy. `skip_bad_lines`
//! counts such lines instead, but a file that cannot be read to its end is still an error.
//!
//! [`RawFile`] gives the same records byte for byte, with the same numbers, for copying them.

mod document;
mod documents;
mod error;
mod format;
mod input_file;
mod inputs;
mod json;
mod jsonl;
mod lines;
mod location;
mod parquet;
mod records;
mod sniff;
mod source;
mod splits;
#[cfg(feature = "object-stores")]
#[cfg(test)]
mod stored;
mod stream;
mod text;

pub use document::{
    CorpusOptions, DEFAULT_ID_FIELD, DEFAULT_TEXT_FIELD, DEFAULT_ZSTD_WINDOW_LOG_MAX, Document,
    DocumentId, Tally,
};
pub use documents::Documents;
pub use error::CorpusError;
pub use format::{Compression, DocumentFormat, name_without_compression};
pub use input_file::InputFile;
pub use inputs::{InputFiles, LeftOut, expand_inputs};
pub use jsonl::JsonlReader;
pub use location::{Location, Position};
pub use records::{RawContents, RawFile, RawLine, RawLines, RawText};
pub(crate) use sniff::is_html;
pub use splits::mixed_splits;

/// Longest document that is read, bytes. A longer one is more likely a file without line ends.
pub const MAX_DOCUMENT_BYTES: u64 = 1 << 30;
