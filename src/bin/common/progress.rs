//! Progress on standard error: a bar, lines of text, JSON lines, or nothing.

use super::print::{self, say};
use clap::ValueEnum;
use indicatif::{
    HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle,
};
use serde::Serialize;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Time between two lines.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Unit of what is counted in bytes.
pub(crate) const BYTES: &str = "bytes";

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// A bar, on a terminal; plain lines elsewhere.
    Bar,
    /// A line of text every five seconds.
    Plain,
    /// A JSON object every five seconds, one per line.
    Json,
    /// Nothing.
    None,
}

static STYLE: OnceLock<Style> = OnceLock::new();

/// What every command prints on standard error.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// How progress is shown on standard error [default: bar on a terminal, else plain]
    #[arg(long, global = true, value_name = "STYLE", help_heading = "Messages")]
    progress: Option<Style>,
    /// Print only results and errors, no progress or notes
    #[arg(long, short, global = true, help_heading = "Messages")]
    quiet: bool,
}

impl Options {
    /// Takes effect for the whole process.
    pub(crate) fn apply(self) {
        let style = match (self.progress, self.quiet) {
            (Some(style), _) => style,
            (None, true) => Style::None,
            (None, false) => Style::Bar,
        };
        let style = match style {
            Style::Bar if !std::io::stderr().is_terminal() => Style::Plain,
            style => style,
        };
        STYLE.get_or_init(|| style);
        if self.quiet {
            print::be_quiet();
        }
    }

    /// The same for a command that this one runs.
    #[allow(dead_code, reason = "each binary uses its part")]
    pub(crate) fn to_arguments(self) -> Vec<String> {
        let style = self.progress.and_then(|style| style.to_possible_value());
        let style = style.map(|value| format!("--progress={}", value.get_name()));
        let quiet = self.quiet.then(|| "--quiet".to_owned());
        style.into_iter().chain(quiet).collect()
    }
}

/// The display of progress, for any thread.
pub(crate) struct Display {
    style: Style,
    unit: &'static str,
    /// Hidden if no bar is shown.
    bar: ProgressBar,
    began: Instant,
    last_line: Mutex<LastLine>,
}

/// The last printed line, which is not repeated, and its time.
struct LastLine {
    at: Instant,
    text: String,
}

/// Progress of work that is only counted.
#[derive(Serialize)]
struct Counted {
    event: &'static str,
    unit: &'static str,
    done: u64,
    total: u64,
    elapsed_s: f64,
    eta_s: f64,
}

impl Display {
    /// Of work of `n_total` units, where that is known already.
    pub(crate) fn new(n_total: u64, unit: &'static str) -> Self {
        let style = *STYLE.get().unwrap_or(&Style::Plain);
        let counts = match unit {
            BYTES => "{bytes}/{total_bytes}".to_owned(),
            _ => format!("{{human_pos}}/{{human_len}} {unit}"),
        };
        let template = format!("{{bar:28}} {{percent:>3}}% {counts}  {{msg}}");
        let target = match style {
            Style::Bar => ProgressDrawTarget::stderr(),
            _ => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(n_total), target);
        let template = ProgressStyle::with_template(&template);
        Display {
            style,
            unit,
            bar: bar.with_style(template.expect("no more than known keys")),
            began: Instant::now(),
            last_line: Mutex::new(LastLine {
                at: Instant::now(),
                text: String::new(),
            }),
        }
    }

    /// Lets `draw` set the bar, or prints a line if one is due: in JSON, what `now` returns. The last
    /// one is always printed and removes the bar.
    pub(crate) fn show<S: Serialize>(
        &self,
        now: impl FnOnce() -> S,
        is_last: bool,
        draw: impl FnOnce(&ProgressBar),
    ) {
        match self.style {
            Style::None => {}
            Style::Bar if is_last => self.finish(),
            Style::Bar => draw(&self.bar),
            Style::Plain | Style::Json if !self.is_time(is_last) => {}
            Style::Plain => {
                draw(&self.bar);
                self.say_if_new(self.line());
            }
            Style::Json => print::json_note(&now()),
        }
    }

    /// Sets the number of finished units.
    pub(crate) fn at(&self, n_done: u64) {
        let left = |bar: &ProgressBar| {
            bar.set_position(n_done);
            bar.set_message(format!("{} left", HumanDuration(bar.eta())));
        };
        self.show(|| self.counted(n_done), false, left);
    }

    /// Prints a line without breaking the bar.
    #[allow(dead_code, reason = "each binary uses its part")]
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| say!("{text}"));
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    /// Seconds since the start.
    #[allow(dead_code, reason = "each binary uses its part")]
    pub(crate) fn seconds(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    fn is_time(&self, is_last: bool) -> bool {
        let mut last_line = self.last_line();
        let is_time = is_last || last_line.at.elapsed() >= LINE_INTERVAL;
        if is_time {
            last_line.at = Instant::now();
        }
        is_time
    }

    fn say_if_new(&self, line: String) {
        let mut last_line = self.last_line();
        if last_line.text != line {
            say!("{line}");
            last_line.text = line;
        }
    }

    fn last_line(&self) -> MutexGuard<'_, LastLine> {
        let last_line = self.last_line.lock();
        last_line.unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, n_done: u64) -> Counted {
        let (n_total, elapsed_s) = (self.bar.length().unwrap_or(0), self.seconds());
        let n_left = n_total.saturating_sub(n_done) as f64;
        Counted {
            event: "progress",
            unit: self.unit,
            done: n_done,
            total: n_total,
            elapsed_s,
            eta_s: elapsed_s * n_left / n_done.max(1) as f64,
        }
    }

    fn line(&self) -> String {
        let (n_done, n_total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let percent = 100.0 * n_done as f64 / n_total.max(1) as f64;
        let counts = match self.unit {
            BYTES => format!("{}/{}", HumanBytes(n_done), HumanBytes(n_total)),
            unit => format!("{}/{} {unit}", HumanCount(n_done), HumanCount(n_total)),
        };
        format!("{percent:>3.0}% {counts}  {}", self.bar.message())
    }
}

/// Time left, in words.
pub(crate) fn time_left(eta_s: Option<f64>) -> String {
    eta_s.map_or_else(
        || "?".into(),
        |seconds| HumanDuration(Duration::from_secs_f64(seconds)).to_string(),
    )
}
