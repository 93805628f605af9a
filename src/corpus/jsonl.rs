//! JSON lines: one object a line, of which one string field is the document.

use super::MAX_DOCUMENT_BYTES;
use super::documents::{CorpusOptions, Document, Tally};
use super::error::CorpusError;
use super::format::Compression;
use super::location::{Location, Position};
use super::stream::read_fault;
use super::text::UTF8_BOM;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::{BufRead, Read};
use std::path::Path;
use std::sync::Arc;

/// Documents of one stream of JSON lines.
pub struct JsonlReader<R> {
    stream: R,
    path: Arc<Path>,
    compression: Compression,
    options: CorpusOptions,
    line: Vec<u8>,
    n_lines: u64,
    line_offset: u64,
    next_offset: u64,
}

impl<R: BufRead> JsonlReader<R> {
    /// Reads plain JSON lines from `stream`; `path` is for messages.
    pub fn new(stream: R, path: &Path, options: CorpusOptions) -> Self {
        Self::of_compressed(stream, Arc::from(path), Compression::None, options)
    }

    /// `stream` gives decompressed bytes of a file compressed so.
    pub(super) fn of_compressed(
        stream: R,
        path: Arc<Path>,
        compression: Compression,
        options: CorpusOptions,
    ) -> Self {
        Self {
            stream,
            path,
            compression,
            options,
            line: Vec::new(),
            n_lines: 0,
            line_offset: 0,
            next_offset: 0,
        }
    }

    /// The next document that has text; what is left out before it is added to `tally`.
    ///
    /// # Errors
    /// A bad line (unless such are skipped), an unreadable stream. After an error of the stream
    /// there is nothing more to read.
    pub fn next_document(&mut self, tally: &mut Tally) -> Result<Option<Document>, CorpusError> {
        while self.read_line()? {
            if is_blank(&self.line) {
                continue;
            }
            match self.parse_line() {
                Ok(document) if document.is_empty() => tally.n_empty_documents += 1,
                Ok(document) => return Ok(Some(document)),
                Err(error) if self.options.skip_bad_lines && error.is_of_one_line() => {
                    tally.n_bad_lines += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Reads the next line, without its end, into `self.line`; false at the end of the stream.
    fn read_line(&mut self) -> Result<bool, CorpusError> {
        self.line.clear();
        self.line_offset = self.next_offset;
        let mut limited = (&mut self.stream).take(MAX_DOCUMENT_BYTES + 1);
        let n_bytes = limited
            .read_until(b'\n', &mut self.line)
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
        if self.n_lines == 1 && self.line.starts_with(UTF8_BOM) {
            self.line.drain(..UTF8_BOM.len());
            self.line_offset += UTF8_BOM.len() as u64;
        }
        Ok(n_bytes > 0)
    }

    fn parse_line(&self) -> Result<Document, CorpusError> {
        let line = std::str::from_utf8(&self.line).map_err(|error| CorpusError::InvalidUtf8 {
            location: self.location(),
            byte_offset: self.line_offset + error.valid_up_to() as u64,
        })?;
        let fields = Fields {
            text: self.options.text_field.as_str(),
            group: self.options.group_field.as_deref(),
        };
        let field = fields.text;
        match parse_object(line.trim_end(), fields).map_err(|error| self.broken(&error))? {
            Line::Object(Some(Value::Text(text)), group) => Ok(Document {
                text,
                location: self.location(),
                group: group.and_then(Value::into_label),
            }),
            Line::Object(Some(Value::Label(_, got) | Value::Other(got)), _) => {
                Err(CorpusError::WrongType {
                    location: self.location(),
                    field: field.into(),
                    got,
                })
            }
            Line::Object(None, _) => Err(CorpusError::MissingField {
                location: self.location(),
                field: field.into(),
            }),
            Line::Other(got) => Err(CorpusError::NotAnObject {
                location: self.location(),
                got,
            }),
        }
    }

    fn broken(&self, error: &serde_json::Error) -> CorpusError {
        // The parser appends "at line 1 column N", which would contradict the line of the file.
        let said = error.to_string();
        let reason = said
            .split(" at line ")
            .next()
            .unwrap_or_default()
            .to_owned();
        CorpusError::BrokenJson {
            location: self.location(),
            column: error.column(),
            reason,
        }
    }

    fn location(&self) -> Location {
        Location {
            path: Arc::clone(&self.path),
            position: Position::Line(self.n_lines),
        }
    }
}

fn is_blank(line: &[u8]) -> bool {
    line.iter().all(u8::is_ascii_whitespace)
}

/// Which fields of a line are kept.
#[derive(Clone, Copy)]
struct Fields<'a> {
    text: &'a str,
    group: Option<&'a str>,
}

enum Line {
    /// The text, and what else is kept.
    Object(Option<Value>, Option<Value>),
    Other(&'static str),
}

enum Value {
    Text(String),
    /// A number or boolean as text, and the name of its JSON type.
    Label(String, &'static str),
    Other(&'static str),
}

impl Value {
    fn into_label(self) -> Option<String> {
        match self {
            Value::Text(label) | Value::Label(label, _) => Some(label),
            Value::Other(_) => None,
        }
    }
}

/// Parses the whole line, keeping nothing but those fields; of a repeated field the last counts.
fn parse_object(line: &str, fields: Fields<'_>) -> Result<Line, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let parsed = fields.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(parsed)
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Line;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Line, D::Error> {
        deserializer.deserialize_any(self)
    }
}

struct AnyValue;

impl<'de> DeserializeSeed<'de> for AnyValue {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// The visits that both visitors answer alike: scalars by the closure, of their text and the name
/// of their JSON type, the rest by the name alone.
macro_rules! scalars_are {
    ($result:ty, $scalar:expr, $other:path) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }

        fn visit_bool<E>(self, value: bool) -> Result<$result, E> {
            Ok($scalar(value.to_string(), "a boolean"))
        }

        fn visit_i64<E>(self, value: i64) -> Result<$result, E> {
            Ok($scalar(value.to_string(), "a number"))
        }

        fn visit_u64<E>(self, value: u64) -> Result<$result, E> {
            Ok($scalar(value.to_string(), "a number"))
        }

        fn visit_f64<E>(self, value: f64) -> Result<$result, E> {
            Ok($scalar(value.to_string(), "a number"))
        }

        fn visit_unit<E>(self) -> Result<$result, E> {
            Ok($other("null"))
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<$result, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($other("an array"))
        }
    };
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Line;

    scalars_are!(Line, |_, got| Line::Other(got), Line::Other);

    fn visit_str<E>(self, _: &str) -> Result<Line, E> {
        Ok(Line::Other("a string"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Line, A::Error> {
        let (mut text, mut group) = (None, None);
        while let Some(key) = map.next_key_seed(Keys(self))? {
            match key {
                Key::Text => text = Some(map.next_value_seed(AnyValue)?),
                Key::Group => group = Some(map.next_value_seed(AnyValue)?),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Line::Object(text, group))
    }
}

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    scalars_are!(Value, Value::Label, Value::Other);

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Other("an object"))
    }
}

enum Key {
    Text,
    Group,
    Other,
}

/// Tells keys apart without keeping them.
struct Keys<'a>(Fields<'a>);

impl<'de> DeserializeSeed<'de> for Keys<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Keys<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(if key == self.0.text {
            Key::Text
        } else if Some(key) == self.0.group {
            Key::Group
        } else {
            Key::Other
        })
    }
}

#[cfg(test)]
mod tests;
