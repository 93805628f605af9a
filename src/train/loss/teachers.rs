//! Several teachers of one sequence: the combined statistics that gates and metrics use.

use crate::signals::PositionSignals;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How several teachers are combined.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Teachers {
    /// All of them at every position: KD is the sum of the losses, each times its teacher's weight.
    #[default]
    Mix,
    /// At each position the one whose NLL of the target is lowest; of equal ones the first.
    LowerNll,
}

/// How the teachers of a run are joined.
#[derive(Debug, Clone, PartialEq)]
pub struct Joining {
    /// How they are combined.
    pub how: Teachers,
    /// One per teacher; they sum to 1.
    pub weights: Vec<f64>,
}

impl Default for Joining {
    /// A single teacher.
    fn default() -> Self {
        Self {
            how: Teachers::Mix,
            weights: vec![1.0],
        }
    }
}

impl Joining {
    /// Teachers with these weights, which are finite and not negative, and have a positive sum.
    pub fn new(how: Teachers, weights: &[f64]) -> Self {
        let sum: f64 = weights.iter().sum();
        Self {
            how,
            weights: weights.iter().map(|weight| weight / sum).collect(),
        }
    }

    /// Number of teachers.
    pub fn n_teachers(&self) -> usize {
        self.weights.len()
    }
}

/// Replaces the group `stats` of `first` by statistics of all teachers, given their signals `first` and
/// `others` of the same sequence. With `lower-nll`, returns the teacher that each position learns from.
///
/// | | `mix` | `lower-nll` |
/// | --- | --- | --- |
/// | `target_logprob` | that of the mixture: log of the weighted sum of the probabilities | of the chosen one |
/// | `target_rank` | the lowest: whether any of them has the target among its best | the same |
/// | `entropy` | the weighted mean, a lower bound of the mixture's | the same |
///
/// `logsumexp` does not exist for a mixture and is cleared. If any teacher lacks the group, all its lists are
/// cleared, and no teacher is chosen.
pub fn join_stats(
    first: &mut PositionSignals,
    others: &[PositionSignals],
    joining: &Joining,
) -> Vec<u8> {
    let n = first.target_logprob_t.len();
    let has_all = |signals: &PositionSignals| signals.target_logprob_t.len() == n;
    first.logsumexp_t.clear();
    if n == 0 || !others.iter().all(has_all) {
        first.target_logprob_t.clear();
        first.target_rank_t.clear();
        first.entropy_t.clear();
        return Vec::new();
    }
    match joining.how {
        Teachers::Mix => {
            mix(first, others, &joining.weights);
            Vec::new()
        }
        Teachers::LowerNll => choose(first, others),
    }
}

fn mix(first: &mut PositionSignals, others: &[PositionSignals], weights: &[f64]) {
    let (weight_of_first, weights) = (weights[0], &weights[1..]);
    for t in 0..first.target_logprob_t.len() {
        let sum = |of_first: f64, of_other: &dyn Fn(&PositionSignals) -> f64| {
            let of_others = others.iter().zip(weights);
            let of_others = of_others.map(|(other, weight)| weight * of_other(other));
            weight_of_first * of_first + of_others.sum::<f64>()
        };
        let prob = |logprob: f32| f64::from(logprob).exp();
        let mixed = sum(prob(first.target_logprob_t[t]), &|other| {
            prob(other.target_logprob_t[t])
        });
        let entropy = sum(f64::from(first.entropy_t[t]), &|other| {
            f64::from(other.entropy_t[t])
        });
        let ranks = others.iter().map(|other| other.target_rank_t[t]);
        first.target_rank_t[t] = ranks.fold(first.target_rank_t[t], u16::min);
        first.target_logprob_t[t] = mixed.ln() as f32;
        first.entropy_t[t] = entropy as f32;
    }
}

fn choose(first: &mut PositionSignals, others: &[PositionSignals]) -> Vec<u8> {
    let mut chosen_t = vec![0; first.target_logprob_t.len()];
    for (other, number) in others.iter().zip(1_u8..) {
        for (t, chosen) in chosen_t.iter_mut().enumerate() {
            if other.target_logprob_t[t] > first.target_logprob_t[t] {
                *chosen = number;
                first.target_logprob_t[t] = other.target_logprob_t[t];
                first.target_rank_t[t] = other.target_rank_t[t];
                first.entropy_t[t] = other.entropy_t[t];
            }
        }
    }
    chosen_t
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(
        target_logprob_t: &[f32],
        target_rank_t: &[u16],
        entropy_t: &[f32],
    ) -> PositionSignals {
        PositionSignals {
            target_logprob_t: target_logprob_t.to_vec(),
            target_rank_t: target_rank_t.to_vec(),
            entropy_t: entropy_t.to_vec(),
            logsumexp_t: vec![7.0; entropy_t.len()],
            ..PositionSignals::default()
        }
    }

    fn two() -> (PositionSignals, [PositionSignals; 1]) {
        let first = stats(
            &[0.5_f32.ln(), 0.1_f32.ln(), f32::NEG_INFINITY],
            &[0, 9, 40],
            &[1.0, 2.0, 3.0],
        );
        let other = stats(
            &[0.5_f32.ln(), 0.4_f32.ln(), f32::NEG_INFINITY],
            &[3, 1, 90],
            &[5.0, 6.0, 8.0],
        );
        (first, [other])
    }

    #[test]
    fn a_mixture_has_the_weighted_probability_of_the_target() {
        let (mut first, others) = two();
        let chosen = join_stats(
            &mut first,
            &others,
            &Joining::new(Teachers::Mix, &[3.0, 1.0]),
        );
        let expected = [0.5_f64, 0.175].map(|p| p.ln() as f32);
        assert!(chosen.is_empty() && first.logsumexp_t.is_empty());
        assert_eq!(first.target_logprob_t[..2], expected);
        assert_eq!(first.target_logprob_t[2], f32::NEG_INFINITY);
        assert_eq!(first.target_rank_t, [0, 1, 40]);
        assert_eq!(first.entropy_t, [2.0, 3.0, 4.25]);
    }

    #[test]
    fn the_lower_nll_is_chosen_and_of_equal_ones_the_first() {
        let (mut first, others) = two();
        let joining = Joining::new(Teachers::LowerNll, &[1.0, 1.0]);
        assert_eq!(join_stats(&mut first, &others, &joining), [0, 1, 0]);
        assert_eq!(first.target_logprob_t[1], 0.4_f32.ln());
        assert_eq!(first.target_rank_t, [0, 1, 40]);
        assert_eq!(first.entropy_t, [1.0, 6.0, 3.0]);
    }

    #[test]
    fn where_a_teacher_has_no_stats_there_are_none_for_all() {
        for how in [Teachers::Mix, Teachers::LowerNll] {
            let (mut first, _) = two();
            let others = [PositionSignals::default()];
            let joining = Joining::new(how, &[1.0, 1.0]);
            assert!(join_stats(&mut first, &others, &joining).is_empty());
            assert!(first.target_logprob_t.is_empty() && first.entropy_t.is_empty());
        }
    }
}
