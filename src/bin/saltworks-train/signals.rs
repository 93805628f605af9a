//! Ctrl-C and SIGTERM while a model is trained.

use crate::common::exit::Result;
use crate::common::signals;
use saltworks::interrupt::Interrupt;

/// A wish to stop by the first signal; the second ends the process.
pub(crate) fn interrupt() -> Result<Interrupt> {
    signals::interrupt(
        Interrupt::new(),
        "stopping after saving a checkpoint; press Ctrl-C again to stop at once",
    )
}
