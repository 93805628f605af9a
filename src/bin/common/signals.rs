//! Signals: those that request a stop, and the one for a file that is too large.

use super::exit::{Context, Result};
use super::print::say;
use saltworks::error::Kind;
use saltworks::interrupt::Interrupt;
use saltworks::storage::stop_uploads;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const STOPPING: &str = "stopping; press Ctrl-C again to stop at once";
const SAVING: &str = "stopping after saving a checkpoint; press Ctrl-C again to stop at once";

/// The first signal requests a stop; the second ends the process.
pub(crate) fn interrupt() -> Result<Interrupt> {
    interrupt_of(Interrupt::new(), STOPPING, stop_uploads)
}

/// The same, for training. The last checkpoint may go to a store, so uploads continue until the second signal.
pub(crate) fn interrupt_that_saves() -> Result<Interrupt> {
    interrupt_of(Interrupt::new(), SAVING, || {})
}

/// The same for labelling, which does not look at signals while it opens its inputs: until then the
/// first one ends the process.
pub(crate) fn unheeded_interrupt() -> Result<Interrupt> {
    interrupt_of(Interrupt::unheeded(), STOPPING, stop_uploads)
}

/// An `interrupt` that the first SIGINT, SIGTERM or SIGHUP requests, printing `notice`. A second
/// one ends the process at once; temporaries it leaves are removed by the next run. The first one
/// does so too while `interrupt` is not checked: then there is nothing to finish. `then` runs once the stop is requested.
fn interrupt_of(interrupt: Interrupt, notice: &'static str, then: fn()) -> Result<Interrupt> {
    let requested = interrupt.clone();
    listen(move || {
        if requested.is_requested() || !requested.is_heeded() {
            stop_uploads();
            end_now();
        }
        say!("{notice}");
        requested.request();
        then();
    })?;
    Ok(interrupt)
}

/// For work that leaves nothing half done wherever it stops: the first signal ends the process, with
/// the exit code of an interruption.
pub(crate) fn end_on_signal() -> Result<()> {
    listen(|| {
        say!("stopped; the same command starts over");
        stop_uploads();
        end_now();
    })
}

/// Ends the process, as interrupted.
pub(crate) fn end_now() {
    signal_hook::low_level::exit(i32::from(Kind::Interrupted.exit_code()));
}

fn listen(mut on_signal: impl FnMut() + Send + 'static) -> Result<()> {
    let mut wanted = vec![SIGINT, SIGTERM];
    // Under `nohup` SIGHUP is ignored, and this is inherited.
    if !is_ignored(SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = Signals::new(wanted).context("cannot handle signals")?;
    let thread = std::thread::Builder::new().name("signals".into());
    let listen = move || signals.forever().for_each(|_| on_signal());
    thread.spawn(listen).context("cannot start a thread")?;
    Ok(())
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: an all-zero sigaction is a valid value of that plain struct.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: with no new action, sigaction only writes the current one to a struct that outlives it.
    let code = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    code == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// A file above the size limit (`ulimit -f`) becomes a write error with a message, instead of
/// killing the process without one.
pub(crate) fn report_large_files() {
    // SAFETY: SIG_IGN runs no code; the signal is not used otherwise.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
}
