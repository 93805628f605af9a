//! Stopping a run from another thread.

use super::error::TeacherError;
use ort::session::{HasSelectedOutputs, NoSelectedOutputs, RunOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Stops a teacher from another thread: a run in progress returns [`TeacherError::Cancelled`] after
/// the node that it is in, and so does every later run.
#[derive(Clone)]
pub struct Canceller {
    state: Arc<CancelState>,
}

struct CancelState {
    cancelled: AtomicBool,
    lending: RunOptions<HasSelectedOutputs>,
    reducing: RunOptions<HasSelectedOutputs>,
    bound: RunOptions<NoSelectedOutputs>,
}

// SAFETY: the binding withholds Sync from run options with selected outputs because they may hold a
// preallocated output that two runs would write to. These hold none, and the only thing done from
// another thread is `terminate`, which sets a flag that ONNX Runtime reads for this very purpose.
unsafe impl Sync for CancelState {}

impl Canceller {
    /// `lending` selects the logits, `reducing` the outputs of a head; in a `bound` run the binding
    /// selects the outputs.
    pub(super) fn new(
        lending: RunOptions<HasSelectedOutputs>,
        reducing: RunOptions<HasSelectedOutputs>,
        bound: RunOptions<NoSelectedOutputs>,
    ) -> Self {
        Self {
            state: Arc::new(CancelState {
                cancelled: AtomicBool::new(false),
                lending,
                reducing,
                bound,
            }),
        }
    }

    /// For a run that returns the logits.
    pub(super) fn lending(&self) -> &RunOptions<HasSelectedOutputs> {
        &self.state.lending
    }

    /// For a run that returns the head's outputs.
    pub(super) fn reducing(&self) -> &RunOptions<HasSelectedOutputs> {
        &self.state.reducing
    }

    /// For a run that leaves the logits where a binding says.
    pub(super) fn bound(&self) -> &RunOptions<NoSelectedOutputs> {
        &self.state.bound
    }

    /// Stops the run in progress, and every later one.
    pub fn cancel(&self) {
        self.state.cancelled.store(true, Ordering::SeqCst);
        // Setting a flag cannot fail; if it did, the next run would still see `cancelled`.
        let _ = self.state.lending.terminate();
        let _ = self.state.reducing.terminate();
        let _ = self.state.bound.terminate();
    }

    /// Whether the teacher was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.state.cancelled.load(Ordering::SeqCst)
    }

    pub(super) fn check(&self) -> Result<(), TeacherError> {
        if self.is_cancelled() {
            Err(TeacherError::Cancelled)
        } else {
            Ok(())
        }
    }
}
