//! How far the work is: a bar on a terminal, one JSON line every few seconds otherwise.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Time between two JSON lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What is known at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct Snapshot {
    event: &'static str,
    tokens: u64,
    tokens_total: u64,
    tokens_per_s: f64,
    eta_s: Option<f64>,
    bytes_per_token: Option<f64>,
    shards: u64,
    shards_total: u64,
}

/// Counts predicted tokens, finished shards and their bytes, and shows them on standard error.
#[derive(Debug)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
    /// Targets labelled, those of earlier runs included.
    n_tokens: u64,
    /// Those of earlier runs: they say nothing about speed.
    n_tokens_before: u64,
    n_tokens_total: u64,
    n_shards: u64,
    n_shards_total: u64,
    n_bytes_written: u64,
    n_tokens_written: u64,
}

impl Progress {
    /// One that shows nothing.
    pub(super) fn silent() -> Self {
        let bar = ProgressBar::hidden();
        Self {
            bar: Some(bar),
            ..Self::start(0, 0, 0, 0)
        }
    }

    /// Starts at `n_tokens_before` of `n_tokens_total` targets, `n_shards_before` of `n_shards_total`.
    pub(super) fn start(
        n_tokens_before: u64,
        n_tokens_total: u64,
        n_shards_before: u64,
        n_shards_total: u64,
    ) -> Self {
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| terminal_bar(n_tokens_before, n_tokens_total));
        let now = Instant::now();
        Self {
            bar,
            started: now,
            last_line: now,
            n_tokens: n_tokens_before,
            n_tokens_before,
            n_tokens_total,
            n_shards: n_shards_before,
            n_shards_total,
            n_bytes_written: 0,
            n_tokens_written: 0,
        }
    }

    /// `n_tokens` more targets are labelled.
    pub(super) fn labelled(&mut self, n_tokens: u64) {
        self.n_tokens += n_tokens;
        self.show(false);
    }

    /// A shard of `n_tokens` targets is published, in `n_bytes`.
    pub(super) fn published(&mut self, n_tokens: u64, n_bytes: u64) {
        self.n_shards += 1;
        self.n_tokens_written += n_tokens;
        self.n_bytes_written += n_bytes;
        self.show(false);
    }

    /// Takes the bar away, or prints the last line.
    pub(super) fn finish(&mut self) {
        match &self.bar {
            Some(bar) => bar.finish_and_clear(),
            None => self.show(true),
        }
    }

    /// Shards done, those of earlier runs included.
    pub(super) fn n_shards(&self) -> u64 {
        self.n_shards
    }

    /// Targets a second in this process.
    pub(super) fn tokens_per_s(&self) -> f64 {
        (self.n_tokens - self.n_tokens_before) as f64
            / self.started.elapsed().as_secs_f64().max(1e-9)
    }

    fn show(&mut self, is_last: bool) {
        let snapshot = self.snapshot(is_last);
        if let Some(bar) = &self.bar {
            bar.set_position(self.n_tokens);
            bar.set_message(describe(&snapshot));
        } else if is_last || self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            if let Ok(line) = serde_json::to_string(&snapshot) {
                eprintln!("{line}");
            }
        }
    }

    fn snapshot(&self, is_last: bool) -> Snapshot {
        let tokens_per_s = self.tokens_per_s();
        let n_left = self.n_tokens_total.saturating_sub(self.n_tokens);
        let written = self.n_tokens_written as f64;
        Snapshot {
            event: if is_last { "labelled" } else { "progress" },
            tokens: self.n_tokens,
            tokens_total: self.n_tokens_total,
            tokens_per_s: tenths(tokens_per_s),
            eta_s: (tokens_per_s > 0.0).then(|| tenths(n_left as f64 / tokens_per_s)),
            bytes_per_token: (written > 0.0).then(|| tenths(self.n_bytes_written as f64 / written)),
            shards: self.n_shards,
            shards_total: self.n_shards_total,
        }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn terminal_bar(n_before: u64, n_total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{bar:32} {percent:>3}% {human_pos}/{human_len} tokens  {msg}  {elapsed} elapsed",
    );
    let bar = ProgressBar::new(n_total).with_position(n_before);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn describe(snapshot: &Snapshot) -> String {
    let eta = snapshot.eta_s.map_or_else(
        || "?".into(),
        |s| indicatif::HumanDuration(Duration::from_secs_f64(s)).to_string(),
    );
    let size = snapshot
        .bytes_per_token
        .map_or_else(String::new, |b| format!("  {b:.1} B/token"));
    format!(
        "{:.0} tokens/s  {} left{size}  shard {}/{}",
        snapshot.tokens_per_s, eta, snapshot.shards, snapshot.shards_total
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_runs_count_as_done_but_not_as_speed() {
        let mut progress = Progress::start(900, 1000, 9, 10);
        progress.bar = None;
        progress.started = Instant::now() - Duration::from_secs(10);
        progress.labelled(50);
        progress.published(50, 5000);
        let snapshot = progress.snapshot(false);
        assert_eq!((snapshot.tokens, snapshot.shards), (950, 10));
        assert!(
            (snapshot.tokens_per_s - 5.0).abs() < 0.2,
            "{}",
            snapshot.tokens_per_s
        );
        assert!((snapshot.eta_s.unwrap() - 10.0).abs() < 0.5);
        assert_eq!(snapshot.bytes_per_token, Some(100.0));
    }
}
