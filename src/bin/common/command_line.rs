//! The command line, and what is said where it cannot be read.

use super::print;
use clap::Parser;
use clap::error::Error;
use saltworks::view::printable;
use std::ffi::OsString;
use std::process::ExitCode;

/// What was typed; or, after help, a version or a message was printed, the exit code.
pub(crate) fn parse<Cli: Parser>() -> Result<Cli, ExitCode> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    Cli::try_parse_from(&arguments).map_err(|error| say(&visible::<Cli>(&arguments, error)))
}

/// The message about the same arguments with what is not seen escaped, since clap repeats them as
/// they are.
fn visible<Cli: Parser>(arguments: &[OsString], error: Error) -> Error {
    let escaped = arguments.iter().map(|argument| match argument.to_str() {
        Some(text) => printable(text).into(),
        None => argument.clone(),
    });
    Cli::try_parse_from(escaped).err().unwrap_or(error)
}

fn say(error: &Error) -> ExitCode {
    let text = error.render().ansi().to_string();
    if error.use_stderr() {
        print::styled_note(&text);
    } else {
        print::styled(&text);
    }
    match print::finish() {
        Err(failed) => print::output_failed(&failed),
        Ok(()) => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}
