//! Histograms in Unicode blocks.

use super::histogram::Bar;

const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Cells next to a bar, for its bounds and percentage.
const N_LABEL_CELLS: usize = 31;

/// One line per bar; the longest fills `width` cells together with its labels.
///
/// ```text
///    0.00 to    0.50  ██████████████  41.2%
/// ```
pub fn bar_lines(bars: &[Bar], width: usize) -> Vec<String> {
    let n_cells = width.saturating_sub(N_LABEL_CELLS).max(8);
    let total = total_of(bars);
    let max = max_of(bars);
    let line = |bar: &Bar| {
        let blocks = block(bar.n_values as f64 / max, n_cells);
        let share = percent(bar.n_values as f64 / total);
        format!("{}  {blocks} {share}", bounds(bar))
    };
    bars.iter().map(line).collect()
}

/// The whole histogram in one cell per bar; an empty bar is a blank.
pub fn sparkline(bars: &[Bar]) -> String {
    let max = max_of(bars);
    let cell = |bar: &Bar| match bar.n_values {
        0 => ' ',
        // Rounding up keeps small bars visible.
        n => LEVELS[(n as f64 / max * 8.0).ceil() as usize - 1],
    };
    bars.iter().map(cell).collect()
}

/// A bar of the fraction `share` of `n_cells`, to an eighth of a cell.
fn block(share: f64, n_cells: usize) -> String {
    let n_eighths = (share * n_cells as f64 * 8.0).round() as usize;
    let (n_full, rest) = (n_eighths / 8, n_eighths % 8);
    "█".repeat(n_full) + EIGHTHS[rest]
}

fn bounds(bar: &Bar) -> String {
    let low = number(bar.low);
    if bar.is_open {
        format!("{low:>9} and more ")
    } else {
        format!("{low:>9} to {:>7}", number(bar.high))
    }
}

/// Enough decimals to tell neighbouring bars apart.
fn number(value: f64) -> String {
    format!("{value:.3}")
}

fn percent(share: f64) -> String {
    match share {
        0.0 => String::new(),
        share if share < 0.0005 => "<0.1%".to_owned(),
        share => format!("{:.1}%", share * 100.0),
    }
}

fn total_of(bars: &[Bar]) -> f64 {
    bars.iter().map(|bar| bar.n_values).sum::<u64>().max(1) as f64
}

fn max_of(bars: &[Bar]) -> f64 {
    bars.iter()
        .map(|bar| bar.n_values)
        .max()
        .unwrap_or(0)
        .max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    fn bar(n_values: u64, is_open: bool) -> Bar {
        Bar {
            low: 0.5,
            high: 1.0,
            n_values,
            is_open,
        }
    }

    #[test]
    fn a_bar_is_as_long_as_its_share_to_an_eighth() {
        assert_eq!(block(1.0, 4), "████");
        assert_eq!(block(0.5, 3), "█▌");
        assert_eq!(block(0.0, 4), "");
    }

    #[test]
    fn lines_fit_the_width_that_was_asked_for() {
        let bars = [
            bar(1_000, false),
            bar(10, false),
            bar(0, false),
            bar(1, true),
        ];
        for width in [60, 80, 200] {
            for line in bar_lines(&bars, width) {
                assert!(line.width() <= width, "{width}: {} {line}", line.width());
            }
        }
    }

    #[test]
    fn a_rare_value_is_seen_and_an_empty_bar_is_blank() {
        let bars = [
            bar(1_000, false),
            bar(1, false),
            bar(0, false),
            bar(500, false),
        ];
        assert_eq!(sparkline(&bars), "█▁ ▄");
        assert!(
            bar_lines(&bars, 80)[1].ends_with("<0.1%") || bar_lines(&bars, 80)[1].ends_with("0.1%")
        );
    }
}
