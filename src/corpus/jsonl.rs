//! JSON lines: one object per line, with the document in one string field.

use super::document::{CorpusOptions, Document, DocumentId, Tally};
use super::error::CorpusError;
use super::format::Compression;
use super::json::{self, Fault, Value, unescape};
use super::lines::{LineReader, is_blank};
use super::location::Location;
use std::io::BufRead;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// A longer line hands its own buffer to its document, which is then in memory only once.
const LONG_LINE_BYTES: usize = 1 << 20;

/// Fields that are named where one is missing.
const N_SHOWN_KEYS: usize = 8;

/// What stands at a place where the text of JSON cannot go on, if it cannot be seen.
fn oddity(rest: &[u8]) -> Option<&'static str> {
    match rest {
        [0xef, 0xbb, 0xbf, ..] => {
            Some("there is a byte order mark here, as if files were joined: remove it")
        }
        [0, ..] => Some("there is a zero byte here, as if the file was not written completely"),
        _ => None,
    }
}

/// Documents of one stream of JSON lines.
pub struct JsonlReader<R> {
    lines: LineReader<R>,
    options: CorpusOptions,
    line: Vec<u8>,
    /// Lines that were complete documents.
    n_values: u64,
}

impl<R: BufRead> JsonlReader<R> {
    /// Reads plain JSON lines from `stream`; `path` is for messages.
    pub fn new(stream: R, path: &Path, options: CorpusOptions) -> Self {
        Self::of_compressed(stream, Arc::from(path), Compression::None, options)
    }

    /// `stream` yields the decompressed bytes of a file with this compression.
    pub(super) fn of_compressed(
        stream: R,
        path: Arc<Path>,
        compression: Compression,
        options: CorpusOptions,
    ) -> Self {
        Self {
            lines: LineReader::new(stream, path, compression),
            options,
            line: Vec::new(),
            n_values: 0,
        }
    }

    /// The next document with text; what is left out before it is added to `tally`.
    ///
    /// # Errors
    /// A bad line (unless skipped), an unreadable stream. After an error of the stream there is
    /// nothing more to read.
    pub fn next_document(&mut self, tally: &mut Tally) -> Result<Option<Document>, CorpusError> {
        while self.lines.read(&mut self.line)? {
            if is_blank(&self.line) {
                continue;
            }
            let read = self.parse_line();
            self.n_values += u64::from(read.is_ok());
            if let Some(document) = tally.kept(read, self.options.skip_bad_lines)? {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }

    fn parse_line(&mut self) -> Result<Document, CorpusError> {
        if let Err(error) = std::str::from_utf8(&self.line) {
            return Err(CorpusError::InvalidUtf8 {
                location: self.location(),
                byte_offset: self.lines.offset() + error.valid_up_to() as u64,
            });
        }
        let fields = self.fields();
        let parsed = json::parse_line(&self.line, &fields).map_err(|fault| self.broken(fault))?;
        let values = parsed.into_values(|| self.location())?;
        let value_of = |field: &str| {
            let place = fields.iter().position(|known| *known == field)?;
            values[place].as_ref()
        };
        let text = value_of(&self.options.text_field).cloned();
        let group = self.options.group_field.as_deref().and_then(value_of);
        let group = group.and_then(|value| self.label(value));
        let id = self.options.id_field.as_deref().and_then(value_of);
        let id = self.id(id);
        let field = || self.options.text_field.clone();
        match text {
            Some(Value::Text { inside, is_escaped }) => {
                let document = self.document(inside, is_escaped)?;
                Ok(Document {
                    group,
                    id,
                    ..document
                })
            }
            Some(other) => Err(CorpusError::WrongType {
                location: self.location(),
                field: field(),
                got: other.name(),
            }),
            None => Err(CorpusError::MissingField {
                location: self.location(),
                field: field(),
                fields: self.shown_keys(),
            }),
        }
    }

    /// The first fields of the line, for a message.
    fn shown_keys(&self) -> String {
        let (keys, is_all) = json::keys(&self.line, N_SHOWN_KEYS);
        let quoted = |key: &String| format!("`{key}`");
        let shown = keys.iter().map(quoted).collect::<Vec<_>>().join(", ");
        if is_all { shown } else { shown + ", ..." }
    }

    /// The wanted fields, without duplicates.
    fn fields(&self) -> Vec<&str> {
        let options = &self.options;
        let more = options.group_field.iter().chain(&options.id_field);
        let mut fields = vec![options.text_field.as_str()];
        for field in more {
            if !fields.contains(&field.as_str()) {
                fields.push(field);
            }
        }
        fields
    }

    /// A value as a document's id.
    fn id(&self, value: Option<&Value>) -> DocumentId {
        let is_integer = |range: &Range<usize>| {
            let digits = &self.line[range.clone()];
            let digits = digits.strip_prefix(b"-").unwrap_or(digits);
            digits.iter().all(u8::is_ascii_digit)
        };
        match value {
            None | Some(Value::Null) => DocumentId::Absent,
            Some(Value::Number(range)) if !is_integer(range) => DocumentId::Other,
            Some(value @ (Value::Number(_) | Value::Text { .. })) => self
                .label(value)
                .map_or(DocumentId::Other, DocumentId::Known),
            Some(_) => DocumentId::Other,
        }
    }

    /// Makes the document from the text between two quotes of the line, which is consumed.
    fn document(
        &mut self,
        inside: Range<usize>,
        is_escaped: bool,
    ) -> Result<Document, CorpusError> {
        let mut bytes = if self.line.len() > LONG_LINE_BYTES {
            let mut bytes = std::mem::take(&mut self.line);
            bytes.truncate(inside.end);
            bytes.drain(..inside.start);
            bytes
        } else {
            self.line[inside.clone()].to_vec()
        };
        if is_escaped {
            let n_bytes = unescape(&mut bytes, None).map_err(|at| CorpusError::LoneSurrogate {
                location: self.location(),
                field: self.options.text_field.clone(),
                column: inside.start + at + 1,
            })?;
            bytes.truncate(n_bytes);
        }
        // The line was UTF-8, and quotes and escapes are ASCII, so this is.
        let text = String::from_utf8(bytes).map_err(|error| CorpusError::InvalidUtf8 {
            location: self.location(),
            byte_offset: self.lines.offset() + error.utf8_error().valid_up_to() as u64,
        })?;
        Ok(Document {
            text,
            location: self.location(),
            group: None,
            id: DocumentId::Absent,
        })
    }

    /// A value as text; `None` if it is not a single value.
    fn label(&self, value: &Value) -> Option<String> {
        let spelled = |range: &Range<usize>| String::from_utf8_lossy(&self.line[range.clone()]);
        match value {
            Value::Text { inside, .. } => {
                let mut bytes = self.line[inside.clone()].to_vec();
                let n_bytes = unescape(&mut bytes, Some(char::REPLACEMENT_CHARACTER)).ok()?;
                Some(String::from_utf8_lossy(&bytes[..n_bytes]).into_owned())
            }
            Value::Number(range) => Some(spelled(range).into_owned()),
            Value::Boolean(value) => Some(value.to_string()),
            Value::Null | Value::Array | Value::Object => None,
        }
    }

    /// The error of a broken line; a value that continues on the next line is reported as such.
    fn broken(&self, fault: Fault) -> CorpusError {
        let is_cut = fault.at >= self.line.trim_ascii_end().len();
        let what = match self.line.trim_ascii_start().first() {
            Some(b'[') => "array",
            _ => "object",
        };
        if is_cut && self.n_values == 0 {
            return CorpusError::ManyLines {
                location: self.location(),
                what,
            };
        }
        CorpusError::BrokenJson {
            location: self.location(),
            column: fault.at + 1,
            reason: oddity(&self.line[fault.at..]).unwrap_or(fault.reason),
        }
    }

    fn location(&self) -> Location {
        self.lines.location()
    }
}

#[cfg(test)]
mod tests;
