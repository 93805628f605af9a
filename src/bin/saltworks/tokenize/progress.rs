//! How far tokenizing has come: a bar on a terminal, a JSON line every few seconds elsewhere.

use crate::common::print;
use crate::common::progress::{LINE_INTERVAL, terminal_bar};
use indicatif::ProgressBar;
use saltworks::tokens::EncodeProgress;
use std::time::Instant;

const TEMPLATE: &str = "{wide_bar} {bytes}/{total_bytes} {msg} ETA {eta}";

/// Shows progress on stderr.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    pub(crate) fn new(bytes_total: u64) -> Self {
        let bar = terminal_bar(TEMPLATE).inspect(|bar| bar.set_length(bytes_total));
        let now = Instant::now();
        Self {
            bar,
            started: now,
            last_line: now,
        }
    }

    pub(crate) fn show(&mut self, now: &EncodeProgress) {
        let seconds = self.seconds();
        if let Some(bar) = &self.bar {
            bar.set_message(message(now, seconds));
            bar.set_position(now.bytes_read);
        } else if self.last_line.elapsed() >= LINE_INTERVAL {
            self.last_line = Instant::now();
            print::json_note(&json_line(now, seconds));
        }
    }

    /// Takes the bar away; the summary says the rest.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Time since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

fn message(now: &EncodeProgress, seconds: f64) -> String {
    match now.n_tokens {
        0 => format!("{} documents", now.n_documents),
        tokens => format!(
            "{tokens} tokens, {:.0} tokens/s",
            tokens as f64 / seconds.max(1e-9)
        ),
    }
}

fn json_line(now: &EncodeProgress, seconds: f64) -> serde_json::Value {
    let bytes_left = now.bytes_total.saturating_sub(now.bytes_read) as f64;
    let eta = (now.bytes_read > 0).then(|| (seconds * bytes_left / now.bytes_read as f64).round());
    serde_json::json!({
        "event": "progress",
        "bytes_read": now.bytes_read,
        "bytes_total": now.bytes_total,
        "documents": now.n_documents,
        "tokens": now.n_tokens,
        "tokens_per_second": (now.n_tokens as f64 / seconds.max(1e-9)).round(),
        "elapsed_seconds": seconds.round(),
        "eta_seconds": eta,
    })
}
