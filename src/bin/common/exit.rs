//! From an error to a message and an exit code.

use super::print;
use saltworks::error::Kind;
use std::process::ExitCode;

/// Prints what went wrong, with its causes, and picks the exit code. What `kind_of` does not know
/// is a failure of the system, and so is a result that could not be printed.
pub(crate) fn report(
    result: anyhow::Result<()>,
    kind_of: fn(&anyhow::Error) -> Option<Kind>,
) -> ExitCode {
    let printed = print::finish().map_err(|failed| print::output_failed(&failed));
    let Err(error) = result else {
        return printed.err().unwrap_or(ExitCode::SUCCESS);
    };
    print::error(&error);
    let kind = kind_of(&error).unwrap_or(Kind::Failed);
    ExitCode::from(kind.exit_code())
}

/// The kind of the outermost error in the chain that is of one of these types.
macro_rules! outermost_kind {
    ($error:expr, [$($room:ty),* $(,)?]) => {
        $error
            .chain()
            .find_map(|cause| None$(.or_else(|| Some(cause.downcast_ref::<$room>()?.kind())))*)
    };
}
pub(crate) use outermost_kind;
