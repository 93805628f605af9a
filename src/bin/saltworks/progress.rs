//! Progress of labelling.

use crate::common::progress::{Display, time_left};
use saltworks::label::Snapshot;

/// Shows snapshots on standard error.
pub(crate) struct ProgressDisplay(Display);

impl ProgressDisplay {
    pub(crate) fn new() -> Self {
        Self(Display::new(0, "tokens"))
    }

    pub(crate) fn show(&self, snapshot: &Snapshot) {
        let is_last = snapshot.event == "labelled";
        self.0.show(
            || snapshot,
            is_last,
            |bar| {
                bar.set_length(snapshot.tokens_total);
                bar.set_position(snapshot.tokens);
                bar.set_message(describe(snapshot));
            },
        );
    }
}

fn describe(snapshot: &Snapshot) -> String {
    let left = time_left(snapshot.eta_s);
    let size = snapshot
        .bytes_per_token
        .map_or_else(String::new, |bytes| format!("  {bytes:.1} B/token"));
    format!(
        "{:.0} tokens/s  {left} left{size}  shard {}/{}",
        snapshot.tokens_per_s, snapshot.shards, snapshot.shards_total
    )
}
