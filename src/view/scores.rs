//! Scores under the names of their columns.

use crate::signals::Scores;

/// Number of scores of a row.
pub(super) const N_SCORES: usize = 7;

/// Column names and values, in the order of the shard's columns.
pub(super) fn named_scores(scores: &Scores) -> [(&'static str, Option<f64>); N_SCORES] {
    let by_nll = |score: f64| scores.has_nll().then_some(score);
    [
        ("score_salt", scores.salt),
        ("score_salt_masked", by_nll(scores.salt_masked)),
        ("score_mean_nll", by_nll(scores.mean_nll)),
        ("score_median_nll", by_nll(scores.median_nll)),
        ("score_learnable_fraction", Some(scores.learnable_fraction)),
        ("score_mean_entropy", Some(scores.mean_entropy)),
        ("score_mean_topk_mass", Some(scores.mean_topk_mass)),
    ]
}

/// Whether the score is a fraction in `[0, 1]`; all others are in nats.
pub(super) fn is_share(name: &str) -> bool {
    matches!(name, "score_learnable_fraction" | "score_mean_topk_mass")
}
