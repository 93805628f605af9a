//! A text file: one document.

use super::MAX_DOCUMENT_BYTES;
use super::document::{Document, DocumentId};
use super::error::CorpusError;
use super::format::Compression;
use super::location::{Location, Position};
use super::stream::read_fault;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

/// Zero bytes in a row that are a hole, and no text.
const MIN_HOLE_BYTES: usize = 64;

pub(super) const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";

/// Reads the whole stream as one document.
pub(super) fn read_document(
    stream: impl BufRead,
    path: &Arc<Path>,
    compression: Compression,
    file_bytes: u64,
) -> Result<Document, CorpusError> {
    // Allocates all of a plain file at once, so that it is in memory only once; less for a compressed one.
    let mut bytes = Vec::with_capacity(file_bytes.min(MAX_DOCUMENT_BYTES) as usize + 1);
    let mut limited = stream.take(MAX_DOCUMENT_BYTES + 1);
    limited
        .read_to_end(&mut bytes)
        .map_err(|error| read_fault(path, compression, error))?;
    let location = Location {
        path: Arc::clone(path),
        position: Position::File,
    };
    if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
        return Err(CorpusError::TooLong {
            location,
            limit: MAX_DOCUMENT_BYTES,
        });
    }
    if let Some((byte_offset, n_bytes)) = hole(&bytes) {
        return Err(CorpusError::Hole {
            location,
            byte_offset,
            n_bytes,
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let n_lines = error.as_bytes()[..valid]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        CorpusError::InvalidUtf8 {
            location: Location {
                position: Position::Line(n_lines as u64 + 1),
                ..location.clone()
            },
            byte_offset: valid as u64,
        }
    })?;
    Ok(Document {
        text: without_bom(text),
        location,
        group: None,
        id: DocumentId::Absent,
    })
}

/// Where zero bytes lie in a row and how many, if there are so many that nobody wrote them: a file that was
/// allocated and not filled has them, and one that was saved in part.
fn hole(bytes: &[u8]) -> Option<(u64, u64)> {
    let mut start = 0;
    for run in bytes.split_inclusive(|&byte| byte != 0) {
        let n_zero = run.iter().take_while(|&&byte| byte == 0).count();
        if n_zero >= MIN_HOLE_BYTES {
            return Some((start, n_zero as u64));
        }
        start += run.len() as u64;
    }
    None
}

fn without_bom(mut text: String) -> String {
    if text.starts_with('\u{feff}') {
        text.drain(..UTF8_BOM.len());
    }
    text
}
