//! Records byte for byte: those that [`Documents`](super::Documents) makes documents from, with the same checks of
//! names and contents and the same line numbers.

use super::document::CorpusOptions;
use super::error::CorpusError;
use super::format::{Compression, DocumentFormat};
use super::input_file::{InputFile, PassingHash};
use super::json::{self, Fault};
use super::lines::{LineReader, is_blank};
use super::location::Location;
use super::source::Opened;
use super::stream::{ByteStream, Opening, read_fault};
use super::text::UTF8_BOM;
use crate::interrupt::Interrupt;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// One file, undecoded.
pub struct RawFile {
    /// Its records.
    pub contents: RawContents,
    path: Arc<Path>,
    hash: PassingHash,
}

/// The records of one file.
pub enum RawContents {
    /// JSON lines.
    Lines(RawLines),
    /// One document.
    Text(RawText),
    /// Rows of Parquet, which its reader opens itself.
    Parquet,
}

impl RawFile {
    /// Opens a file and checks that it is what its name says. `n_bytes` grows as the file is read, except for Parquet.
    ///
    /// # Errors
    /// A file that is missing, of an unsupported kind, or not what its name says.
    pub fn open(
        path: &Path,
        options: &CorpusOptions,
        n_bytes: &Arc<AtomicU64>,
        interrupt: &Interrupt,
    ) -> Result<Self, CorpusError> {
        let hash = PassingHash::default();
        let opening = Opening {
            n_bytes: Arc::clone(n_bytes),
            interrupt: interrupt.clone(),
            zstd_window_log_max: options.zstd_window_log_max,
            hash: Some(hash.clone()),
        };
        let path = Arc::<Path>::from(path);
        let contents = match Opened::open(&path, options, &opening)? {
            Opened::Parquet => RawContents::Parquet,
            Opened::Stream {
                stream,
                compression,
                format,
            } => RawContents::of_stream(stream, &path, compression, format),
        };
        Ok(Self {
            contents,
            path,
            hash,
        })
    }

    /// Size and hash of the file, computed from what has been read if that is all of it.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn input_file(&self) -> Result<InputFile, CorpusError> {
        self.hash.finish(&self.path)
    }
}

impl RawContents {
    fn of_stream(
        stream: ByteStream,
        path: &Arc<Path>,
        compression: Compression,
        format: DocumentFormat,
    ) -> Self {
        let path = Arc::clone(path);
        match format {
            DocumentFormat::Text => RawContents::Text(RawText {
                stream,
                path,
                compression,
            }),
            _ => RawContents::Lines(RawLines {
                lines: LineReader::new(stream, path, compression),
                line: Vec::new(),
                compression,
            }),
        }
    }
}

/// A file that is one document, decompressed.
pub struct RawText {
    stream: ByteStream,
    path: Arc<Path>,
    compression: Compression,
}

impl RawText {
    /// How the file is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Reads some bytes into `buffer`; returns 0 at the end.
    ///
    /// # Errors
    /// A file that cannot be read or decompressed to its end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, CorpusError> {
        loop {
            match self.stream.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    return read.map_err(|error| read_fault(&self.path, self.compression, error));
                }
            }
        }
    }
}

/// The lines of a file, decompressed.
pub struct RawLines {
    lines: LineReader<ByteStream>,
    line: Vec<u8>,
    compression: Compression,
}

/// One line, with its line end.
pub struct RawLine<'a> {
    /// Which line, from 1.
    pub number: u64,
    /// A byte order mark that precedes it; usually empty.
    pub mark: &'static [u8],
    /// The line itself, including its line end, if it has one.
    pub bytes: &'a [u8],
    location: Location,
}

impl RawLines {
    /// How the file is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// The next line, including blank ones; `None` at the end.
    ///
    /// # Errors
    /// A file that cannot be read or decompressed to its end, a line that is too long.
    pub fn next_line(&mut self) -> Result<Option<RawLine<'_>>, CorpusError> {
        if !self.lines.read(&mut self.line)? {
            return Ok(None);
        }
        Ok(Some(RawLine {
            number: self.lines.number(),
            mark: if self.lines.has_mark() { UTF8_BOM } else { &[] },
            bytes: &self.line,
            location: self.lines.location(),
        }))
    }
}

impl RawLine<'_> {
    /// Whether the line is blank, so not a record.
    pub fn is_blank(&self) -> bool {
        is_blank(self.bytes)
    }

    /// Appends to `out` the JSON object of this line with `members`, each a key and its value as JSON, added at its
    /// end. Nothing else in the line changes; byte order mark and line end are included.
    ///
    /// # Errors
    /// A line that is not a JSON object, or that already has one of the keys.
    pub fn with_members(
        &self,
        members: &[(&str, &str)],
        out: &mut Vec<u8>,
    ) -> Result<(), CorpusError> {
        let keys: Vec<&str> = members.iter().map(|(key, _)| *key).collect();
        let parsed = json::parse_line(self.bytes, &keys).map_err(|fault| self.broken(fault))?;
        let values = parsed.into_values(|| self.location.clone())?;
        if let Some(i) = values.iter().position(Option::is_some) {
            return Err(CorpusError::FieldTaken {
                location: self.location.clone(),
                field: keys[i].to_owned(),
            });
        }
        // A complete object ends with its brace, whatever white space follows.
        let end = self.bytes.trim_ascii_end().len() - 1;
        let mut is_first = self.bytes[..end].trim_ascii_end().ends_with(b"{");
        out.extend_from_slice(self.mark);
        out.extend_from_slice(&self.bytes[..end]);
        for (key, value) in members {
            if !std::mem::take(&mut is_first) {
                out.push(b',');
            }
            out.extend_from_slice(serde_json::Value::from(*key).to_string().as_bytes());
            out.push(b':');
            out.extend_from_slice(value.as_bytes());
        }
        out.extend_from_slice(&self.bytes[end..]);
        Ok(())
    }

    fn broken(&self, fault: Fault) -> CorpusError {
        CorpusError::BrokenJson {
            location: self.location.clone(),
            column: fault.at + 1,
            reason: fault.reason,
        }
    }
}

#[cfg(test)]
mod tests;
