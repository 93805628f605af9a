//! Turns panics into errors, for calls into libraries that panic on some files and texts (`tokenizers`: a
//! decoder that is not JSON, a regular expression past its retry limit; `parquet`: a damaged page).

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

thread_local! {
    /// Whether this thread is inside such a call.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`. If it panics, returns the panic's message and prints nothing. After a panic, whatever `work`
/// touched must be in a valid state or not be used again.
///
/// # Errors
/// The message of the panic.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    quieten_guarded_panics();
    let outer = IS_GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(outer);
    result.map_err(|panic| format!("the library that reads it failed: {}", message_of(&*panic)))
}

/// Installs, once per process, a panic hook that skips printing for guarded calls.
fn quieten_guarded_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !IS_GUARDED.get() {
                print(info);
            }
        }));
    });
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no reason given")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message_and_the_next_call_works() {
        let error = guarded(|| -> u32 { panic!("retry limit {}", 3) }).unwrap_err();
        assert!(error.contains("retry limit 3"), "{error}");
        assert_eq!(guarded(|| 7), Ok(7));
    }
}
