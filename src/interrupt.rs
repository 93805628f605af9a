//! A request to stop, shared by long-running work: stop soon, leave nothing half done.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

type Hook = Box<dyn Fn() + Send>;

/// A request to stop, which work checks between its steps. Clones share it.
#[derive(Clone, Default)]
pub struct Interrupt {
    requested: Arc<AtomicBool>,
    unheeded: Arc<AtomicBool>,
    hooks: Arc<Mutex<Vec<Hook>>>,
}

impl Interrupt {
    /// Not requested yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Not checked by any work until [`Interrupt::heed`]. A request before that may end the process, since no
    /// work has begun that could be left half done.
    pub fn unheeded() -> Self {
        let interrupt = Self::default();
        interrupt.unheeded.store(true, Ordering::SeqCst);
        interrupt
    }

    /// From now on the work checks for requests itself.
    pub fn heed(&self) {
        self.unheeded.store(false, Ordering::SeqCst);
    }

    /// Whether the work checks for requests.
    pub fn is_heeded(&self) -> bool {
        !self.unheeded.load(Ordering::SeqCst)
    }

    /// Asks the work to stop.
    pub fn request(&self) {
        self.requested.store(true, Ordering::SeqCst);
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.iter().for_each(|hook| hook());
    }

    /// Whether a stop was requested.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::SeqCst)
    }

    /// For work that asks at each step: whether to continue.
    pub fn flow(&self) -> ControlFlow<()> {
        match self.is_requested() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Calls `hook` at every request, for work that cannot check while it runs; calls it at once if a stop was
    /// already requested.
    pub fn when_requested(&self, hook: impl Fn() + Send + 'static) {
        let mut hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_requested() {
            hook();
        }
        hooks.push(Box::new(hook));
    }
}

/// Passes bytes on until a stop is requested; every write after that is an error.
pub struct InterruptibleWriter<'a, W> {
    /// Where they go.
    pub out: W,
    /// Checked before each write.
    pub interrupt: &'a Interrupt,
}

impl<W: Write> Write for InterruptibleWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.interrupt.is_requested() {
            // Not `ErrorKind::Interrupted`, after which a write is tried again.
            true => Err(io::Error::other("a stop was asked for")),
            false => self.out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_hook_is_called_whether_it_comes_before_or_after_the_request() {
        let calls = Arc::new(AtomicU32::new(0));
        let count = || {
            let calls = Arc::clone(&calls);
            move || {
                calls.fetch_add(1, Ordering::SeqCst);
            }
        };
        let interrupt = Interrupt::new();
        interrupt.when_requested(count());
        assert!(!interrupt.is_requested());
        interrupt.clone().request();
        interrupt.when_requested(count());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        assert!(interrupt.is_requested());
    }
}
