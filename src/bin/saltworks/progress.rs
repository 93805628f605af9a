//! Progress of labelling: a bar on a terminal, one JSON line every few seconds otherwise.

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use saltworks::label::Snapshot;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two JSON lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows snapshots on standard error.
pub(crate) struct ProgressDisplay {
    bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

impl ProgressDisplay {
    pub(crate) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(terminal_bar);
        Self {
            bar,
            last_line: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn show(&self, snapshot: &Snapshot) {
        let is_last = snapshot.event == "labelled";
        match &self.bar {
            Some(bar) if is_last => bar.finish_and_clear(),
            Some(bar) => {
                bar.set_length(snapshot.tokens_total);
                bar.set_position(snapshot.tokens);
                bar.set_message(describe(snapshot));
            }
            None => self.show_line(snapshot, is_last),
        }
    }

    fn show_line(&self, snapshot: &Snapshot, is_last: bool) {
        let mut last_line = self
            .last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !is_last && last_line.elapsed() < LINE_INTERVAL {
            return;
        }
        *last_line = Instant::now();
        if let Ok(line) = serde_json::to_string(snapshot) {
            anstream::eprintln!("{line}");
        }
    }
}

fn terminal_bar() -> ProgressBar {
    let template = "{bar:32} {percent:>3}% {human_pos}/{human_len} tokens  {msg}";
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    ProgressBar::new(0).with_style(style)
}

fn describe(snapshot: &Snapshot) -> String {
    let left = snapshot.eta_s.map_or_else(
        || "?".into(),
        |seconds| HumanDuration(Duration::from_secs_f64(seconds)).to_string(),
    );
    let size = snapshot
        .bytes_per_token
        .map_or_else(String::new, |bytes| format!("  {bytes:.1} B/token"));
    format!(
        "{:.0} tokens/s  {left} left{size}  shard {}/{}",
        snapshot.tokens_per_s, snapshot.shards, snapshot.shards_total
    )
}
