//! Progress on standard error: a bar on a terminal, one JSON line every few seconds otherwise.

use super::print;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time between two JSON lines.
pub(crate) const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Where progress is shown, by any thread.
pub(crate) struct Display {
    /// On a terminal.
    pub(crate) bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

impl Display {
    /// `template` is of the bar.
    pub(crate) fn new(template: &str) -> Self {
        Self {
            bar: terminal_bar(template),
            last_line: Mutex::new(Instant::now()),
        }
    }

    /// Lets `draw` set the bar, or prints `now` if it is time to; the last of all takes the bar
    /// away, and is printed in any case.
    pub(crate) fn show(
        &self,
        now: &impl Serialize,
        is_last: bool,
        draw: impl FnOnce(&ProgressBar),
    ) {
        match &self.bar {
            Some(bar) if is_last => bar.finish_and_clear(),
            Some(bar) => draw(bar),
            None => self.show_line(now, is_last),
        }
    }

    fn show_line(&self, now: &impl Serialize, is_last: bool) {
        let mut last_line = self
            .last_line
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !is_last && last_line.elapsed() < LINE_INTERVAL {
            return;
        }
        *last_line = Instant::now();
        print::json_note(now);
    }
}

/// A bar, if standard error is a terminal.
pub(crate) fn terminal_bar(template: &str) -> Option<ProgressBar> {
    let style = ProgressStyle::with_template(template).expect("templates are constants");
    let is_terminal = std::io::stderr().is_terminal();
    is_terminal.then(|| ProgressBar::new(0).with_style(style))
}

/// Time left, in words.
pub(crate) fn time_left(eta_s: Option<f64>) -> String {
    eta_s.map_or_else(
        || "?".into(),
        |seconds| HumanDuration(Duration::from_secs_f64(seconds)).to_string(),
    )
}
