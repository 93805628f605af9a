//! Ctrl-C and SIGTERM.

use super::print::say;
use anyhow::Context;
use saltworks::error::Kind;
use saltworks::interrupt::Interrupt;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// An [`Interrupt`] that the first SIGINT or SIGTERM requests, and then says `notice`. A second one
/// ends the process at once; temporaries it leaves are swept by the next run.
pub(crate) fn interrupt(notice: &'static str) -> anyhow::Result<Interrupt> {
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("cannot listen to signals")?;
    let interrupt = Interrupt::new();
    let requested = interrupt.clone();
    let listen = move || {
        for _ in signals.forever() {
            if requested.is_requested() {
                signal_hook::low_level::exit(i32::from(Kind::Interrupted.exit_code()));
            }
            say!("{notice}");
            requested.request();
        }
    };
    let thread = std::thread::Builder::new().name("signals".into());
    thread.spawn(listen).context("cannot start a thread")?;
    Ok(interrupt)
}
