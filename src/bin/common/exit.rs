//! From an error to a message and an exit code.

use super::print;
use saltworks::error::{Classified, Kind};
use std::error::Error;
use std::process::ExitCode;

/// Why a command failed. Only errors that know their kind convert into this, so each has an exit
/// code.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    /// What was being done, if the error does not say it.
    doing: Option<String>,
    error: Box<dyn Error + Send + Sync>,
}

/// What commands return.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl<E: Classified> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure {
            kind: error.kind(),
            doing: None,
            error: Box::new(error),
        }
    }
}

/// Adds what was being done.
pub(crate) trait Context<T> {
    /// The same with `doing` in front of the error's message.
    fn context(self, doing: impl Into<String>) -> Result<T>;
}

impl<T, E: Classified> Context<T> for Result<T, E> {
    fn context(self, doing: impl Into<String>) -> Result<T> {
        self.map_err(|error| Failure {
            doing: Some(doing.into()),
            ..error.into()
        })
    }
}

/// `error` and what caused it.
pub(crate) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Prints what went wrong, with its causes, and picks the exit code. A result that could not be
/// printed is a failure of the system.
pub(crate) fn report(result: Result<()>) -> ExitCode {
    let printed = print::finish().map_err(|failed| print::output_failed(&failed));
    let Err(failure) = result else {
        return printed.err().unwrap_or(ExitCode::SUCCESS);
    };
    print::error(failure.doing.as_deref(), &*failure.error);
    ExitCode::from(failure.kind.exit_code())
}
