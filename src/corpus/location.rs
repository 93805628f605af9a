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

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.position {
            Position::Line(line) => write!(f, "{path}:{line}"),
            Position::Row(row) => write!(f, "{path}, row {row}"),
            Position::File => write!(f, "{path}"),
        }
    }
}
