//! Selection scores of one sequence, from its positions (SALT eq. 10 and related scores).

use super::types::{SCORE_K, Scores};

/// The inputs of the scores, one value per position, in f64 and unrounded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoreInputs {
    /// `[T]` nats, -log p of the target.
    pub nll_t: Vec<f64>,
    /// `[T]` ids ranked above the target; exact below `SCORE_K`.
    pub target_rank_t: Vec<u32>,
    /// `[T]` nats, entropy of the full softmax.
    pub entropy_t: Vec<f64>,
    /// `[T]` probability of the `SCORE_K` best.
    pub topk_mass_t: Vec<f64>,
}

impl ScoreInputs {
    pub(super) fn append(&mut self, mut other: Self) {
        self.nll_t.append(&mut other.nll_t);
        self.target_rank_t.append(&mut other.target_rank_t);
        self.entropy_t.append(&mut other.entropy_t);
        self.topk_mass_t.append(&mut other.topk_mass_t);
    }
}

/// The scores of a sequence of at least one position. With a target of probability 0 it has no
/// score by NLL: `salt` is absent and the others of that kind are infinite.
pub(super) fn scores(inputs: &ScoreInputs) -> Scores {
    let scores = scores_by_definition(inputs);
    if scores.has_nll() {
        return scores;
    }
    Scores {
        salt: None,
        salt_masked: f64::INFINITY,
        median_nll: f64::INFINITY,
        ..scores
    }
}

fn scores_by_definition(inputs: &ScoreInputs) -> Scores {
    let learnable = |t: usize| inputs.target_rank_t[t] < SCORE_K as u32;
    let nll = &inputs.nll_t;
    let n = nll.len();
    let among_best: Vec<f64> = (0..n).filter(|&t| learnable(t)).map(|t| nll[t]).collect();
    let masked: Vec<f64> = (0..n)
        .map(|t| if learnable(t) { nll[t] } else { 0.0 })
        .collect();
    Scores {
        learnable_fraction: among_best.len() as f64 / n as f64,
        salt: median(among_best),
        salt_masked: median(masked).unwrap_or(0.0),
        mean_nll: mean(nll),
        median_nll: median(nll.clone()).unwrap_or(0.0),
        mean_entropy: mean(&inputs.entropy_t),
        mean_topk_mass: mean(&inputs.topk_mass_t),
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// The middle value, or the mean of the two middle ones; `None` if there are none.
fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    if values.is_empty() {
        return None;
    }
    let is_even = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp);
    match lower {
        Some(lower) if is_even => Some((lower + upper) / 2.0),
        _ => Some(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(nll_t: &[f64], target_rank_t: &[u32]) -> ScoreInputs {
        let n = nll_t.len();
        ScoreInputs {
            nll_t: nll_t.to_vec(),
            target_rank_t: target_rank_t.to_vec(),
            entropy_t: vec![2.0; n],
            topk_mass_t: vec![0.5; n],
        }
    }

    #[test]
    fn the_salt_score_is_the_median_nll_of_learnable_positions_alone() {
        let got = scores(&inputs(&[1.0, 9.0, 3.0, 2.0, 8.0], &[0, 10, 9, 1, 500]));
        assert_eq!(got.salt, Some(2.0));
        assert_eq!(got.salt_masked, 1.0); // 0, 0, 1, 2, 3
        assert_eq!(got.learnable_fraction, 0.6);
        assert_eq!(got.mean_nll, 4.6);
        assert_eq!(got.median_nll, 3.0);
        assert_eq!((got.mean_entropy, got.mean_topk_mass), (2.0, 0.5));
    }

    #[test]
    fn an_even_count_takes_the_mean_of_the_two_middle_values() {
        let got = scores(&inputs(&[4.0, 1.0, 2.0, 3.0], &[0, 0, 0, 0]));
        assert_eq!((got.salt, got.median_nll), (Some(2.5), 2.5));
    }

    #[test]
    fn a_target_without_probability_leaves_no_score_by_nll() {
        let got = scores(&inputs(&[1.0, f64::INFINITY, 2.0], &[0, 500, 0]));
        let infinite = [got.salt_masked, got.mean_nll, got.median_nll];
        assert_eq!((got.salt, infinite), (None, [f64::INFINITY; 3]));
        assert_eq!((got.mean_entropy, got.mean_topk_mass), (2.0, 0.5));
        assert_eq!(got.learnable_fraction, 2.0 / 3.0);
    }

    #[test]
    fn a_sequence_with_nothing_learnable_has_no_salt_score() {
        let got = scores(&inputs(&[5.0, 6.0], &[10, 11]));
        assert_eq!(
            (got.salt, got.salt_masked, got.learnable_fraction),
            (None, 0.0, 0.0)
        );
    }
}
