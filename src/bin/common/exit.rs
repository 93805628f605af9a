//! From an error to a message and an exit code.

use saltworks::error::Kind;
use std::process::ExitCode;

/// Prints what went wrong, with its causes, and picks the exit code. What `kind_of` does not know
/// is a failure of the system.
pub(crate) fn report(
    result: anyhow::Result<()>,
    kind_of: fn(&anyhow::Error) -> Option<Kind>,
) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    anstream::eprintln!("error: {error:#}");
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
