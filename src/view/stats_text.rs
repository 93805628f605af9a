//! Statistics on a terminal.

use super::draw::{bar_lines, sparkline};
use super::set::{ColumnCost, SetStats};
use super::stats::{Distribution, LabelStats};
use crate::page::grouped;
use crate::shards::DocumentsIndex;
use anstyle::Style;

/// The statistics as text; `width` is the terminal's, in cells.
pub fn render_stats(stats: &SetStats, width: usize) -> String {
    let labels = &stats.labels;
    let mut lines = vec![heading(stats)];
    lines.extend(stats.documents.as_ref().map(documents_line));
    lines.extend(column_lines(stats));
    for distribution in &labels.positions {
        lines.extend(position_lines(distribution, width));
    }
    lines.extend(truncation_lines(labels));
    lines.extend(score_lines(&labels.scores));
    lines.join("\n") + "\n"
}

fn heading(stats: &SetStats) -> String {
    let (n_rows, n_targets) = (
        grouped(stats.labels.n_rows),
        grouped(stats.labels.n_targets),
    );
    let shards = if stats.n_shards_finished == stats.n_shards {
        format!(
            "{} shard{}",
            stats.n_shards,
            if stats.n_shards == 1 { "" } else { "s" }
        )
    } else {
        format!(
            "{} of {} shards, the others are not finished",
            stats.n_shards_finished, stats.n_shards
        )
    };
    let without = match stats.labels.n_without_nll {
        0 => String::new(),
        n => format!(
            "\n{} of the rows have a target with zero probability, and so no NLL scores",
            grouped(n)
        ),
    };
    format!("{n_rows} rows, {n_targets} targets in {shards}{without}")
}

fn documents_line(index: &DocumentsIndex) -> String {
    let n_documents = grouped(index.n_documents);
    let note = index.spelling.and_then(|spelling| spelling.note());
    let note = note.map_or(String::new(), |note| format!("\nnote: {note}"));
    match index.bits_per_byte {
        Some(bits) => format!(
            "{n_documents} documents, {} of them fully labelled: {bits:.4} bits per byte of their text{note}",
            grouped(index.n_whole)
        ),
        None => format!("{n_documents} documents"),
    }
}

pub(super) fn title(text: &str) -> String {
    let bold = Style::new().bold();
    format!("\n{bold}{text}{bold:#}")
}

fn column_lines(stats: &SetStats) -> Vec<String> {
    let line = |name: &str, n_bytes: u64, each: f64| {
        format!("  {name:<36}{:>16}{each:>12.3}", grouped(n_bytes))
    };
    let mut lines = vec![title(&format!(
        "{:<38}{:>16}{:>12}",
        "column", "bytes", "a target"
    ))];
    let column_line = |cost: &ColumnCost| {
        let name = format!("{}/{}", cost.column.file, cost.column.column);
        line(&name, cost.column.n_bytes, cost.bytes_per_target)
    };
    lines.extend(stats.columns.iter().map(column_line));
    let n_bytes = stats.columns.iter().map(|cost| cost.column.n_bytes).sum();
    lines.push(line("all columns", n_bytes, stats.bytes_per_target));
    lines
}

fn position_lines(distribution: &Distribution, width: usize) -> Vec<String> {
    let summary = &distribution.summary;
    let heading = format!(
        "{}: mean {:.4}{}, median {:.3}, 5% {:.3}, 95% {:.3}, max {:.3}",
        distribution.name,
        summary.mean,
        match distribution.unit {
            "share" => String::new(),
            unit => format!(" {unit}"),
        },
        summary.p50,
        summary.p5,
        summary.p95,
        summary.max
    );
    let mut lines = vec![title(&heading)];
    lines.extend(bar_lines(&distribution.bars, width));
    lines
}

fn truncation_lines(stats: &LabelStats) -> Vec<String> {
    let Some(loss) = &stats.truncation else {
        return Vec::new();
    };
    vec![
        title("what truncation to the stored K loses"),
        format!(
            "  mean tail mass                          {:>12.6}",
            loss.mean_tail_mass
        ),
        format!(
            "  mean KL(truncated || teacher), nats     {:>12.6}",
            loss.mean_kl_nats
        ),
    ]
}

fn score_lines(scores: &[Distribution]) -> Vec<String> {
    if scores.is_empty() {
        return Vec::new();
    }
    let heads = format!(
        "{:<26} {:>8} {:>8} {:>8} {:>8} {:>8}  {}",
        "score", "min", "5%", "mean", "95%", "max", "shape"
    );
    let line = |score: &Distribution| {
        let summary = &score.summary;
        format!(
            "{:<26} {:>8.4} {:>8.4} {:>8.4} {:>8.4} {:>8.4}  {}",
            score.name,
            summary.min,
            summary.p5,
            summary.mean,
            summary.p95,
            summary.max,
            sparkline(&score.bars)
        )
    };
    std::iter::once(title(&heads))
        .chain(scores.iter().map(line))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::columns::ColumnBytes;
    use super::super::row::tests::sample_row;
    use super::super::stats::StatsCollector;
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn every_part_is_shown_and_fits_the_width() {
        let mut collector = StatsCollector::default();
        collector.add(&sample_row());
        let column = ColumnBytes {
            file: "positions".to_owned(),
            column: "entropy".to_owned(),
            n_bytes: 1_234,
        };
        let stats = SetStats {
            n_shards: 3,
            n_shards_finished: 1,
            bytes_per_target: 617.0,
            columns: vec![ColumnCost {
                column,
                bytes_per_target: 617.0,
            }],
            documents: None,
            labels: collector.finish(12),
        };
        let rendered = render_stats(&stats, 90);
        let shown = anstream::adapter::strip_str(&rendered).to_string();
        for part in [
            "1 rows, 2 targets in 1 of 3 shards",
            "positions/entropy",
            "1,234",
            "617.000",
            "tail_mass: mean 0.3125",
            "score_mean_nll",
        ] {
            assert!(shown.contains(part), "{part} is missing in\n{shown}");
        }
        assert!(shown.lines().all(|line| line.width() <= 90), "{shown}");
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(15_900_000), "15,900,000");
    }
}
