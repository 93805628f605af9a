//! Progress of labelling, and of the graph that it may need first.

use crate::common::print::say;
use crate::common::progress::{BYTES, Display, time_left};
use indicatif::BinaryBytes;
use saltworks::checkpoint_graph::GraphWork;
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

/// Prints what is written, and shows its progress.
pub(crate) fn show_graph(work: GraphWork<'_>) -> Box<dyn Fn(u64)> {
    match work {
        GraphWork::Waiting { cache } => {
            say!(
                "waiting for another process, which is writing a graph into {}",
                cache.display()
            );
            Box::new(|_| ())
        }
        GraphWork::Writing { path, n_bytes } => {
            say!(
                "writing the teacher's graph to {}, {}",
                path.display(),
                BinaryBytes(n_bytes)
            );
            let display = Display::new(n_bytes, BYTES);
            Box::new(move |n_written| match n_written == n_bytes {
                true => display.finish(),
                false => display.at(n_written),
            })
        }
    }
}
