//! Progress of training: a bar on a terminal, one JSON line every few seconds otherwise.

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use saltworks::train::run::Snapshot;
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
        Self {
            bar: std::io::stderr().is_terminal().then(terminal_bar),
            last_line: Mutex::new(Instant::now()),
        }
    }

    pub(crate) fn show(&self, snapshot: &Snapshot) {
        match &self.bar {
            Some(bar) if snapshot.is_last() => bar.finish_and_clear(),
            Some(bar) => {
                bar.set_length(snapshot.n_steps);
                bar.set_position(snapshot.step);
                bar.set_message(describe(snapshot));
            }
            None => self.show_line(snapshot),
        }
    }

    /// Says something between two steps without breaking the bar.
    pub(crate) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| anstream::eprintln!("{text}")),
            None => anstream::eprintln!("{text}"),
        }
    }

    fn show_line(&self, snapshot: &Snapshot) {
        let mut last_line = self
            .last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !snapshot.is_last() && last_line.elapsed() < LINE_INTERVAL {
            return;
        }
        *last_line = Instant::now();
        if let Ok(line) = serde_json::to_string(snapshot) {
            anstream::eprintln!("{line}");
        }
    }
}

fn terminal_bar() -> ProgressBar {
    let template = "{bar:32} {percent:>3}% step {human_pos}/{human_len}  {msg}";
    let style = ProgressStyle::with_template(template).expect("the template is a constant");
    ProgressBar::new(0).with_style(style)
}

fn describe(snapshot: &Snapshot) -> String {
    let left = snapshot.eta_s.map_or_else(
        || "?".into(),
        |seconds| HumanDuration(Duration::from_secs_f64(seconds)).to_string(),
    );
    format!(
        "loss {:.4}  {:.0} tokens/s  {left} left  {}",
        snapshot.loss, snapshot.tokens_per_s, snapshot.stage
    )
}
