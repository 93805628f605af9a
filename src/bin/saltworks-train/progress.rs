//! Progress of training.

use crate::common::print::say;
use crate::common::progress::{Display, time_left};
use saltworks::train::run::Snapshot;

const TEMPLATE: &str = "{bar:32} {percent:>3}% step {human_pos}/{human_len}  {msg}";

/// Shows snapshots on standard error.
pub(crate) struct ProgressDisplay(Display);

impl ProgressDisplay {
    pub(crate) fn new() -> Self {
        Self(Display::new(TEMPLATE))
    }

    pub(crate) fn show(&self, snapshot: &Snapshot) {
        self.0.show(snapshot, snapshot.is_last(), |bar| {
            bar.set_length(snapshot.n_steps);
            bar.set_position(snapshot.step);
            bar.set_message(describe(snapshot));
        });
    }

    /// Says something between two steps without breaking the bar.
    pub(crate) fn say(&self, text: &str) {
        match &self.0.bar {
            Some(bar) => bar.suspend(|| say!("{text}")),
            None => say!("{text}"),
        }
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
