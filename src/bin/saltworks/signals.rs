//! Ctrl-C and SIGTERM while tokens or labels are made.

use crate::common::exit::Result;
use crate::common::signals;
use saltworks::interrupt::Interrupt;

/// A wish to stop by the first signal; the second ends the process.
pub(crate) fn interrupt() -> Result<Interrupt> {
    signals::interrupt(
        Interrupt::new(),
        "stopping; press Ctrl-C again to stop at once",
    )
}

/// The same for labelling, which does not look at signals while it opens its inputs: until then the
/// first one ends the process.
pub(crate) fn unheeded_interrupt() -> Result<Interrupt> {
    signals::interrupt(
        Interrupt::unheeded(),
        "stopping; press Ctrl-C again to stop at once",
    )
}
