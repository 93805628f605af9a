//! Distributions of signals and scores, as figures and as a table.

use super::histogram::{Part, StackedBar, panel};
use crate::bounds::TeacherFigures;
use crate::figure::{Entry, Kind, Paint, Panel, Picture, Unit};
use crate::page::{Data, Figure, cells, escape, fixed, grouped, or_empty, percent, table};
use crate::view::histogram::Bar;
use crate::view::stats::{Distribution, LabelStats};

/// Signals over all positions.
pub(super) fn positions_figure(stats: &LabelStats, teacher: &TeacherFigures) -> Option<Figure> {
    let boundaries = |name: &str| match name {
        "target_nll" => teacher
            .nll_buckets
            .iter()
            .filter_map(|bucket| bucket.below)
            .collect(),
        "entropy" => teacher
            .entropy_buckets
            .iter()
            .filter_map(|bucket| bucket.below)
            .collect(),
        _ => Vec::new(),
    };
    let legend = match teacher.nll_buckets.is_empty() {
        true => Vec::new(),
        false => vec![Entry::new(Kind::Dashes, Paint::Ink, "terciles")],
    };
    (!stats.positions.is_empty()).then(|| Figure {
        name: "positions",
        label: "Histograms of what the labels store for each position".to_owned(),
        picture: picture(legend, &stats.positions, boundaries),
        shows: "Percent of the positions by the NLL of the target, the teacher\u{2019}s entropy, the probability outside the \
            stored ids and the number of distinct sampled ids, as far as the labels have them. Dashed lines divide \
            the positions into terciles."
            .to_owned(),
        caveats: "The far tail: the last bar includes everything past it, one position in 500 at most. Positions of a \
            sequence are correlated, not independent samples."
            .to_owned(),
        data: data(&stats.positions),
    })
}

/// Scores over all sequences.
pub(super) fn sequences_figure(stats: &LabelStats) -> Option<Figure> {
    (!stats.scores.is_empty()).then(|| Figure {
        name: "sequences",
        label: "Histograms of the scores of the sequences".to_owned(),
        picture: picture(Vec::new(), &stats.scores, |_| Vec::new()),
        shows: "Percent of the sequences by each of their scores: medians and means over the positions of a sequence."
            .to_owned(),
        caveats: "Which sequences those are: the coloured text below has some, and saltworks select --preview shows more. \
            A sequence without a score is in no bar."
            .to_owned(),
        data: data(&stats.scores),
    })
}

fn picture(
    legend: Vec<Entry>,
    distributions: &[Distribution],
    boundaries: impl Fn(&str) -> Vec<f64>,
) -> Picture {
    let panels = distributions.iter();
    let panels: Vec<Panel> = panels
        .map(|each| panel_of(each, &boundaries(each.name)))
        .collect();
    Picture::of(legend, panels.chunks(2).map(<[Panel]>::to_vec).collect())
}

fn panel_of(distribution: &Distribution, boundaries: &[f64]) -> Panel {
    let n = distribution.summary.n_values as f64;
    let bar = |bar: &Bar| StackedBar {
        low: bar.low,
        high: bar.high,
        parts: vec![Part(bar.n_values, Paint::Chosen)],
        tip: format!(
            "{} {}: {} ({})",
            short_number(bar.low),
            match bar.is_open {
                true => "and more".to_owned(),
                false => format!("to {}", short_number(bar.high)),
            },
            grouped(bar.n_values),
            percent(bar.n_values as f64 / n)
        ),
    };
    let bars: Vec<StackedBar> = distribution.bars.iter().map(bar).collect();
    let percents = Unit {
        size: n / 100.0,
        suffix: "\u{202f}%",
        ..Unit::plain("")
    };
    panel(
        title(distribution.name).to_owned(),
        unit(distribution),
        percents,
        &bars,
        boundaries,
    )
}

/// Without trailing zeros.
fn short_number(value: f64) -> String {
    let text = fixed(value, 3);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn title(name: &str) -> &str {
    match name {
        "target_nll" => "NLL of the target",
        "entropy" => "Entropy of the teacher",
        "tail_mass" => "Probability outside the stored ids",
        "distinct_draws" => "Distinct ids sampled",
        "score_salt" => "SALT score: median NLL of what is learnable",
        "score_salt_masked" => "SALT score, masked variant",
        "score_mean_nll" => "Mean NLL",
        "score_median_nll" => "Median NLL",
        "score_learnable_fraction" => "Learnable fraction",
        "score_mean_entropy" => "Mean entropy",
        "score_mean_topk_mass" => "Mean probability of the 10 best ids",
        other => other,
    }
}

fn unit(distribution: &Distribution) -> &'static str {
    match distribution.unit {
        "share" => "from 0 to 1",
        unit => unit,
    }
}

fn data(distributions: &[Distribution]) -> Data {
    let mut data = Data::of(&["quantity", "from", "below", "n"]);
    for each in distributions {
        for bar in &each.bars {
            let below = or_empty((!bar.is_open).then_some(bar.high));
            data.add(&[&each.name, &bar.low, &below, &bar.n_values]);
        }
    }
    data
}

/// The same, as a few numbers each.
pub(super) fn summary_table(distributions: &[Distribution]) -> String {
    let row = |each: &Distribution| {
        let summary = &each.summary;
        let numbers = [
            summary.mean,
            summary.min,
            summary.p5,
            summary.p50,
            summary.p95,
            summary.max,
        ];
        let mut row = vec![
            escape(title(each.name)),
            escape(unit(each)),
            grouped(summary.n_values),
        ];
        row.extend(numbers.map(|number| fixed(number, 3)));
        row
    };
    let rows: Vec<Vec<String>> = distributions.iter().map(row).collect();
    let heads = [
        "", "Unit", "Values", "Mean", "Min", "5%", "Median", "95%", "Max",
    ];
    match rows.is_empty() {
        true => String::new(),
        false => table(
            "Means, minima and maxima are exact; quantiles are accurate to the width of a histogram bin.",
            &cells(heads),
            &rows,
            1,
        ),
    }
}

/// Positions by thirds of the NLL (easy, medium, hard) and of the teacher's entropy.
pub(super) fn tercile_table(teacher: &TeacherFigures) -> String {
    let range = |from: f64, below: Option<f64>| match below {
        Some(below) => format!("{} to {}", fixed(from, 2), fixed(below, 2)),
        None => format!("from {}", fixed(from, 2)),
    };
    let by_nll = teacher.nll_buckets.iter().map(|bucket| {
        let nll = fixed(bucket.nll.mean, 3);
        (
            format!("NLL: {}", bucket.name),
            range(bucket.from, bucket.below),
            bucket.n_targets,
            [nll, String::new(), String::new()],
        )
    });
    let by_entropy = teacher.entropy_buckets.iter().map(|bucket| {
        let bounds = &bucket.bounds;
        let numbers =
            [bounds.kl_at_most, bounds.hit_rate, bounds.topk_mass].map(|it| fixed(it.mean, 3));
        (
            format!("Entropy: {}", bucket.name),
            range(bucket.from, bucket.below),
            bucket.n_targets,
            numbers,
        )
    });
    let row = |(name, range, n, numbers): (String, String, u64, [String; 3])| {
        let mut row = vec![escape(&name), escape(&range), grouped(n)];
        row.extend(numbers);
        row
    };
    let rows: Vec<Vec<String>> = by_nll.chain(by_entropy).map(row).collect();
    let heads = [
        "Tercile",
        "Nats",
        "Positions",
        "Mean NLL",
        "Target among the K",
        "Mass of the K",
    ];
    match rows.is_empty() {
        true => String::new(),
        false => table(
            "Thirds of the positions by the NLL of the target, and by the teacher\u{2019}s entropy, which does not know the \
             target. Where fewer targets are among the K than the teacher\u{2019}s mass says, it is overconfident.",
            &cells(heads),
            &rows,
            1,
        ),
    }
}
