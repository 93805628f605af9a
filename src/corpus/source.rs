//! One file of documents: its kind, by its name and first bytes, and the reader for that kind.

use super::document::{CorpusOptions, Document, Tally};
use super::error::CorpusError;
use super::format::{Compression, Contents, DocumentFormat, format_of};
use super::jsonl::JsonlReader;
use super::parquet::ParquetReader;
use super::sniff::{self, HEAD_BYTES};
use super::stream::{self, ByteStream, Opening, RawStream, read_fault};
use super::text;
use crate::storage;
use std::path::Path;
use std::sync::Arc;

/// Documents of one file.
pub(super) enum Source {
    Jsonl(JsonlReader<ByteStream>),
    Text(TextSource),
    Parquet(Box<ParquetReader>),
}

/// A file that is one document.
pub(super) struct TextSource {
    /// `None` once it has been read.
    stream: Option<ByteStream>,
    path: Arc<Path>,
    compression: Compression,
    file_bytes: u64,
    skip_bad: bool,
}

/// A file at its beginning, once its format is known.
pub(super) enum Opened {
    /// Its readers open it themselves.
    Parquet,
    /// Decompressed bytes.
    Stream {
        stream: ByteStream,
        compression: Compression,
        /// JSON lines, or text.
        format: DocumentFormat,
    },
}

impl Opened {
    /// Opens a file and checks that it is what its name says.
    pub(super) fn open(
        path: &Path,
        options: &CorpusOptions,
        opening: &Opening,
    ) -> Result<Self, CorpusError> {
        let named = Named::of(path, options);
        let raw = stream::open_raw(path, opening)?;
        let compression = named.check_compression(raw.buffer(), path)?;
        if named.may_be_parquet() && compression == Compression::None {
            let is_parquet = raw.buffer().starts_with(b"PAR1");
            if is_parquet || named.format == Some(DocumentFormat::Parquet) {
                return Self::parquet(&raw, &named, path, opening);
            }
        }
        let mut stream = stream::decompress(raw, path, compression, opening)?;
        let fault = |error| read_fault(path, compression, error);
        let begin = stream.fill_buf().map_err(fault)?;
        let head = &begin[..begin.len().min(HEAD_BYTES)];
        named.check_contents(head, path)?;
        named.check_not_lines(begin, path, &options.text_field)?;
        Ok(Opened::Stream {
            format: named.format.unwrap_or_else(|| sniff::contents_of(head)),
            stream,
            compression,
        })
    }

    fn parquet(
        raw: &RawStream,
        named: &Named,
        path: &Path,
        opening: &Opening,
    ) -> Result<Self, CorpusError> {
        let head = &raw.buffer()[..raw.buffer().len().min(HEAD_BYTES)];
        if !head.starts_with(b"PAR1") {
            named.check_contents(head, path)?;
        }
        // Its reader opens the file again and counts progress by rows.
        let n_bytes = &opening.n_bytes;
        n_bytes.fetch_sub(
            raw.buffer().len() as u64,
            std::sync::atomic::Ordering::Relaxed,
        );
        Ok(Opened::Parquet)
    }
}

impl Source {
    /// Opens a file and checks that it is what its name says.
    pub(super) fn open(
        path: &Path,
        options: &CorpusOptions,
        opening: &Opening,
    ) -> Result<Self, CorpusError> {
        let shared = Arc::<Path>::from(path);
        let (stream, compression, format) = match Opened::open(path, options, opening)? {
            Opened::Parquet => {
                let n_bytes = Arc::clone(&opening.n_bytes);
                let reader = ParquetReader::open(shared, options.clone(), n_bytes)?;
                return Ok(Source::Parquet(Box::new(reader)));
            }
            Opened::Stream {
                stream,
                compression,
                format,
            } => (stream, compression, format),
        };
        Ok(match format {
            DocumentFormat::Text => Source::Text(TextSource {
                stream: Some(stream),
                path: shared,
                compression,
                file_bytes: storage::metadata(path).map_or(0, |metadata| metadata.n_bytes),
                skip_bad: options.skip_bad_lines,
            }),
            _ => Source::Jsonl(JsonlReader::of_compressed(
                stream,
                shared,
                compression,
                options.clone(),
            )),
        })
    }

    /// The next document with text; what is left out before it is added to `tally`.
    pub(super) fn next_document(
        &mut self,
        tally: &mut Tally,
    ) -> Result<Option<Document>, CorpusError> {
        match self {
            Source::Jsonl(reader) => reader.next_document(tally),
            Source::Parquet(reader) => reader.next_document(tally),
            Source::Text(source) => source.next_document(tally),
        }
    }
}

impl TextSource {
    fn next_document(&mut self, tally: &mut Tally) -> Result<Option<Document>, CorpusError> {
        let Some(stream) = self.stream.take() else {
            return Ok(None);
        };
        let read = text::read_document(stream, &self.path, self.compression, self.file_bytes);
        tally.kept(read, self.skip_bad)
    }
}

/// What is expected of a file before it is opened.
struct Named {
    /// `None`: decided by the contents.
    format: Option<DocumentFormat>,
    compression: Compression,
    /// The contents decide the compression, whatever the name says.
    any_compression: bool,
    /// The user has stated the format.
    is_forced: bool,
}

impl Named {
    fn of(path: &Path, options: &CorpusOptions) -> Self {
        let (contents, compression) = format_of(path);
        let by_name = match contents {
            Contents::Known(format) => Some(format),
            Contents::Unspecified | Contents::Other(_) => None,
        };
        let is_forced = options.format.is_some();
        Self {
            format: options.format.or(by_name),
            compression,
            any_compression: is_forced || contents == Contents::Unspecified,
            is_forced,
        }
    }

    fn may_be_parquet(&self) -> bool {
        matches!(self.format, None | Some(DocumentFormat::Parquet))
    }

    /// The compression to undo.
    fn check_compression(&self, head: &[u8], path: &Path) -> Result<Compression, CorpusError> {
        let found = sniff::compression_of(head);
        let named = self.compression;
        // Skippable frames look the same in zstd and lz4.
        let is_skippable = head.get(1..4) == Some(&[0x2a, 0x4d, 0x18]);
        if found == named || (is_skippable && named == Compression::Lz4) {
            return Ok(named);
        }
        if self.any_compression && found != Compression::None {
            return Ok(found);
        }
        if found == Compression::None && head.len() < 10 {
            // Too short to tell: the decompressor will report the truncation.
            return Ok(named);
        }
        if found == Compression::None {
            let foreign = sniff::foreign(head).map(|foreign| foreign.name);
            let text = std::str::from_utf8(head.get(..64).unwrap_or(head)).is_ok();
            let other = if text { "plain text" } else { "something else" };
            let web = sniff::is_html(head).then_some("an HTML page");
            return Err(CorpusError::NotAsNamed {
                path: path.to_path_buf(),
                found: web.or(foreign).unwrap_or(other),
                expected: format!("not the {} data that its name suggests", named.name()),
                remedy: format!(
                    "rename it without {}, or fetch it again if it came from the web",
                    named.extension()
                ),
            });
        }
        let expected = match named {
            Compression::None => "which its name does not show".to_owned(),
            _ => format!("not the {} data that its name suggests", named.name()),
        };
        Err(CorpusError::NotAsNamed {
            path: path.to_path_buf(),
            found: match found {
                Compression::Gzip => "gzip data",
                Compression::Zstd => "zstd data",
                Compression::Xz => "xz data",
                Compression::Bzip2 => "bzip2 data",
                _ => "lz4 data",
            },
            expected,
            remedy: format!(
                "rename it to end in {}, or decompress it",
                found.extension()
            ),
        })
    }

    /// Refuses JSON lines in a file named as text: each file would become one document, keys and quotes included.
    fn check_not_lines(&self, begin: &[u8], path: &Path, field: &str) -> Result<(), CorpusError> {
        let is_text = self.format == Some(DocumentFormat::Text) && !self.is_forced;
        if !is_text || !sniff::begins_with_json_lines(begin, field) {
            return Ok(());
        }
        Err(CorpusError::NotAsNamed {
            path: path.to_path_buf(),
            found: "JSON lines",
            expected: "where text is expected, one document".to_owned(),
            remedy: "rename it to end in .jsonl, or pass --format jsonl (--format text reads it as it is)"
                .to_owned(),
        })
    }

    /// Refuses what is not a document: archives, other encodings, web pages.
    fn check_contents(&self, head: &[u8], path: &Path) -> Result<(), CorpusError> {
        let expected = match self.format {
            Some(DocumentFormat::Jsonl) => "where JSON lines are expected",
            Some(DocumentFormat::Text) => "where text is expected",
            Some(DocumentFormat::Parquet) => "where Parquet is expected",
            None => "which is not a document",
        };
        let refuse = |found, remedy: String| {
            Err(CorpusError::NotAsNamed {
                path: path.to_path_buf(),
                found,
                expected: expected.to_owned(),
                remedy,
            })
        };
        if let Some(foreign) = sniff::foreign(head) {
            return refuse(foreign.name, foreign.remedy.to_owned());
        }
        if !self.is_forced && sniff::is_html(head) {
            let remedy =
                "fetch the data itself, or extract its text (--format text reads it with its tags)";
            return refuse("an HTML page", remedy.to_owned());
        }
        Ok(())
    }
}
