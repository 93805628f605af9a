//! A selection on a terminal.

use crate::page::grouped;
use crate::select::{ScoreBar, ScoreSummary, Summary};
use anstyle::Style;

/// Bars of the histogram.
const N_BARS: usize = 20;
/// Cells around a bar: its bounds and its counts.
const N_CELLS_BESIDE: usize = 44;

/// The selection as text; `width` is that of the terminal, in cells.
pub fn render_selection(summary: &Summary, width: usize) -> String {
    let mut lines = count_lines(summary);
    lines.extend(score_lines(summary));
    lines.extend(bar_lines(&summary.scores.bars(N_BARS), width));
    lines.join("\n") + "\n"
}

fn count_lines(summary: &Summary) -> Vec<String> {
    let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
    let mut lines = vec![
        format!(
            "kept    {} of {} sequences ({:.1}%)",
            grouped(summary.n_kept),
            grouped(summary.n_rows),
            share(summary.n_kept, summary.n_rows)
        ),
        format!(
            "tokens  {} of {} ({:.1}%)",
            grouped(summary.n_tokens_kept),
            grouped(summary.n_tokens),
            share(summary.n_tokens_kept, summary.n_tokens)
        ),
    ];
    let score = summary.policy.score.name();
    for (n, what) in [
        (summary.n_null, format!("have no {score}")),
        (
            summary.n_below_floor,
            "are below the floor on the learnable fraction".to_owned(),
        ),
    ] {
        if n > 0 {
            lines.push(format!("never   {} {what}", grouped(n)));
        }
    }
    lines
}

fn score_lines(summary: &Summary) -> Vec<String> {
    let (bold, score) = (Style::new().bold(), summary.policy.score);
    let title = format!("{}, {}", score.name(), score.unit());
    let heads = format!(
        "{title:<34} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "min", "5%", "median", "95%", "max"
    );
    let line = |name: &str, s: &ScoreSummary| {
        format!(
            "  {name:<32} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3}",
            s.min, s.p5, s.p50, s.p95, s.max
        )
    };
    let mut lines = vec![String::new(), format!("{bold}{heads}{bold:#}")];
    lines.extend(summary.scores.kept().map(|s| line("kept", &s)));
    lines.extend(summary.scores.dropped().map(|s| line("dropped", &s)));
    lines.push(String::new());
    lines
}

/// One line a bar: what is kept of it filled, what is dropped hatched.
fn bar_lines(bars: &[ScoreBar], width: usize) -> Vec<String> {
    let n_cells = width.saturating_sub(N_CELLS_BESIDE).max(8) as f64;
    let greatest = bars.iter().map(|bar| bar.n_kept + bar.n_dropped).max();
    let greatest = greatest.unwrap_or(0).max(1) as f64;
    let cells = |n: u64| match n {
        0 => 0,
        // Rounding up keeps the rare ones visible.
        n => (n as f64 / greatest * n_cells).ceil() as usize,
    };
    let line = |bar: &ScoreBar| {
        let n_all = cells(bar.n_kept + bar.n_dropped);
        let n_kept = cells(bar.n_kept).min(n_all);
        let filled = "█".repeat(n_kept) + &"░".repeat(n_all - n_kept);
        let counts = match (bar.n_kept, bar.n_kept + bar.n_dropped) {
            (_, 0) => String::new(),
            (0, n) => grouped(n),
            (kept, n) => format!("{} of {}", grouped(kept), grouped(n)),
        };
        format!("{:>9.3} to {:>7.3}  {filled} {counts}", bar.low, bar.high)
    };
    let mut lines: Vec<String> = bars.iter().map(line).collect();
    lines.push("                     █ kept  ░ dropped".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_a_bar_is_filled_and_the_rest_hatched() {
        let bar = |n_kept, n_dropped| ScoreBar {
            low: 0.0,
            high: 0.5,
            n_kept,
            n_dropped,
        };
        let lines = bar_lines(&[bar(0, 4), bar(4, 4), bar(1000, 0), bar(0, 0)], 52);
        assert!(lines[0].ends_with("  ░ 4"), "{}", lines[0]);
        assert!(lines[1].ends_with("  █ 4 of 8"), "{}", lines[1]);
        assert!(
            lines[2].ends_with("  ████████ 1,000 of 1,000"),
            "{}",
            lines[2]
        );
        assert_eq!(lines[3].trim_end(), "    0.000 to   0.500");
    }
}
