//! A row on a terminal. Colours are ANSI sequences; a writer that strips them leaves plain text.

use super::pieces::Span;
use super::row::{RowView, TokenView};
use super::surprise::{SURPRISE_LEGEND, Surprise};
use crate::visible::printable;
use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const TOKEN_CELLS: usize = 16;
/// Ranks count from 0, as in the column `target_rank` and in the report.
const RANK_LEGEND: &str = "rank: ids that the teacher ranks above the token, from 0";

/// A row as text: a heading, its scores, its text coloured by surprise, and a table of tokens. `width` is the
/// terminal's, in cells.
pub fn render_row(view: &RowView, spans: &[Span], width: usize) -> String {
    let mut lines = vec![heading(view), String::new()];
    lines.extend(score_lines(view));
    lines.extend([String::new(), coloured(spans), String::new(), legend()]);
    if !view.tokens.is_empty() {
        let columns = Columns::of(view, width);
        lines.extend([
            String::new(),
            RANK_LEGEND.to_owned(),
            table_heading(&columns),
        ]);
        let token_lines = view.tokens.iter().map(|token| token_line(token, &columns));
        lines.extend(token_lines);
    }
    lines.join("\n") + "\n"
}

fn heading(view: &RowView) -> String {
    let documents: Vec<String> = view
        .documents
        .iter()
        .map(|start| format!("{} at {}", start.doc_index, start.offset))
        .collect();
    let bold = Style::new().bold();
    format!(
        "{bold}sequence {}{bold:#}: {} targets, document {}",
        view.seq_id,
        view.n_targets,
        documents.join(", ")
    )
}

fn score_lines(view: &RowView) -> Vec<String> {
    let value =
        |score: &Option<f64>| score.map_or("none".to_owned(), |score| format!("{score:.4}"));
    view.scores
        .iter()
        .map(|(name, score)| format!("  {name:<26}{:>10}", value(score)))
        .collect()
}

fn coloured(spans: &[Span]) -> String {
    spans
        .iter()
        .map(|span| paint(&span.text, span.surprise.style()))
        .collect()
}

fn paint(text: &str, style: Style) -> String {
    format!("{style}{text}{style:#}")
}

fn legend() -> String {
    let entries: Vec<String> = SURPRISE_LEGEND
        .iter()
        .map(|(step, meaning)| paint(meaning, step.style()))
        .collect();
    format!("surprise: {}", entries.join("  "))
}

/// Cells available for each list at the end of a token's line; 0 for a list that the set does not have.
struct Columns {
    alternatives: usize,
    draws: usize,
}

impl Columns {
    fn of(view: &RowView, width: usize) -> Self {
        // Everything before the lists has the same width on every line.
        let n_cells = width.saturating_sub(6 + 2 + TOKEN_CELLS + 3 + 8 + 6 + 8);
        let has_draws = view.tokens.iter().any(|token| !token.draws.is_empty());
        let has_best = view.tokens.iter().any(|t| !t.alternatives.is_empty());
        let draws = match (has_draws, has_best) {
            (false, _) => 0,
            (true, false) => n_cells,
            (true, true) => n_cells / 2,
        };
        Self {
            alternatives: n_cells - draws,
            draws,
        }
    }
}

fn table_heading(columns: &Columns) -> String {
    let dimmed = Style::new().dimmed();
    let mut heads = format!(
        "{:>6}  {:<TOKEN_CELLS$} {:>8} {:>6} {:>8}",
        "offset", "token", "prob", "rank", "entropy"
    );
    if columns.alternatives > 0 || columns.draws == 0 {
        heads += &format!("{:<1$}", "  the teacher's best", columns.alternatives);
    }
    if columns.draws > 0 {
        heads += "  samples";
    }
    paint(heads.trim_end(), dimmed)
}

fn token_line(token: &TokenView, columns: &Columns) -> String {
    let style = Surprise::of(token.logprob).style();
    let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let line = format!(
        "{:>6}  {} {:>8} {:>6} {:>8}",
        token.offset,
        paint(&padded(&visible(&token.text)), style),
        known(token.prob.map(probability)),
        known(token.rank.map(|rank| rank.to_string())),
        known(token.entropy.map(|entropy| format!("{entropy:.3}"))),
    );
    let best = token.alternatives.iter();
    let best = within(
        best.map(|each| format!("  {} {}", visible(&each.text), probability(each.prob))),
        columns.alternatives,
    );
    let drawn = token.draws.iter();
    let drawn = within(
        drawn.map(|each| format!("  {} x{}", visible(&each.text), each.count)),
        columns.draws,
    );
    if drawn.is_empty() {
        return line + &best;
    }
    line + &best + &" ".repeat(columns.alternatives.saturating_sub(best.width())) + &drawn
}

/// As many whole entries as fit.
fn within(entries: impl Iterator<Item = String>, n_cells: usize) -> String {
    let mut shown = String::new();
    for entry in entries {
        if shown.width() + entry.width() > n_cells {
            break;
        }
        shown.push_str(&entry);
    }
    shown
}

/// Spaces show as dots, and characters that would move the cursor are escaped.
fn visible(text: &str) -> String {
    printable(text).replace(' ', "·")
}

/// `text` in exactly [`TOKEN_CELLS`] cells; a longer one is cut and ends in an ellipsis.
fn padded(text: &str) -> String {
    let mut cut = text.to_owned();
    if cut.width() > TOKEN_CELLS {
        while cut.width() > TOKEN_CELLS - 1 {
            cut.pop();
        }
        cut.push('…');
    }
    let n_missing = TOKEN_CELLS.saturating_sub(cut.chars().filter_map(char::width).sum());
    cut + &" ".repeat(n_missing)
}

/// Four decimals, or one digit and an exponent if those would all be zero.
fn probability(prob: f32) -> String {
    if prob >= 0.000_05 || prob == 0.0 {
        format!("{prob:.4}")
    } else {
        format!("{prob:.0e}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::{sample_draws, sample_row, with_names};
    use super::super::row::{coloured_text, describe_row};
    use super::*;
    use crate::shards::Row;

    fn plain(width: usize) -> String {
        let rendered = with_names(|names| {
            let view = describe_row(&sample_row(), 0..3, 2, names);
            render_row(&view, &coloured_text(&sample_row(), names), width)
        });
        anstream::adapter::strip_str(&rendered).to_string()
    }

    #[test]
    fn a_row_reads_as_text_scores_and_a_table() {
        let shown = plain(100);
        assert!(
            shown.starts_with("sequence 7: 2 targets, document 3 at 0, 4 at 2\n"),
            "{shown}"
        );
        assert!(
            shown.contains("score_salt                      none"),
            "{shown}"
        );
        assert!(shown.contains("\nthe dorn\n"), "{shown}");
        assert!(
            shown.contains(
                "     1  ·dorn              0.6065      0    0.750  ·dorn 0.6065  the 0.2231"
            ),
            "{shown}"
        );
        assert!(
            shown.contains("     2  \\n                 0.0000      9    2.000"),
            "{shown}"
        );
    }

    #[test]
    fn draws_stand_beside_the_best_or_in_their_place() {
        let mut row = sample_row();
        let draws = sample_draws();
        (row.signals.sampled_ids, row.signals.sampled_counts) =
            (draws.sampled_ids, draws.sampled_counts);
        row.signals.sample_offsets = draws.sample_offsets;
        let shown = |row: &Row, width| {
            let rendered = with_names(|names| {
                let view = describe_row(row, 0..3, 5, names);
                render_row(&view, &coloured_text(row, names), width)
            });
            anstream::adapter::strip_str(&rendered).to_string()
        };
        let both = shown(&row, 109);
        assert!(
            both.contains("  the teacher's best            samples\n"),
            "{both}"
        );
        assert!(
            both.contains("  ·dorn 0.6065  the 0.2231      ·dorn x6  the x4\n"),
            "{both}"
        );
        row.signals.topk_ids_tk.clear();
        row.signals.topk_logprobs_tk.clear();
        let alone = shown(&row, 109);
        assert!(alone.contains(" entropy  samples\n"), "{alone}");
        assert!(
            alone.contains("   2.000  \\n x5  the x3  ·dorn x2\n"),
            "{alone}"
        );
        assert!(shown(&row, 60).lines().all(|line| line.width() <= 60));
    }

    #[test]
    fn a_narrow_terminal_shows_fewer_alternatives() {
        let line = |width| {
            plain(width)
                .lines()
                .find(|line| line.starts_with("     1"))
                .unwrap()
                .to_owned()
        };
        assert!(line(100).contains("the 0.2231"));
        assert!(!line(70).contains("the 0.2231"));
        assert!(line(70).width() <= 70);
    }

    #[test]
    fn long_and_wide_tokens_keep_the_columns() {
        assert_eq!(padded("abc").width(), TOKEN_CELLS);
        assert_eq!(padded("漢字漢字漢字漢字漢字").width(), TOKEN_CELLS);
        assert_eq!(padded("abcdefghijklmnopqrstuvw"), "abcdefghijklmno…");
    }

    #[test]
    fn small_probabilities_keep_a_digit() {
        assert_eq!(probability(0.25), "0.2500");
        assert_eq!(probability(0.000_002), "2e-6");
        assert_eq!(probability(0.0), "0.0000");
    }
}
