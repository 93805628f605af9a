//! Ctrl-C and SIGTERM while a model is trained.

use crate::common::exit::Result;
use crate::common::signals;
use saltworks::interrupt::Interrupt;

/// A wish to stop by the first signal; the second ends the process.
pub(crate) fn interrupt() -> Result<Interrupt> {
    signals::interrupt(
        Interrupt::new(),
        "stopping, with a checkpoint of the steps done; once more to stop at once",
    )
}
