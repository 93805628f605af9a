//! Progress of training.

use crate::common::progress::{Display, time_left};
use saltworks::train::run::Snapshot;

/// Shows snapshots on standard error.
pub(crate) struct ProgressDisplay(Display);

impl ProgressDisplay {
    pub(crate) fn new() -> Self {
        Self(Display::new(0, "steps"))
    }

    pub(crate) fn show(&self, snapshot: &Snapshot) {
        self.0.show(
            || snapshot,
            snapshot.is_last(),
            |bar| {
                bar.set_length(snapshot.n_steps);
                bar.set_position(snapshot.step);
                bar.set_message(describe(snapshot));
            },
        );
    }

    /// Says something between two steps without breaking the bar.
    pub(crate) fn say(&self, text: &str) {
        self.0.say(text);
    }
}

fn describe(snapshot: &Snapshot) -> String {
    format!(
        "loss {:.4}  {:.0} tokens/s  {} left  stage {}",
        snapshot.loss,
        snapshot.tokens_per_s,
        time_left(snapshot.eta_s),
        snapshot.stage
    )
}
