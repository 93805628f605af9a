//! A row on a terminal. Colours are ANSI sequences; a writer that strips them leaves plain text.

use super::pieces::{Span, printable};
use super::row::{RowView, TokenView};
use super::surprise::{SURPRISE_LEGEND, Surprise};
use anstyle::Style;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

const TOKEN_CELLS: usize = 16;

/// A row as text: what it is, its scores, its text coloured by surprise, and a table of tokens.
/// `width` is that of the terminal, in cells.
pub fn render_row(view: &RowView, spans: &[Span], width: usize) -> String {
    let mut lines = vec![heading(view), String::new()];
    lines.extend(score_lines(view));
    lines.extend([String::new(), coloured(spans), String::new(), legend()]);
    if !view.tokens.is_empty() {
        lines.extend([String::new(), table_heading()]);
        lines.extend(view.tokens.iter().map(|token| token_line(token, width)));
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

fn table_heading() -> String {
    let dimmed = Style::new().dimmed();
    let heads = format!(
        "{:>6}  {:<TOKEN_CELLS$} {:>8} {:>6} {:>8}  the teacher's best",
        "offset", "token", "prob", "rank", "entropy"
    );
    paint(&heads, dimmed)
}

fn token_line(token: &TokenView, width: usize) -> String {
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
    // Everything before the alternatives takes the same cells on every line.
    let n_cells_left = width.saturating_sub(6 + 2 + TOKEN_CELLS + 3 + 8 + 6 + 8);
    line + &alternatives_within(token, n_cells_left)
}

/// As many alternatives as fit whole.
fn alternatives_within(token: &TokenView, n_cells: usize) -> String {
    let mut shown = String::new();
    for alternative in &token.alternatives {
        let entry = format!(
            "  {} {}",
            visible(&alternative.text),
            probability(alternative.prob)
        );
        if shown.width() + entry.width() > n_cells {
            break;
        }
        shown.push_str(&entry);
    }
    shown
}

/// Spaces show as dots, and nothing moves the cursor.
fn visible(text: &str) -> String {
    printable(text).replace(' ', "·")
}

/// `text` in exactly [`TOKEN_CELLS`] cells; what is too long ends in an ellipsis.
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

/// Four decimals, or one digit and an exponent where they would all be zero.
fn probability(prob: f32) -> String {
    if prob >= 0.000_05 || prob == 0.0 {
        format!("{prob:.4}")
    } else {
        format!("{prob:.0e}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::{sample_row, with_names};
    use super::super::row::{coloured_text, describe_row};
    use super::*;

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
