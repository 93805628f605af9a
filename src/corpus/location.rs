//! Where in the input something was found.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A place in the input, for messages: displays as `path:12` or `path, row 12`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The file.
    pub path: Arc<Path>,
    /// Where in the file.
    pub position: Position,
}

/// A place within a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// A line, counted from 1.
    Line(u64),
    /// A Parquet row, counted from 0.
    Row(u64),
    /// The file as a whole.
    File,
}

impl Position {
    /// The position of a record in its file, as a number: its line from 1, its row from 0, or 0 for a whole file.
    pub fn record(self) -> u64 {
        match self {
            Position::Line(record) | Position::Row(record) => record,
            Position::File => 0,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shown(&self.path);
        match self.position {
            Position::Line(line) => write!(f, "{path}:{line}"),
            Position::Row(row) => write!(f, "{path}, row {row}"),
            Position::File => write!(f, "{path}"),
        }
    }
}

/// A path for display: bytes that are not UTF-8 as `\xNN`, control characters escaped.
pub(super) fn shown(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() {
                text.extend(c.escape_default());
            } else {
                text.push(c);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The last component of a path; bytes that are not UTF-8 are replaced.
pub(super) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_name_that_is_not_utf8_is_shown_byte_by_byte() {
        let path = Path::new(OsStr::from_bytes(b"a/caf\xe9\x1b[1m.txt"));
        assert_eq!(shown(path), "a/caf\\xe9\\u{1b}[1m.txt");
    }
}
