//! From an error to a message and an exit code.

use saltworks::error::Kind;
use std::process::ExitCode;

/// Prints what went wrong, with its causes, and picks the exit code.
pub fn report(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    anstream::eprintln!("error: {error:#}");
    ExitCode::from(kind_of(&error).exit_code())
}

fn kind_of(_error: &anyhow::Error) -> Kind {
    Kind::Failed
}
