//! The lines of a stream, numbered: what `tokenize` parses and what `filter` copies.

use super::MAX_DOCUMENT_BYTES;
use super::error::CorpusError;
use super::format::Compression;
use super::location::{Location, Position};
use super::stream::read_fault;
use super::text::UTF8_BOM;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

/// The lines of one stream, in order.
pub(super) struct LineReader<R> {
    stream: R,
    path: Arc<Path>,
    compression: Compression,
    n_lines: u64,
    offset: u64,
    next_offset: u64,
    has_mark: bool,
}

impl<R: BufRead> LineReader<R> {
    /// `stream` yields the decompressed bytes of a file with this compression.
    pub(super) fn new(stream: R, path: Arc<Path>, compression: Compression) -> Self {
        Self {
            stream,
            path,
            compression,
            n_lines: 0,
            offset: 0,
            next_offset: 0,
            has_mark: false,
        }
    }

    /// Reads the next line, including its line end but without a byte order mark, into `line`; false at the end of the
    /// stream.
    pub(super) fn read(&mut self, line: &mut Vec<u8>) -> Result<bool, CorpusError> {
        line.clear();
        self.offset = self.next_offset;
        let mut limited = (&mut self.stream).take(MAX_DOCUMENT_BYTES + 1);
        let n_bytes = limited
            .read_until(b'\n', line)
            .map_err(|error| read_fault(&self.path, self.compression, error))?;
        self.n_lines += 1;
        self.next_offset += n_bytes as u64;
        if n_bytes as u64 > MAX_DOCUMENT_BYTES {
            let location = self.location();
            return Err(CorpusError::TooLong {
                location,
                limit: MAX_DOCUMENT_BYTES,
            });
        }
        self.has_mark = self.n_lines == 1 && line.starts_with(UTF8_BOM);
        if self.has_mark {
            line.drain(..UTF8_BOM.len());
            self.offset += UTF8_BOM.len() as u64;
        }
        Ok(n_bytes > 0)
    }

    /// Offset of the last line read in the decompressed file, bytes, not counting a byte order mark.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Number of the last line read, from 1.
    pub(super) fn number(&self) -> u64 {
        self.n_lines
    }

    /// Whether a byte order mark preceded it.
    pub(super) fn has_mark(&self) -> bool {
        self.has_mark
    }

    /// The location of the last line read.
    pub(super) fn location(&self) -> Location {
        Location {
            path: Arc::clone(&self.path),
            position: Position::Line(self.n_lines),
        }
    }
}

/// Whether a line contains only white space.
pub(super) fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}
