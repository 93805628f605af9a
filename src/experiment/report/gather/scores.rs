//! Scores of a label set or of a selection, and what was kept of them.

use super::selection::SelectionRows;
use crate::experiment::report::error::ReportError;
use crate::shards::{LabelSet, Row, ShardReader};
use crate::signals::Histogram;

/// Bars of the histogram.
const N_BARS: usize = 60;
/// Share of the values that may lie outside of the axis on either side.
const OUTSIDE: f64 = 0.002;

/// One sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub(crate) seq_id: u64,
    /// `None` where no position qualified.
    pub(crate) score: Option<f64>,
    /// `None` where there is no selection.
    pub(crate) is_kept: Option<bool>,
}

/// A histogram with what was kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ScoreBins {
    /// Of what.
    pub(crate) name: &'static str,
    /// What the axis says.
    pub(crate) axis: &'static str,
    /// Equally wide, one after the other.
    pub(crate) bars: Vec<ScoreBar>,
    pub(crate) n_rows: u64,
    /// `None` where there is no selection.
    pub(crate) n_kept: Option<u64>,
    /// Sequences without a score.
    pub(crate) n_without: u64,
    /// Sequences outside of the axis.
    pub(crate) n_outside: u64,
}

/// One bar.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct ScoreBar {
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) n_rows: u64,
    pub(crate) n_kept: u64,
}

/// Every finished sequence of `set` with the score that it was selected by, which without one in
/// the selection is `score_salt`.
pub(crate) fn scored_sequences(
    set: &LabelSet,
    selection: Option<&SelectionRows>,
) -> Result<Vec<Scored>, ReportError> {
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
        // What a selection does not list it does not keep.
        is_kept: selection.map(|_| listed.is_some_and(|listed| listed.0)),
    }
}

/// The histogram; `None` where nothing has a score. `own_scores`: they are the selection's.
pub(crate) fn score_bins(scored: &[Scored], own_scores: bool) -> Option<ScoreBins> {
    let score = |row: &Scored| row.score.filter(|score| score.is_finite());
    let mut sorted: Vec<f64> = scored.iter().filter_map(score).collect();
    sorted.sort_by(f64::total_cmp);
    let n_far = (OUTSIDE * sorted.len() as f64) as usize;
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
