//! A document, how to read documents, and counts of what was left out.

use super::error::CorpusError;
use super::format::DocumentFormat;
use super::location::Location;

/// The default JSON field, or Parquet column, that holds the text.
pub const DEFAULT_TEXT_FIELD: &str = "text";
/// The default JSON field, or Parquet column, that holds a document's id.
pub const DEFAULT_ID_FIELD: &str = "id";
/// Binary logarithm of the default limit on a zstd file's window, bytes: that of `zstd --long=27`, 128 MiB.
pub const DEFAULT_ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its text; never blank when it comes from [`Documents`](super::Documents).
    pub text: String,
    /// Where it was found.
    pub location: Location,
    /// The value of [`CorpusOptions::group_field`], as text; `None` if the field is missing, null or not a single
    /// value.
    pub group: Option<String>,
    /// The value of [`CorpusOptions::id_field`].
    pub id: DocumentId,
}

/// The id that a record gives its document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DocumentId {
    /// The field is missing or null.
    #[default]
    Absent,
    /// A string, or an integer as written.
    Known(String),
    /// Neither a string nor an integer.
    Other,
}

impl Document {
    /// Whether it contains only white space.
    pub(super) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }
}

/// How to read documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusOptions {
    /// The JSON field, or Parquet column, that holds the text.
    pub text_field: String,
    /// Count and skip lines that are not documents; otherwise the first is an error.
    pub skip_bad_lines: bool,
    /// Another JSON field (string, number or boolean), or Parquet column of strings, to keep.
    pub group_field: Option<String>,
    /// The JSON field, or Parquet column, that holds an id (string or integer), to keep.
    pub id_field: Option<String>,
    /// The format of every file, whatever its name; `None`: as the name says, or the contents where the name says
    /// nothing.
    pub format: Option<DocumentFormat>,
    /// Binary logarithm of the largest window that a zstd file may need, 10 to 31; decompressing takes as many bytes of
    /// memory as the window has.
    pub zstd_window_log_max: u32,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            text_field: DEFAULT_TEXT_FIELD.to_owned(),
            skip_bad_lines: false,
            group_field: None,
            id_field: None,
            format: None,
            zstd_window_log_max: DEFAULT_ZSTD_WINDOW_LOG_MAX,
        }
    }
}

/// What was read but is not a document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines (or rows) that are not documents, skipped because the options say so.
    pub n_bad_lines: u64,
    /// Documents of white space only.
    pub n_empty_documents: u64,
    /// Files without a document.
    pub n_empty_files: u64,
}

impl Tally {
    /// The document `read`, or `None` if it is skipped and counted: empty, or bad where `skips_bad`.
    pub(super) fn kept(
        &mut self,
        read: Result<Document, CorpusError>,
        skips_bad: bool,
    ) -> Result<Option<Document>, CorpusError> {
        match read {
            Ok(document) if document.is_empty() => self.n_empty_documents += 1,
            Ok(document) => return Ok(Some(document)),
            Err(error) if skips_bad && error.is_of_one_line() => self.n_bad_lines += 1,
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}
