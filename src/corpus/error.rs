//! What can be wrong with the input.

use super::location::Location;
use crate::error::Kind;
use std::io;
use std::path::PathBuf;

/// Why the documents could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The operating system refused.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A pattern that stands for no file.
    #[error(
        "`{pattern}` matches no input file: name files, directories or globs of .jsonl, .json, .ndjson or .txt (plain, .gz or .zst) or .parquet"
    )]
    NoMatch {
        /// The pattern as typed.
        pattern: String,
    },
    /// A pattern that is not a valid glob.
    #[error("`{pattern}` is not a valid glob: {reason}")]
    BadPattern {
        /// The pattern as typed.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A directory that contains itself by a symbolic link.
    #[error("{} is a symbolic link to a directory that contains it: remove the link or name the files themselves", path.display())]
    SymlinkLoop {
        /// The link.
        path: PathBuf,
    },
    /// A file name that says nothing known about its contents.
    #[error("{} is of no known kind: rename it to end in .jsonl, .json, .ndjson or .txt (plain, .gz or .zst) or in .parquet", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A compressed stream that ends in its middle.
    #[error("{} is cut short: the {compression} stream ends before its end mark; fetch or compress the file again", path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// `gzip` or `zstd`.
        compression: &'static str,
    },
    /// A compressed stream that does not decompress.
    #[error("{} does not decompress as {compression} ({reason}): fetch or compress the file again", path.display())]
    DamagedStream {
        /// The file.
        path: PathBuf,
        /// `gzip` or `zstd`.
        compression: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// Text that is not UTF-8.
    #[error(
        "{location}: invalid UTF-8 at byte {byte_offset} of the (decompressed) file: convert the file to UTF-8, or leave such lines out with --skip-bad-lines"
    )]
    InvalidUtf8 {
        /// The line.
        location: Location,
        /// Offset of the first bad byte from the start of the decompressed file.
        byte_offset: u64,
    },
    /// A line that is not JSON.
    #[error(
        "{location}: broken JSON at column {column} ({reason}): correct the line, or leave such lines out with --skip-bad-lines"
    )]
    BrokenJson {
        /// The line.
        location: Location,
        /// Byte in the line, from 1.
        column: usize,
        /// What the parser said.
        reason: String,
    },
    /// A JSON line that is not an object.
    #[error(
        "{location}: expected one JSON object a line, got {got}: write the documents as JSON lines, or leave such lines out with --skip-bad-lines"
    )]
    NotAnObject {
        /// The line.
        location: Location,
        /// The JSON type found.
        got: &'static str,
    },
    /// A document without its text.
    #[error(
        "{location}: no field `{field}`: choose the field with --text-field, or leave such lines out with --skip-bad-lines"
    )]
    MissingField {
        /// The line.
        location: Location,
        /// The field looked for.
        field: String,
    },
    /// A document whose text is something else.
    #[error(
        "{location}: field `{field}` is {got}, expected a string: choose the field with --text-field, or leave such lines out with --skip-bad-lines"
    )]
    WrongType {
        /// The line or row.
        location: Location,
        /// The field looked for.
        field: String,
        /// The type found.
        got: &'static str,
    },
    /// A document that is too long to be one.
    #[error("{location}: the document is longer than {limit} bytes: split it")]
    TooLong {
        /// The line or file.
        location: Location,
        /// [`MAX_DOCUMENT_BYTES`](super::MAX_DOCUMENT_BYTES).
        limit: u64,
    },
    /// A Parquet file that cannot be read.
    #[error("{} cannot be read as Parquet, near row {row}: write the file again", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Rows that were read before.
        row: u64,
        /// What the reader said.
        #[source]
        source: ::parquet::errors::ParquetError,
    },
    /// A Parquet file without the text column.
    #[error("{} has no column `{field}` (it has {columns}): choose the column with --text-field", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column looked for.
        field: String,
        /// The columns that are there.
        columns: String,
    },
    /// A Parquet column that is not text.
    #[error("{}: column `{field}` is {got}, expected a string column: choose the column with --text-field", path.display())]
    WrongColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        field: String,
        /// Its Arrow type.
        got: String,
    },
}

impl CorpusError {
    /// What kind of failure this is.
    pub fn kind(&self) -> Kind {
        match self {
            CorpusError::Io { .. } => Kind::Failed,
            CorpusError::NoMatch { .. }
            | CorpusError::BadPattern { .. }
            | CorpusError::SymlinkLoop { .. }
            | CorpusError::UnknownFormat { .. }
            | CorpusError::MissingColumn { .. }
            | CorpusError::WrongColumnType { .. } => Kind::Usage,
            _ => Kind::BadData,
        }
    }

    /// Whether this is the fault of one line or row, so that `skip_bad_lines` may go on behind it.
    pub(super) fn is_of_one_line(&self) -> bool {
        matches!(
            self,
            CorpusError::InvalidUtf8 { .. }
                | CorpusError::BrokenJson { .. }
                | CorpusError::NotAnObject { .. }
                | CorpusError::MissingField { .. }
                | CorpusError::WrongType { .. }
        )
    }
}
