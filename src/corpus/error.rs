//! What can be wrong with the input.

use super::location::{Location, shown};
use crate::error::{Classified, Kind};
use crate::storage::StorageError;
use std::io;
use std::path::{Path, PathBuf};

/// Why the documents could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// The operating system refused.
    #[error("cannot read {}", shown(path))]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A pattern that matches no file.
    #[error(
        "`{pattern}` matches no input file{}: name files, directories or globs of JSON lines, text or Parquet",
        if left_out.is_empty() { String::new() } else { format!(" ({left_out})") }
    )]
    NoMatch {
        /// The pattern as typed.
        pattern: String,
        /// What it does match, in words; may be empty.
        left_out: String,
    },
    /// A named input that can be read only once, or has no end.
    #[error(
        "{} is not a file: expected one, since inputs are read more than once (a pipe or the standard input is not); write the text to a file first, and give that",
        input_name(path)
    )]
    NotAFile {
        /// As typed; `-` stands for the standard input.
        path: PathBuf,
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
    #[error(
        "{} is a symbolic link to a directory that contains it: remove the link or name the files themselves",
        shown(path)
    )]
    SymlinkLoop {
        /// The link.
        path: PathBuf,
    },
    /// A file name that indicates no known contents.
    #[error(
        "{} is a file of an unsupported type ({extension}): name its format with --format text, jsonl or parquet",
        shown(path)
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What its name ends in.
        extension: String,
    },
    /// Contents that do not match the name.
    #[error("{} holds {found}, {expected}: {remedy}", shown(path))]
    NotAsNamed {
        /// The file.
        path: PathBuf,
        /// What is in it.
        found: &'static str,
        /// What the name leads one to expect, in words.
        expected: String,
        /// What to do.
        remedy: String,
    },
    /// A zstd frame with a window above the limit.
    #[error(
        "{} was compressed with a window {}: pass --zstd-window-log-max {} (it uses as much memory as that window), or compress it again without --long",
        shown(path),
        match window { Some((log, limit)) => format!("of 2^{log} bytes, above the limit of 2^{limit}"), None => "past the limit".to_owned() },
        window.map_or(31, |(log, _)| log)
    )]
    ZstdWindow {
        /// The file.
        path: PathBuf,
        /// Binary logarithms of the window, rounded up, and of the limit, if the window is known.
        window: Option<(u32, u32)>,
    },
    /// Reading was interrupted.
    #[error("interrupted while reading documents: run the same command again")]
    Interrupted,
    /// A truncated compressed stream.
    #[error(
        "{} is truncated: the {compression} stream ends before its end mark; fetch or compress the file again",
        shown(path)
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// `gzip`, `zstd`, `xz`, `bzip2` or `lz4`.
        compression: &'static str,
    },
    /// A compressed stream that does not decompress.
    #[error(
        "{} does not decompress as {compression} ({reason}): fetch or compress the file again",
        shown(path)
    )]
    DamagedStream {
        /// The file.
        path: PathBuf,
        /// `gzip`, `zstd`, `xz`, `bzip2` or `lz4`.
        compression: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// Text that is not UTF-8.
    #[error(
        "{location}: invalid UTF-8 at byte {byte_offset} of the (decompressed) file: convert the file to UTF-8, or skip such lines with --skip-bad-lines"
    )]
    InvalidUtf8 {
        /// The line.
        location: Location,
        /// Offset of the first bad byte from the start of the decompressed file.
        byte_offset: u64,
    },
    /// Zero bytes in the place of text.
    #[error(
        "{location}: {n_bytes} zero bytes in a row at byte {byte_offset} of the (decompressed) file, where text is expected: the file is incomplete; fetch or write it again"
    )]
    Hole {
        /// The file.
        location: Location,
        /// Offset of the first.
        byte_offset: u64,
        /// How many.
        n_bytes: u64,
    },
    /// A line that is not JSON.
    #[error(
        "{location}: invalid JSON at column {column} ({reason}): correct the line, or skip such lines with --skip-bad-lines"
    )]
    BrokenJson {
        /// The line.
        location: Location,
        /// Byte in the line, from 1.
        column: usize,
        /// What the parser said.
        reason: &'static str,
    },
    /// A JSON value that spans several lines.
    #[error(
        "{location}: a JSON {what} over several lines, expected one object per line: convert it to JSON lines, for example with {}",
        match *what { "array" => "`jq -c '.[]' FILE`", _ => "`jq -c . FILE`" }
    )]
    ManyLines {
        /// Where it begins.
        location: Location,
        /// `array` or `object`.
        what: &'static str,
    },
    /// Half of a surrogate pair in the text, which UTF-8 cannot encode.
    #[error(
        "{location}: field `{field}` has half of a surrogate pair (\\ud800 to \\udfff) at column {column}, which is not a character: correct the text, or skip such lines with --skip-bad-lines"
    )]
    LoneSurrogate {
        /// The line.
        location: Location,
        /// The field of the text.
        field: String,
        /// Byte in the line, from 1.
        column: usize,
    },
    /// A JSON line that is not an object.
    #[error(
        "{location}: expected one JSON object per line, got {got}: write the documents as JSON lines{}, or skip such lines with --skip-bad-lines",
        if *got == "an array" { " (`jq -c '.[]' FILE` does it)" } else { "" }
    )]
    NotAnObject {
        /// The line.
        location: Location,
        /// The JSON type found.
        got: &'static str,
    },
    /// A document without its text.
    #[error(
        "{location}: no field `{field}` ({}): choose the field with --text-field, or skip such lines with --skip-bad-lines",
        if fields.is_empty() { "the object is empty".to_owned() } else { format!("it has {fields}") }
    )]
    MissingField {
        /// The line.
        location: Location,
        /// The field looked for.
        field: String,
        /// The fields that are there, as messages show them.
        fields: String,
    },
    /// A document whose text is not a string.
    #[error(
        "{location}: field `{field}` is {got}, expected a string: choose the field with --text-field, or skip such lines with --skip-bad-lines"
    )]
    WrongType {
        /// The line or row.
        location: Location,
        /// The field looked for.
        field: String,
        /// The type found.
        got: &'static str,
    },
    /// A key to be added that already exists.
    #[error("{location}: the record already has a field `{field}`: choose another key")]
    FieldTaken {
        /// The line.
        location: Location,
        /// The key.
        field: String,
    },
    /// A document above the length limit.
    #[error("{location}: the document is longer than {limit} bytes: split it")]
    TooLong {
        /// The line or file.
        location: Location,
        /// [`MAX_DOCUMENT_BYTES`](super::MAX_DOCUMENT_BYTES).
        limit: u64,
    },
    /// A Parquet file that the system did not read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A Parquet file that cannot be read.
    #[error(
        "{} cannot be read as Parquet, near row {row}: {}",
        shown(path),
        parquet_remedy(source)
    )]
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
    #[error(
        "{} has no column `{field}` (it has {columns}): choose the column with --text-field",
        shown(path)
    )]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column looked for.
        field: String,
        /// The columns that are there.
        columns: String,
    },
    /// A Parquet file with several columns of one name.
    #[error(
        "{} has {n} columns `{field}`, expected one: rename or drop the others",
        shown(path)
    )]
    RepeatedColumn {
        /// The file.
        path: PathBuf,
        /// Their name.
        field: String,
        /// How many.
        n: usize,
    },
    /// A Parquet column that is not text.
    #[error(
        "{}: column `{field}` is {got}, expected a string column: choose the column with --text-field",
        shown(path)
    )]
    WrongColumnType {
        /// The file.
        path: PathBuf,
        /// The column.
        field: String,
        /// Its Arrow type.
        got: String,
    },
}

/// `-` is explained.
fn input_name(path: &Path) -> String {
    match path.as_os_str() == "-" {
        true => "- (the standard input)".to_owned(),
        false => shown(path),
    }
}

/// What to do about a file that is not readable Parquet.
fn parquet_remedy(source: &::parquet::errors::ParquetError) -> &'static str {
    match source.to_string().contains("encrypt") {
        true => "it is encrypted: decrypt it first",
        false => "write the file again",
    }
}

impl CorpusError {
    /// The system's error for `path`. A link that leads to itself shows as ELOOP.
    pub(super) fn at(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.raw_os_error() == Some(libc::ELOOP) {
            true => CorpusError::SymlinkLoop { path },
            false => CorpusError::Io { path, source },
        }
    }

    /// Whether this is the fault of a single line or row, so that `skip_bad_lines` may continue after it.
    pub(super) fn is_of_one_line(&self) -> bool {
        matches!(
            self,
            CorpusError::InvalidUtf8 { .. }
                | CorpusError::BrokenJson { .. }
                | CorpusError::Hole { .. }
                | CorpusError::LoneSurrogate { .. }
                | CorpusError::NotAnObject { .. }
                | CorpusError::MissingField { .. }
                | CorpusError::WrongType { .. }
        )
    }
}

impl Classified for CorpusError {
    fn kind(&self) -> Kind {
        match self {
            CorpusError::Io { source, .. } => match source.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::Usage,
                _ => Kind::Failed,
            },
            CorpusError::Storage(error) => error.kind(),
            CorpusError::Interrupted => Kind::Interrupted,
            CorpusError::NoMatch { .. }
            | CorpusError::NotAFile { .. }
            | CorpusError::BadPattern { .. }
            | CorpusError::SymlinkLoop { .. }
            | CorpusError::UnknownFormat { .. }
            | CorpusError::ZstdWindow { .. }
            | CorpusError::FieldTaken { .. }
            | CorpusError::MissingColumn { .. }
            | CorpusError::RepeatedColumn { .. }
            | CorpusError::WrongColumnType { .. } => Kind::Usage,
            _ => Kind::BadData,
        }
    }
}
