//! One line of JSON as Python's `json` reads it: `NaN`, `Infinity`, lone surrogates, numbers of any
//! size and repeated keys are accepted; the last value of a repeated key counts.
//!
//! The scanner keeps only the positions of the wanted values, so that a line of any length needs no
//! more memory than itself.

use super::error::CorpusError;
use super::location::Location;
use std::ops::Range;

/// Most levels of nested arrays and objects; Python gives up near here too.
const MAX_DEPTH: usize = 1000;

/// What is wrong with a line, and at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) reason: &'static str,
}

/// A value in a line, by its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// The range between its quotes.
    Text {
        inside: Range<usize>,
        is_escaped: bool,
    },
    Number(Range<usize>),
    Boolean(bool),
    Null,
    Array,
    Object,
}

impl Value {
    /// Its JSON type, for messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Value::Text { .. } => "a string",
            Value::Number(_) => "a number",
            Value::Boolean(_) => "a boolean",
            Value::Null => "null",
            Value::Array => "an array",
            Value::Object => "an object",
        }
    }
}

/// The content of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    /// The values of the wanted fields, in their order.
    Object(Vec<Option<Value>>),
    Other(Value),
}

impl Line {
    /// The values of an object; `location` is that of the line.
    pub(super) fn into_values(
        self,
        location: impl FnOnce() -> Location,
    ) -> Result<Vec<Option<Value>>, CorpusError> {
        match self {
            Line::Object(values) => Ok(values),
            Line::Other(value) => Err(CorpusError::NotAnObject {
                location: location(),
                got: value.name(),
            }),
        }
    }
}

/// Parses a whole line, keeping the values of `fields`.
pub(super) fn parse_line(line: &[u8], fields: &[&str]) -> Result<Line, Fault> {
    let mut scanner = Scanner { line, at: 0 };
    scanner.skip_space();
    let parsed = if scanner.peek() == Some(b'{') {
        Line::Object(scanner.object(fields)?)
    } else {
        Line::Other(scanner.value()?)
    };
    scanner.skip_space();
    match scanner.peek() {
        None => Ok(parsed),
        Some(_) => Err(scanner.fault("there is text after the value")),
    }
}

/// The keys of a line that is an object, `max_keys` at most, and whether these are all.
pub(super) fn keys(line: &[u8], max_keys: usize) -> (Vec<String>, bool) {
    let mut scanner = Scanner { line, at: 0 };
    let mut keys = Vec::new();
    scanner.skip_space();
    scanner.at += 1;
    scanner.skip_space();
    while let Ok(Value::Text { inside, .. }) = scanner.key() {
        if keys.len() == max_keys {
            return (keys, false);
        }
        keys.push(String::from_utf8_lossy(&line[inside]).into_owned());
        if scanner.value().is_err() || scanner.is_last(b'}').unwrap_or(true) {
            break;
        }
    }
    (keys, true)
}

struct Scanner<'a> {
    line: &'a [u8],
    at: usize,
}

const ENDS: &str = "the line ends before the value does";

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.line.get(self.at).copied()
    }

    fn fault(&self, reason: &'static str) -> Fault {
        let is_at_end = self.at >= self.line.len();
        Fault {
            at: self.at.min(self.line.len()),
            reason: if is_at_end { ENDS } else { reason },
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), Fault> {
        self.skip_space();
        if self.peek() != Some(byte) {
            return Err(self.fault(reason));
        }
        self.at += 1;
        Ok(())
    }

    fn object(&mut self, fields: &[&str]) -> Result<Vec<Option<Value>>, Fault> {
        let mut values = vec![None; fields.len()];
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(values);
        }
        loop {
            let key = self.key()?;
            let field = fields.iter().position(|field| self.is_key(&key, field));
            let value = self.value()?;
            if let Some(field) = field {
                values[field] = Some(value);
            }
            if self.is_last(b'}')? {
                return Ok(values);
            }
        }
    }

    /// A key and its colon.
    fn key(&mut self) -> Result<Value, Fault> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.fault("expected a key in double quotes"));
        }
        let key = self.string()?;
        self.expect(b':', "expected a colon")?;
        Ok(key)
    }

    fn is_key(&self, key: &Value, field: &str) -> bool {
        let Value::Text { inside, is_escaped } = key else {
            return false;
        };
        let spelled = &self.line[inside.clone()];
        if !is_escaped {
            return spelled == field.as_bytes();
        }
        let mut bytes = spelled.to_vec();
        unescape(&mut bytes, None).is_ok_and(|n| &bytes[..n] == field.as_bytes())
    }

    /// After a value of an array or object: whether it was the last.
    fn is_last(&mut self, end: u8) -> Result<bool, Fault> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.fault("expected a comma or the end of the array or object")),
        }
    }

    /// Any value. The content of arrays and objects is checked and dropped, without recursion.
    fn value(&mut self) -> Result<Value, Fault> {
        self.skip_space();
        let outer = match self.peek() {
            Some(b'[') => Value::Array,
            Some(b'{') => Value::Object,
            _ => return self.scalar(),
        };
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    let end = if bracket == b'[' { b']' } else { b'}' };
                    self.at += 1;
                    if open.len() == MAX_DEPTH {
                        return Err(self.fault("nested too deeply"));
                    }
                    open.push(end);
                    self.skip_space();
                    if self.peek() != Some(end) {
                        if end == b'}' {
                            self.key()?;
                        }
                        continue;
                    }
                    self.at += 1;
                    open.pop();
                }
                _ => {
                    self.scalar()?;
                }
            }
            while let Some(&end) = open.last() {
                if !self.is_last(end)? {
                    if end == b'}' {
                        self.key()?;
                    }
                    break;
                }
                open.pop();
            }
            if open.is_empty() {
                return Ok(outer);
            }
        }
    }

    fn scalar(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        for (word, value) in [
            ("true", Value::Boolean(true)),
            ("false", Value::Boolean(false)),
            ("null", Value::Null),
            ("NaN", Value::Number(start..start + 3)),
            ("Infinity", Value::Number(start..start + 8)),
            ("-Infinity", Value::Number(start..start + 9)),
        ] {
            if self.line[start.min(self.line.len())..].starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.fault("expected a value")),
        }
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Value::Number(start..self.at))
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        match self.at > start {
            true => Ok(()),
            false => Err(self.fault("expected a digit")),
        }
    }

    fn string(&mut self) -> Result<Value, Fault> {
        self.at += 1;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    let inside = start..self.at - 1;
                    return Ok(Value::Text { inside, is_escaped });
                }
                Some(b'\\') => {
                    is_escaped = true;
                    self.escape()?;
                }
                Some(0x20..) => self.at += 1,
                _ => return Err(self.fault("a string contains an unescaped control character")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        self.at += 1;
        match self.peek() {
            Some(b'u') => {
                for _ in 0..4 {
                    self.at += 1;
                    if !self.peek().is_some_and(|byte| byte.is_ascii_hexdigit()) {
                        return Err(self.fault("expected four hexadecimal digits"));
                    }
                }
            }
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
            _ => return Err(self.fault("unknown escape")),
        }
        self.at += 1;
        Ok(())
    }
}

/// Resolves the escapes of a scanned string in place (it never grows) and returns its new length. A
/// lone surrogate becomes `lone`, which must be no longer than 6 bytes.
///
/// # Errors
/// The position of such a surrogate, if `lone` is `None`.
pub(super) fn unescape(bytes: &mut [u8], lone: Option<char>) -> Result<usize, usize> {
    let (mut from, mut to) = (0, 0);
    while from < bytes.len() {
        if bytes[from] != b'\\' {
            let run = bytes[from..].iter().position(|&byte| byte == b'\\');
            let n = run.unwrap_or(bytes.len() - from);
            bytes.copy_within(from..from + n, to);
            from += n;
            to += n;
            continue;
        }
        let (c, n) = escaped_char(&bytes[from..]);
        let c = c.or(lone).ok_or(from)?;
        from += n;
        to += c.encode_utf8(&mut bytes[to..from]).len();
    }
    Ok(to)
}

/// The character of the escape that `bytes` starts with (`None`: a lone surrogate), and its length.
fn escaped_char(bytes: &[u8]) -> (Option<char>, usize) {
    let simple = match bytes[1] {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let first = unit(bytes);
            let second = (bytes.get(6..8) == Some(b"\\u")).then(|| unit(&bytes[6..]));
            let pair = std::iter::once(first).chain(second);
            return match char::decode_utf16(pair).next() {
                Some(Ok(c)) => (Some(c), 6 * c.len_utf16()),
                _ => (None, 6),
            };
        }
        other => char::from(other),
    };
    (Some(simple), 2)
}

/// The four digits of `\uXXXX`.
fn unit(bytes: &[u8]) -> u16 {
    let digits = bytes
        .get(2..6)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    digits
        .and_then(|digits| u16::from_str_radix(digits, 16).ok())
        .unwrap_or(0)
}
