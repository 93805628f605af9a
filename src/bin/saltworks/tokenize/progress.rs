//! Progress of tokenizing.

use crate::common::progress::{BYTES, Display};
use saltworks::tokens::EncodeProgress;

/// Shows progress on standard error.
pub(crate) struct Progress(Display);

impl Progress {
    pub(crate) fn new(bytes_total: u64) -> Self {
        Self(Display::new(bytes_total, BYTES))
    }

    pub(crate) fn show(&self, now: &EncodeProgress) {
        let seconds = self.seconds();
        let draw = |bar: &indicatif::ProgressBar| {
            bar.set_position(now.bytes_read);
            bar.set_message(message(now, seconds));
        };
        self.0.show(|| json_line(now, seconds), false, draw);
    }

    /// All text has been read, and `phase` goes on for an unknown time.
    pub(crate) fn show_phase(&self, now: &EncodeProgress, phase: &str) {
        let seconds = self.seconds();
        let draw = |bar: &indicatif::ProgressBar| {
            bar.set_position(now.bytes_read);
            bar.set_message(format!("{}, {phase}", message(now, seconds)));
        };
        let json = || {
            let mut line = json_line(now, seconds);
            line["phase"] = phase.into();
            line["eta_seconds"] = serde_json::Value::Null;
            line
        };
        self.0.show(json, false, draw);
    }

    /// Removes the bar; the summary has the rest.
    pub(crate) fn finish(&self) {
        self.0.finish();
    }

    /// Time since the start.
    pub(crate) fn seconds(&self) -> f64 {
        self.0.seconds()
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
