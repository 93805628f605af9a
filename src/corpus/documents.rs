//! All documents of all input files, one after the other.

use super::error::CorpusError;
use super::format::{Compression, Contents, format_of};
use super::jsonl::JsonlReader;
use super::location::Location;
use super::parquet::ParquetReader;
use super::stream::{self, ByteStream};
use super::text;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The JSON field, or Parquet column, that holds the text unless another is chosen.
pub const DEFAULT_TEXT_FIELD: &str = "text";

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its text; never only white space when it comes from [`Documents`].
    pub text: String,
    /// Where it was found.
    pub location: Location,
    /// What [`CorpusOptions::group_field`] holds, as text; `None` where there is no such field, or
    /// it is null or no single value.
    pub group: Option<String>,
}

impl Document {
    /// Whether there is nothing in it but white space.
    pub(super) fn is_empty(&self) -> bool {
        self.text.trim().is_empty()
    }
}

/// How to read documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusOptions {
    /// The JSON field, or Parquet column, that holds the text.
    pub text_field: String,
    /// Count lines that are no document, and go on; otherwise the first is an error.
    pub skip_bad_lines: bool,
    /// Another JSON field (string, number or boolean), or Parquet column of strings, to keep.
    pub group_field: Option<String>,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            text_field: DEFAULT_TEXT_FIELD.to_owned(),
            skip_bad_lines: false,
            group_field: None,
        }
    }
}

/// What was read but is no document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Lines (or rows) that are no document, skipped because the options say so.
    pub n_bad_lines: u64,
    /// Documents of white space only.
    pub n_empty_documents: u64,
}

/// An iterator over the documents of several files, in the files' order. It ends at the first error.
pub struct Documents {
    paths: std::vec::IntoIter<PathBuf>,
    options: CorpusOptions,
    current: Option<Source>,
    tally: Tally,
    bytes_read: Arc<AtomicU64>,
    bytes_total: u64,
    failed: bool,
}

enum Source {
    Jsonl(JsonlReader<ByteStream>),
    Text {
        stream: Option<ByteStream>,
        path: Arc<Path>,
        compression: Compression,
        skip_bad: bool,
    },
    Parquet(Box<ParquetReader>),
}

impl Documents {
    /// Checks that every file is there and of a known kind; contents are read as documents are asked for.
    ///
    /// # Errors
    /// A file that is missing, or of a kind that its name does not tell.
    pub fn open(paths: Vec<PathBuf>, options: CorpusOptions) -> Result<Self, CorpusError> {
        let mut bytes_total = 0;
        for path in &paths {
            if format_of(path).is_none() {
                return Err(CorpusError::UnknownFormat { path: path.clone() });
            }
            let metadata = std::fs::metadata(path).map_err(|source| CorpusError::Io {
                path: path.clone(),
                source,
            })?;
            bytes_total += metadata.len();
        }
        Ok(Self {
            paths: paths.into_iter(),
            options,
            current: None,
            tally: Tally::default(),
            bytes_read: Arc::default(),
            bytes_total,
            failed: false,
        })
    }

    /// Lines (or rows) skipped so far because they are no document.
    pub fn n_bad_lines(&self) -> u64 {
        self.tally.n_bad_lines
    }

    /// Documents of white space only, so far.
    pub fn n_empty_documents(&self) -> u64 {
        self.tally.n_empty_documents
    }

    /// Both counts so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes of the (compressed) files that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Bytes of all the (compressed) files.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn next_document(&mut self) -> Result<Option<Document>, CorpusError> {
        loop {
            if let Some(source) = &mut self.current
                && let Some(document) = source.next_document(&mut self.tally)?
            {
                return Ok(Some(document));
            }
            let Some(path) = self.paths.next() else {
                self.current = None;
                return Ok(None);
            };
            self.current = Some(Source::open(&path, &self.options, &self.bytes_read)?);
        }
    }
}

impl Iterator for Documents {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_document();
        self.failed = next.is_err();
        next.transpose()
    }
}

impl Source {
    fn open(
        path: &Path,
        options: &CorpusOptions,
        bytes_read: &Arc<AtomicU64>,
    ) -> Result<Self, CorpusError> {
        let (contents, compression) =
            format_of(path).ok_or_else(|| CorpusError::UnknownFormat {
                path: path.to_path_buf(),
            })?;
        let (shared, options) = (Arc::<Path>::from(path), options.clone());
        if contents == Contents::Parquet {
            let reader = ParquetReader::open(shared, options, Arc::clone(bytes_read))?;
            return Ok(Source::Parquet(Box::new(reader)));
        }
        let stream = stream::open(path, compression, bytes_read)?;
        Ok(match contents {
            Contents::Text => Source::Text {
                stream: Some(stream),
                path: shared,
                compression,
                skip_bad: options.skip_bad_lines,
            },
            _ => Source::Jsonl(JsonlReader::of_compressed(
                stream,
                shared,
                compression,
                options,
            )),
        })
    }

    fn next_document(&mut self, tally: &mut Tally) -> Result<Option<Document>, CorpusError> {
        match self {
            Source::Jsonl(reader) => reader.next_document(tally),
            Source::Parquet(reader) => reader.next_document(tally),
            Source::Text {
                stream,
                path,
                compression,
                skip_bad,
            } => {
                let Some(stream) = stream.take() else {
                    return Ok(None);
                };
                match text::read_document(stream, path, *compression) {
                    Ok(document) if document.is_empty() => tally.n_empty_documents += 1,
                    Ok(document) => return Ok(Some(document)),
                    Err(error) if *skip_bad && error.is_of_one_line() => tally.n_bad_lines += 1,
                    Err(error) => return Err(error),
                }
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests;
