//! A selection on a terminal.

use crate::page::grouped;
use crate::select::{
    DocumentExample, DocumentSummary, ScoreBar, ScoreHistogram, ScoreSummary, Summary,
};
use crate::visible::printable;
use anstyle::Style;

/// Number of bars of the histogram.
const N_BARS: usize = 20;
/// Cells next to a bar, for its bounds and counts.
const N_LABEL_CELLS: usize = 44;

/// The selection as text; `width` is the terminal's, in cells.
pub fn render_selection(summary: &Summary, width: usize) -> String {
    let mut lines = count_lines(summary);
    let score = summary.policy.score;
    lines.extend(score_lines(&summary.scores, score.name(), score.unit()));
    lines.extend(bar_lines(&summary.scores.bars(N_BARS), width));
    lines.join("\n") + "\n"
}

/// The selection of documents as text; `width` is the terminal's, in cells.
pub fn render_document_selection(summary: &DocumentSummary, width: usize) -> String {
    let score = summary.policy.score;
    let mut lines = kept_lines(
        "documents",
        (summary.n_kept, summary.n_documents),
        (summary.n_tokens_kept, summary.n_tokens),
    );
    if !summary.sources.is_empty() {
        let n_kept = summary.sources.iter().filter(|s| s.n_kept > 0).count();
        lines.push(format!(
            "sources {} of {}",
            grouped(n_kept as u64),
            grouped(summary.sources.len() as u64)
        ));
    }
    let reasons = summary.left_out.map(|left_out| left_out.reasons());
    let n_unexplained = match &reasons {
        None => summary.n_null,
        Some(_) => 0,
    };
    let reasons = reasons.into_iter().flatten();
    lines.extend(reasons.map(|(n, what)| format!("never   {} {what}", grouped(n))));
    lines.extend(never_lines(
        score.name(),
        n_unexplained,
        summary.n_below_floor,
    ));
    let note = summary.spelling.and_then(|spelling| spelling.note());
    lines.extend(note.map(|note| format!("note    {note}")));
    lines.extend(score_lines(&summary.scores, score.name(), score.unit()));
    lines.extend(bar_lines(&summary.scores.bars(N_BARS), width));
    for (name, examples) in [("lowest", &summary.lowest), ("highest", &summary.highest)] {
        lines.push(String::new());
        lines.push(name.to_owned());
        lines.extend(examples.iter().map(example_line));
    }
    lines.join("\n") + "\n"
}

/// A document with its score, index, and id or source if known.
fn example_line(example: &DocumentExample) -> String {
    let mark = if example.kept { "█" } else { "░" };
    let mut line = format!("{:>9.3}  {mark} {}", example.score, example.doc_index);
    if let Some(id) = &example.id {
        line += &format!("  {}", printable(id));
    }
    if let (Some(source), Some(record)) = (&example.source, example.record) {
        line += &format!("  {}:{record}", printable(source));
    }
    line
}

fn count_lines(summary: &Summary) -> Vec<String> {
    let mut lines = kept_lines(
        "sequences",
        (summary.n_kept, summary.n_rows),
        (summary.n_tokens_kept, summary.n_tokens),
    );
    lines.extend(never_lines(
        summary.policy.score.name(),
        summary.n_null,
        summary.n_below_floor,
    ));
    lines
}

/// How many `what` and how many tokens were kept.
fn kept_lines(what: &str, rows: (u64, u64), tokens: (u64, u64)) -> Vec<String> {
    let share = |(part, whole): (u64, u64)| 100.0 * part as f64 / whole.max(1) as f64;
    vec![
        format!(
            "kept    {} of {} {what} ({:.1}%)",
            grouped(rows.0),
            grouped(rows.1),
            share(rows)
        ),
        format!(
            "tokens  {} of {} ({:.1}%)",
            grouped(tokens.0),
            grouped(tokens.1),
            share(tokens)
        ),
    ]
}

/// What could not be kept, and why.
fn never_lines(score: &str, n_null: u64, n_below_floor: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for (n, what) in [
        (n_null, format!("have no {score}")),
        (
            n_below_floor,
            "are below the floor on the learnable fraction".to_owned(),
        ),
    ] {
        if n > 0 {
            lines.push(format!("never   {} {what}", grouped(n)));
        }
    }
    lines
}

fn score_lines(scores: &ScoreHistogram, name: &str, unit: &str) -> Vec<String> {
    let bold = Style::new().bold();
    let title = format!("{name}, {unit}");
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
    lines.extend(scores.kept().map(|s| line("kept", &s)));
    lines.extend(scores.dropped().map(|s| line("dropped", &s)));
    lines.push(String::new());
    lines
}

/// One line per bar: the kept part filled, the dropped part hatched.
fn bar_lines(bars: &[ScoreBar], width: usize) -> Vec<String> {
    let n_cells = width.saturating_sub(N_LABEL_CELLS).max(8) as f64;
    let max = bars.iter().map(|bar| bar.n_kept + bar.n_dropped).max();
    let max = max.unwrap_or(0).max(1) as f64;
    let cells = |n: u64| match n {
        0 => 0,
        // Rounding up keeps small bars visible.
        n => (n as f64 / max * n_cells).ceil() as usize,
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
