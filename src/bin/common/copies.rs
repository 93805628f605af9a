//! Announces copies of objects: an input at a URL may be large, and is fetched before anything else.

use super::print::say;
use super::progress::{BYTES, Display};
use indicatif::HumanBytes;
use saltworks::storage::CopyProgress;
use std::cell::RefCell;

/// Smaller copies take too little time to be worth announcing.
const MIN_ANNOUNCED_BYTES: u64 = 16 << 20;

thread_local! {
    /// The display of the copy that this thread makes.
    static DISPLAY: RefCell<Option<Display>> = const { RefCell::new(None) };
}

/// Shows the progress of a copy.
pub(crate) fn show_copy(now: &CopyProgress<'_>) {
    if now.n_bytes < MIN_ANNOUNCED_BYTES {
        return;
    }
    DISPLAY.with_borrow_mut(|display| {
        if now.n_done == 0 {
            say!(
                "copying {} ({}) to {}",
                now.url.display(),
                HumanBytes(now.n_bytes),
                now.path.display()
            );
            *display = Some(Display::new(now.n_bytes, BYTES));
        }
        if let Some(shown) = display {
            shown.at(now.n_done);
            if now.n_done == now.n_bytes {
                shown.finish();
                *display = None;
            }
        }
    });
}
