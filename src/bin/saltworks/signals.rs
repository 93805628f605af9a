//! Ctrl-C and SIGTERM while tokens or labels are made.

use crate::common::signals;
use saltworks::interrupt::Interrupt;

/// A wish to stop by the first signal; the second ends the process.
pub(crate) fn interrupt() -> anyhow::Result<Interrupt> {
    signals::interrupt("stopping; once more to stop at once")
}
