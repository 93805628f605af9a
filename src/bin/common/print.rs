//! All output of the programs goes through here, since neither stream is reliable.
//!
//! Standard output is a command's result. A reader that closes it early, such as `head`, is not an
//! error; a failure, such as a full disk, is reported at the end, after the work itself. Standard
//! error is for people: what cannot be written there is dropped without stopping work.
//!
//! Text from outside (paths, documents, models, causes of errors) may contain anything. It is
//! escaped here, at the last step, so that no message is forgotten. Colours are added before, so a
//! text with colours ([`styled`]) may contain those sequences and no others; the `view` room, which
//! writes those texts, escapes the words in them.

use super::exit::causes;
use saltworks::error::Kind;
use saltworks::view::{printable, printable_but, printable_json};
use serde::Serialize;
use std::error::Error;
use std::fmt::{Arguments, Display};
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One line of a command's result, on standard output.
macro_rules! out {
    () => { $crate::common::print::line(format_args!("")) };
    ($($words:tt)*) => { $crate::common::print::line(format_args!($($words)*)) };
}
/// One line for a person, on standard error.
macro_rules! say {
    ($($words:tt)*) => { $crate::common::print::note(format_args!($($words)*)) };
}
pub(crate) use {out, say};

/// The state of standard output. After a failure nothing more is written, so that there are no
/// gaps.
enum Output {
    Good,
    /// Its reader closed it.
    Closed,
    Failed(io::Error),
}

static OUTPUT: Mutex<Output> = Mutex::new(Output::Good);
/// Whether notes are dropped.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// From now on only errors go to standard error.
pub(crate) fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

fn output() -> MutexGuard<'static, Output> {
    OUTPUT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Implements [`out!`]. Line breaks in the text come from outside and are shown as `\n`.
pub(crate) fn line(words: Arguments<'_>) {
    to_stdout(|| plain_to_stdout(&(printable(&words.to_string()) + "\n")));
}

/// Implements [`say!`]; like [`line`].
pub(crate) fn note(words: Arguments<'_>) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        to_stderr(&(printable(&words.to_string()) + "\n"));
    }
}

/// Prints each of these.
pub(crate) fn notes<T: Display>(notes: impl IntoIterator<Item = T>) {
    for text in notes {
        note(format_args!("note: {text}"));
    }
}

/// A result of many lines without colours.
pub(crate) fn block(text: &str) {
    to_stdout(|| plain_to_stdout(&printable_but(text, &['\n', '\t'])));
}

/// A result of many lines with colours, which are left out if standard output does not support
/// them.
pub(crate) fn styled(text: &str) {
    to_stdout(|| anstream::stdout().write_all(keeping_colours(text).as_bytes()));
}

/// A result as one JSON object, indented if `is_pretty`.
///
/// # Errors
/// A path in it that is not Unicode.
pub(crate) fn json(value: &impl Serialize, is_pretty: bool) -> io::Result<()> {
    let json = match is_pretty {
        true => serde_json::to_string_pretty(value),
        false => serde_json::to_string(value),
    }?;
    to_stdout(|| plain_to_stdout(&(printable_json(&json) + "\n")));
    Ok(())
}

/// A number with its noun, in the plural if it is not 1.
#[allow(dead_code, reason = "each binary uses its part")]
pub(crate) fn counted(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", indicatif::HumanCount(n))
}

/// Progress as one JSON line, on standard error.
pub(crate) fn json_note(value: &impl Serialize) {
    if let Ok(json) = serde_json::to_string(value) {
        to_stderr(&(printable_json(&json) + "\n"));
    }
}

/// An error with its causes, on standard error, after what was `doing`.
pub(crate) fn error(doing: Option<&str>, error: &(dyn Error + 'static)) {
    let doing = doing.into_iter().map(describe);
    let lines: Vec<String> = doing.chain(causes(error).map(describe_cause)).collect();
    to_stderr(&format!("error: {}\n", lines.join(": ")));
}

/// A message with colours, on standard error.
pub(crate) fn styled_note(text: &str) {
    let _ = anstream::stderr().write_all(keeping_colours(text).as_bytes());
}

/// Reports that standard output failed; the work itself is done.
pub(crate) fn output_failed(error: &io::Error) -> ExitCode {
    to_stderr(&format!(
        "error: cannot write to standard output: {error}\n"
    ));
    ExitCode::from(Kind::Failed.exit_code())
}

/// Whether standard output is closed, so that work which only prints may end.
pub(crate) fn is_output_lost() -> bool {
    !matches!(*output(), Output::Good)
}

/// Whether everything printed was written, or the reader closed the stream.
///
/// # Errors
/// Standard output failed in another way; reported once.
pub(crate) fn finish() -> io::Result<()> {
    to_stdout(|| io::stdout().flush());
    match std::mem::replace(&mut *output(), Output::Closed) {
        Output::Failed(error) => Err(error),
        Output::Good | Output::Closed => Ok(()),
    }
}

fn to_stdout(write: impl FnOnce() -> io::Result<()>) {
    let mut output = output();
    if !matches!(*output, Output::Good) {
        return;
    }
    match write() {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => *output = Output::Closed,
        Err(error) => *output = Output::Failed(error),
    }
}

fn plain_to_stdout(text: &str) -> io::Result<()> {
    io::stdout().write_all(text.as_bytes())
}

/// Progress that cannot be written is dropped: a full disk for logs must not stop work.
fn to_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// TOML's errors show the place in the file over several lines.
fn describe_cause(cause: &(dyn Error + 'static)) -> String {
    let text = cause.to_string();
    match cause.is::<toml::de::Error>() || cause.is::<Box<toml::de::Error>>() {
        true => printable_but(text.trim_end(), &['\n']),
        false => describe(&text),
    }
}

/// Line breaks of a message's own are followed by an indent; any others came in with a name.
fn describe(text: &str) -> String {
    let lines: Vec<String> = text.split("\n ").map(printable).collect();
    lines.join("\n ")
}

/// `text` with its colours: sequences ESC [ digits and semicolons m, and nothing else invisible.
fn keeping_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let kept = &['\n'];
    let mut safe = printable_but(parts.next().unwrap_or_default(), kept);
    for part in parts {
        let is_colour = part.strip_prefix('[').is_some_and(|rest| {
            rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
                .starts_with('m')
        });
        safe += if is_colour { "\u{1b}" } else { "\\u{1b}" };
        safe += &printable_but(part, kept);
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read {}; looked in:\n  here: {}", .0, .0)]
    struct Named(String);

    #[test]
    fn a_cause_keeps_its_own_lines_and_shows_those_of_a_name() {
        let name = Path::new("a\nerror: b\u{1b}[2J\u{202e}").display();
        assert_eq!(
            describe_cause(&Named(name.to_string())),
            "cannot read a\\nerror: b\\u{1b}[2J\\u{202e}; looked in:\n  here: a\\nerror: b\\u{1b}[2J\\u{202e}"
        );
    }

    #[test]
    fn a_toml_error_location_keeps_its_lines() {
        let error = toml::from_str::<toml::Table>("a = 1\nb = \u{202e}").unwrap_err();
        let text = describe_cause(&error);
        assert!(text.lines().count() > 3, "{text}");
        assert!(text.contains("\\u{202e}"), "{text}");
    }

    #[test]
    fn colours_are_kept_and_other_escape_sequences_are_not() {
        let bold = anstyle::Style::new().bold();
        let text = format!("{bold}a{bold:#}\n\u{1b}[2Jb\u{1b}]0;title\u{7}\u{1b}");
        let shown = keeping_colours(&text);
        assert!(
            shown.starts_with(&format!("{bold}a{bold:#}\n\\u{{1b}}[2Jb")),
            "{shown}"
        );
        assert!(shown.ends_with("\\u{1b}]0;title\\u{7}\\u{1b}"), "{shown}");
    }
}
