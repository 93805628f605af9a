//! JSON lines: copies the chosen ones byte for byte.

use super::choices::{Decision, FileChoices};
use super::compress::Compressor;
use super::error::FilterError;
use super::members::members;
use super::options::FilterOptions;
use crate::corpus::{RawLine, RawLines};
use crate::storage::StorageError;
use std::io::Write;
use std::path::Path;

/// Lines between two progress updates.
const LINES_PER_UPDATE: u64 = 1024;

/// Copies the chosen `lines` to `out`, which will become `output`.
pub(super) fn copy_lines<W: Write>(
    lines: &mut RawLines,
    choices: &mut FileChoices,
    options: &FilterOptions,
    out: &mut Compressor<W>,
    output: &Path,
    look: &mut dyn FnMut(),
) -> Result<(), FilterError> {
    let mut buffer = Vec::new();
    while let Some(line) = lines.next_line()? {
        if line.number.is_multiple_of(LINES_PER_UPDATE) {
            look();
        }
        let decision = choices.decide(line.number, line.is_blank())?;
        push_line(&line, &decision, options, &mut buffer, out).map_err(|error| match error {
            LineError::Filter(error) => error,
            LineError::Write(source) => StorageError::io("write", output, source).into(),
        })?;
    }
    Ok(())
}

enum LineError {
    Filter(FilterError),
    Write(std::io::Error),
}

fn push_line<W: Write>(
    line: &RawLine<'_>,
    decision: &Decision,
    options: &FilterOptions,
    buffer: &mut Vec<u8>,
    out: &mut Compressor<W>,
) -> Result<(), LineError> {
    match decision {
        Decision::Drop => Ok(()),
        Decision::Write(chosen) if options.adds() => {
            buffer.clear();
            let members = members(options, chosen);
            let members: Vec<(&str, &str)> = members
                .iter()
                .map(|(key, value)| (*key, value.as_str()))
                .collect();
            line.with_members(&members, buffer)
                .map_err(|error| LineError::Filter(error.into()))?;
            out.push(buffer).map_err(LineError::Write)
        }
        Decision::Write(_) | Decision::Pass => out
            .push(line.mark)
            .and_then(|()| out.push(line.bytes))
            .map_err(LineError::Write),
    }
}
