//! The scores of a row, checked by themselves and against its lists.

use super::lists::{Checked, NATS_TOLERANCE};
use crate::shards::columns::ScoreId;
use crate::shards::row::Row;
use crate::shards::row_fault::RowFault;

/// Scores are finite and in their valid range; `salt` is null exactly if no position is learnable.
/// If targets may be impossible, all scores by NLL may be infinite together.
pub(super) fn check_scores(row: &Row, impossible_targets: bool) -> Checked {
    let s = &row.scores;
    let has_no_nll = impossible_targets && lacks_nll(row)?;
    for (id, value) in [
        (ScoreId::Salt, s.salt),
        (ScoreId::SaltMasked, Some(s.salt_masked)),
        (ScoreId::MeanNll, Some(s.mean_nll)),
        (ScoreId::MedianNll, Some(s.median_nll)),
        (ScoreId::MeanEntropy, Some(s.mean_entropy)),
        (ScoreId::LearnableFraction, Some(s.learnable_fraction)),
        (ScoreId::MeanTopkMass, Some(s.mean_topk_mass)),
    ] {
        let value = value.filter(|_| !(has_no_nll && id.is_by_nll()));
        check_score(id, value, impossible_targets)?;
    }
    if has_no_nll || s.salt.is_some() == (s.learnable_fraction > 0.0) {
        return Ok(());
    }
    Err(RowFault::Value {
        column: "score_salt",
        idx: 0,
        value: s.salt.unwrap_or(f64::NAN),
        expected: "null exactly if score_learnable_fraction is 0",
    })
}

/// Whether the row has no scores by NLL; they are present or absent together.
fn lacks_nll(row: &Row) -> Result<bool, RowFault> {
    let s = &row.scores;
    let by_nll = [
        ("score_salt_masked", s.salt_masked),
        ("score_mean_nll", s.mean_nll),
        ("score_median_nll", s.median_nll),
    ];
    let lacks = !s.has_nll();
    let differs = |&&(_, value): &&(&str, f64)| (value == f64::INFINITY) != lacks;
    let fault = |column, value| RowFault::Value {
        column,
        idx: 0,
        value,
        expected: "null exactly if the other scores by NLL are",
    };
    match by_nll.iter().find(differs) {
        Some(&(column, value)) => Err(fault(column, value)),
        None => match s.salt.filter(|_| lacks) {
            Some(salt) => Err(fault("score_salt", salt)),
            None => Ok(lacks),
        },
    }
}

/// A score is finite and in its valid range. Only `salt` may be absent, or all scores by NLL if
/// targets may be impossible.
pub(super) fn check_score(id: ScoreId, value: Option<f64>, impossible_targets: bool) -> Checked {
    let (expected, max) = match id {
        ScoreId::LearnableFraction | ScoreId::MeanTopkMass => ("a fraction in [0, 1]", 1.0 + 1e-6),
        _ => ("a finite number of nats, at least 0", f64::INFINITY),
    };
    match value {
        None if id == ScoreId::Salt || (impossible_targets && id.is_by_nll()) => Ok(()),
        value => score(id.name(), value.unwrap_or(f64::NAN), expected, max),
    }
}

fn score(column: &'static str, value: f64, expected: &'static str, max: f64) -> Checked {
    if value.is_finite() && value >= -NATS_TOLERANCE && value <= max {
        return Ok(());
    }
    Err(RowFault::Value {
        column,
        idx: 0,
        value,
        expected,
    })
}

pub(super) fn agrees(
    column: &'static str,
    value: f64,
    other: &'static str,
    expected: f64,
) -> Checked {
    let slack = NATS_TOLERANCE * (1.0 + expected.abs());
    if value == expected || (expected.is_finite() && (value - expected).abs() <= slack) {
        return Ok(());
    }
    Err(RowFault::Disagrees {
        column,
        idx: 0,
        value,
        other,
        expected,
    })
}

/// Means over the stored lists equal the stored scores.
pub(super) fn check_against_positions(row: &Row, has_stats: bool, score_k: u32) -> Checked {
    if row.doc_indices.first() != Some(&row.first_doc_index) {
        return Err(RowFault::Documents {
            what: "first_doc_index is not the first of doc_indices",
        });
    }
    if !has_stats {
        return Ok(());
    }
    let n = f64::from(row.n_targets);
    let s = &row.signals;
    let mean = |list: &[f32]| list.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let is_learnable = |&&rank: &&u16| u32::from(rank) < score_k;
    let n_learnable = s.target_rank_t.iter().filter(is_learnable).count();
    let scores = &row.scores;
    agrees(
        "score_mean_nll",
        scores.mean_nll,
        "target_logprob",
        -mean(&s.target_logprob_t),
    )?;
    agrees(
        "score_mean_entropy",
        scores.mean_entropy,
        "entropy",
        mean(&s.entropy_t),
    )?;
    agrees(
        "score_learnable_fraction",
        scores.learnable_fraction,
        "target_rank",
        n_learnable as f64 / n,
    )
}
