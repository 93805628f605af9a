//! The command lines that made a directory's contents: `invocations.jsonl`, one JSON object per line.
//!
//! Each line is appended by a single write, so that several processes may append. A process that dies may leave
//! a partial line; readers skip lines that are not records.

use crate::storage::{self, StorageError};
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Name of the file.
pub const INVOCATIONS_NAME: &str = "invocations.jsonl";
/// Seconds in a day.
const DAY: u64 = 86_400;

/// One call of a program.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// When it began, in UTC: `2026-11-29T12:00:00Z`.
    pub time: String,
    /// Program and version.
    pub program: String,
    /// Commit that it was built from, or `unknown`.
    pub commit: String,
    /// Target that it was built for.
    pub target: String,
    /// Processor, cores and memory of the machine.
    pub machine: String,
    /// Directory that relative paths are relative to.
    pub directory: PathBuf,
    /// The words of the command line, the program first.
    pub argv: Vec<String>,
}

impl Invocation {
    /// Appends it to the records in `dir`, which must exist.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn record(&self, dir: &Path) -> Result<(), StorageError> {
        let path = dir.join(INVOCATIONS_NAME);
        let io = |source| StorageError::io("write", &path, source);
        let mut line = serde_json::to_vec(self).map_err(|error| io(error.into()))?;
        line.push(b'\n');
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).open(&path).map_err(io)?;
        file.write_all(&line).map_err(io)
    }

    /// The command line as it could be typed in a shell.
    pub fn shell_line(&self) -> String {
        let words: Vec<String> = self.argv.iter().map(|word| quoted(word)).collect();
        words.join(" ")
    }
}

/// The records in `dir`, in order; empty if there is no file.
///
/// # Errors
/// A file that cannot be read.
pub fn read_invocations(dir: &Path) -> Result<Vec<Invocation>, StorageError> {
    let path = dir.join(INVOCATIONS_NAME);
    let bytes = storage::read_if_exists(&path)?.unwrap_or_default();
    let lines = bytes.split(|byte| *byte == b'\n');
    Ok(lines
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect())
}

/// A word for a POSIX shell, in single quotes if it has characters that the shell might interpret.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// Seconds since 1970 as date and time, UTC.
pub fn utc(seconds: u64) -> String {
    let (mut days, second) = (seconds / DAY, seconds % DAY);
    let mut year = 1970;
    while days >= days_of(year) {
        days -= days_of(year);
        year += 1;
    }
    let february = days_of(year) - 337;
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (month, day) = (month + 1, days + 1);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn days_of(year: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    365 + u64::from(is_leap)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_reads_back_without_torn_lines() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_invocations(dir.path()).unwrap(), []);
        let call = |word: &str| Invocation {
            time: utc(0),
            argv: ["saltworks", word].map(str::to_owned).to_vec(),
            ..Invocation::default()
        };
        call("label").record(dir.path()).unwrap();
        let path = dir.path().join(INVOCATIONS_NAME);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text += "{\"time\":\"19\n";
        std::fs::write(&path, text).unwrap();
        call("a 'b'\n$x").record(dir.path()).unwrap();
        let read = read_invocations(dir.path()).unwrap();
        assert_eq!(read, [call("label"), call("a 'b'\n$x")]);
        assert_eq!(read[0].shell_line(), "saltworks label");
        assert_eq!(read[1].shell_line(), "saltworks 'a '\\''b'\\''\n$x'");
    }

    /// Expected values are from `date -u -d @SECONDS +%FT%TZ`.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(seconds), date);
        }
    }
}
