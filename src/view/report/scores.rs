//! Scores of a label set or a selection, and which sequences were kept.

use super::histogram::{Part, StackedBar, panel};
use super::selection::SelectionRows;
use crate::figure::{Entry, Kind, Paint, Picture, Unit};
use crate::page::{Data, Figure, grouped, or_empty};
use crate::shards::{LabelSet, Row, ShardReader, ShardsError};
use crate::signals::Histogram;

/// Number of bars of the histogram.
const N_BARS: usize = 60;
/// Fraction of the values that may lie outside the axis on either side.
const MAX_OUTSIDE_FRACTION: f64 = 0.002;

/// One sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) seq_id: u64,
    /// `None` if no position qualified.
    pub(crate) score: Option<f64>,
    /// `None` if there is no selection.
    pub(crate) is_kept: Option<bool>,
}

/// A histogram of scores, with the kept part of each bar.
#[derive(Debug, Clone, PartialEq)]
struct ScoreBins {
    /// Name of the score.
    name: &'static str,
    /// Label of the axis.
    axis: &'static str,
    /// Equally wide and adjacent.
    bars: Vec<ScoreBar>,
    n_rows: u64,
    /// `None` if there is no selection.
    n_kept: Option<u64>,
    /// Sequences without a score.
    n_without: u64,
    /// Sequences outside the axis.
    n_outside: u64,
}

/// One bar.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct ScoreBar {
    low: f64,
    high: f64,
    n_rows: u64,
    n_kept: u64,
}

/// Every finished sequence of `set` with the score by which it was selected, or `score_salt` if the selection
/// has no scores.
pub(crate) fn scored_sequences(
    set: &LabelSet,
    selection: Option<&SelectionRows>,
) -> Result<Vec<Scored>, ShardsError> {
    let mut scored = Vec::new();
    for (plan, shard) in set.finished_shards()? {
        for rows in ShardReader::open_scores_checked(&set.dir, plan, shard)? {
            let rows = rows?;
            let joined = rows.iter().map(|row| with_selection(row, selection));
            scored.extend(joined);
        }
    }
    Ok(scored)
}

fn with_selection(row: &Row, selection: Option<&SelectionRows>) -> Scored {
    let listed = selection.and_then(|selection| selection.rows.get(&row.seq_id));
    let own = selection.is_some_and(|selection| selection.has_scores);
    Scored {
        seq_id: row.seq_id,
        score: if own {
            listed.and_then(|listed| listed.1)
        } else {
            row.scores.salt
        },
        // A sequence that the selection does not list is not kept.
        is_kept: selection.map(|_| listed.is_some_and(|listed| listed.0)),
    }
}

/// The histogram; `None` without scores. `own_scores`: the scores are the selection's.
fn score_bins(scored: &[Scored], own_scores: bool) -> Option<ScoreBins> {
    let score = |row: &Scored| row.score.filter(|score| score.is_finite());
    let mut sorted: Vec<f64> = scored.iter().filter_map(score).collect();
    sorted.sort_by(f64::total_cmp);
    let n_far = (MAX_OUTSIDE_FRACTION * sorted.len() as f64) as usize;
    let (low, high) = (*sorted.get(n_far)?, sorted[sorted.len() - 1 - n_far]);
    let high = if high > low { high } else { low + 1e-3 };
    let mut all = Histogram::new(low..high, N_BARS);
    let mut kept = all.clone();
    for (row, score) in scored.iter().filter_map(|row| Some((row, score(row)?))) {
        if (low..=high).contains(&score) {
            all.add(score);
            if row.is_kept == Some(true) {
                kept.add(score);
            }
        }
    }
    let bar = |i| ScoreBar {
        low: all.edge(i),
        high: all.edge(i + 1),
        n_rows: all.within(i..i + 1),
        n_kept: kept.within(i..i + 1),
    };
    let has_selection = scored.iter().any(|row| row.is_kept.is_some());
    let n_kept = scored
        .iter()
        .filter(|row| row.is_kept == Some(true))
        .count() as u64;
    let (name, axis) = match own_scores {
        true => ("score", "score of the selection"),
        false => ("score_salt", "score_salt, nats"),
    };
    Some(ScoreBins {
        name,
        axis,
        bars: (0..N_BARS).map(bar).collect(),
        n_rows: scored.len() as u64,
        n_kept: has_selection.then_some(n_kept),
        n_without: (scored.len() - sorted.len()) as u64,
        n_outside: sorted.len() as u64 - all.n_values(),
    })
}

/// Bars of all sequences, with the kept part at the bottom in another colour; `None` without scores.
/// `own_scores`: the scores are the selection's.
pub(crate) fn score_figure(scored: &[Scored], own_scores: bool) -> Option<Figure> {
    let bins = score_bins(scored, own_scores)?;
    let kept = bins.n_kept.map_or(String::new(), |kept| {
        format!(
            " Shaded: the {} of {} sequences that the selection keeps.",
            grouped(kept),
            grouped(bins.n_rows)
        )
    });
    let meaning = match bins.name {
        "score_salt" => ": the higher, the more challenging among what is learnable",
        _ => "",
    };
    let missing = match bins.n_without {
        0 => String::new(),
        n => format!(" {} sequences have no score and are not drawn.", grouped(n)),
    };
    let far = match bins.n_outside {
        0 => String::new(),
        n => format!(
            " {} lie outside the axis, at most one in 500 on either side.",
            grouped(n)
        ),
    };
    let legend = match bins.n_kept {
        Some(_) => vec![
            Entry::new(Kind::Area, Paint::Chosen, "kept for stage 1"),
            Entry::new(Kind::Area, Paint::Rest, "left out"),
        ],
        None => Vec::new(),
    };
    let has_selection = bins.n_kept.is_some();
    let bars: Vec<StackedBar> = bins
        .bars
        .iter()
        .map(|bar| stacked(bar, has_selection))
        .collect();
    let heading = "Sequences".to_owned();
    let mut data = Data::of(&["from", "to", "sequences", "kept"]);
    for bar in &bins.bars {
        let kept = or_empty(bins.n_kept.map(|_| bar.n_kept));
        data.add(&[&bar.low, &bar.high, &bar.n_rows, &kept]);
    }
    Some(Figure {
        name: "scores",
        label: format!("Histogram of {} over all sequences", bins.name),
        picture: Picture::of(
            legend,
            vec![vec![panel(
                heading,
                bins.axis,
                Unit::counted("", 1.0),
                &bars,
                &[],
            )]],
        ),
        shows: format!(
            "How many sequences have which {}{meaning}.{kept}",
            bins.name
        ),
        caveats: format!("What a sequence says: the coloured text has some of them.{missing}{far}"),
        data,
    })
}

fn stacked(bar: &ScoreBar, has_selection: bool) -> StackedBar {
    let (n_kept, rest, kept_label) = match has_selection {
        true => (
            bar.n_kept,
            Paint::Rest,
            format!(", {} kept", grouped(bar.n_kept)),
        ),
        false => (0, Paint::Chosen, String::new()),
    };
    let (low, high) = (bar.low, bar.high);
    StackedBar {
        low,
        high,
        parts: vec![Part(n_kept, Paint::Chosen), Part(bar.n_rows - n_kept, rest)],
        tip: format!("{low:.2} to {high:.2}: {}{kept_label}", grouped(bar.n_rows)),
    }
}
