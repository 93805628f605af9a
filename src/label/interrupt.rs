//! Ctrl-C and SIGTERM: stop soon, leave nothing half done, and say how to go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A wish to stop, which every stage of the pipeline looks at.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    wanted: Arc<AtomicBool>,
}

impl Interrupt {
    /// One that only [`Interrupt::request`] sets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the pipeline to stop.
    pub fn request(&self) {
        self.wanted.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_requested(&self) -> bool {
        self.wanted.load(Ordering::SeqCst)
    }

    /// Listens to SIGINT and SIGTERM, and calls `on_first` at the first of them (to end a run of the
    /// teacher that is under way). A second signal ends the process at once with exit code 75;
    /// temporaries it leaves are swept by the next run.
    ///
    /// # Errors
    /// The system refuses the handler.
    pub fn listen(&self, on_first: impl Fn() + Send + 'static) -> std::io::Result<()> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
        let wanted = self.clone();
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for _ in signals.forever() {
                    if wanted.is_requested() {
                        signal_hook::low_level::exit(75);
                    }
                    wanted.request();
                    on_first();
                }
            })?;
        Ok(())
    }
}
