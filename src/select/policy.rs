//! The selection policy: order, amount, and minimum of the learnable fraction.

use super::SelectError;
use crate::shards::ScoreId;
use crate::signals::uniform_at;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The order in which sequences are kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "order", rename_all = "lowercase")]
pub enum Order {
    /// The highest scores first (SALT's choice: challenging, yet learnable).
    Top,
    /// The lowest scores first.
    Bottom,
    /// Scores nearest to the median first.
    Middle,
    /// Random, regardless of the score: the control.
    Random {
        /// Seed of the sampling.
        seed: u64,
    },
    /// Sampled without replacement, with weights exp(score / temperature).
    Weighted {
        /// Unit of the score; towards 0 it is `top`, towards infinity `random`.
        temperature: f64,
        /// Seed of the sampling.
        seed: u64,
    },
}

/// Maximum number of sequences to keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Amount {
    /// This fraction of all sequences of the label set, eligible or not, rounded and at least one: so
    /// a minimum of the learnable fraction does not change how many are kept.
    Fraction(f64),
    /// This many sequences.
    Rows(u64),
    /// Sequences with at most this many predicted positions in total.
    Tokens(u64),
}

/// Which sequences to keep.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Policy {
    /// The order in which they are kept.
    #[serde(flatten)]
    pub order: Order,
    /// The score that determines the order. Sequences without one are never kept.
    pub score: ScoreId,
    /// How many are kept.
    pub amount: Amount,
    /// Sequences whose `score_learnable_fraction` is below this are never kept.
    pub min_learnable: Option<f64>,
}

impl Policy {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`SelectError::Policy`], naming the setting.
    pub fn validate(&self) -> Result<(), SelectError> {
        check_settings(self.order, self.amount, self.min_learnable)
    }
}

/// Checks the settings of a policy other than its score.
pub(super) fn check_settings(
    order: Order,
    amount: Amount,
    min_learnable: Option<f64>,
) -> Result<(), SelectError> {
    let share = |x: f64| (0.0..=1.0).contains(&x);
    if let Order::Weighted { temperature, .. } = order {
        let is_fine = temperature.is_finite() && temperature > 0.0;
        require(is_fine, "the temperature", "a positive number", temperature)?;
    }
    match amount {
        Amount::Fraction(fraction) => {
            let is_fine = share(fraction) && fraction > 0.0;
            require(is_fine, "the fraction", "above 0 and at most 1", fraction)?;
        }
        Amount::Rows(n) => require(n > 0, "the number of rows", "at least 1", n)?,
        Amount::Tokens(n) => require(n > 0, "the number of tokens", "at least 1", n)?,
    }
    let floor = min_learnable.unwrap_or(0.0);
    let what = "the floor on the learnable fraction";
    require(share(floor), what, "a fraction in [0, 1]", floor)
}

/// Whether a row with a score is eligible.
pub(super) fn is_above_floor(min_learnable: Option<f64>, learnable_fraction: f64) -> bool {
    learnable_fraction >= min_learnable.unwrap_or(0.0)
}

/// Most rows out of `n_rows`, and most of their tokens, that are kept.
pub(super) fn limits(amount: Amount, n_rows: u64) -> (u64, u64) {
    match amount {
        Amount::Fraction(share) => (((share * n_rows as f64).round() as u64).max(1), u64::MAX),
        Amount::Rows(n) => (n, u64::MAX),
        Amount::Tokens(n) => (u64::MAX, n),
    }
}

fn require(
    holds: bool,
    what: &'static str,
    expected: &'static str,
    got: impl ToString,
) -> Result<(), SelectError> {
    if holds {
        return Ok(());
    }
    let got = got.to_string();
    Err(SelectError::Policy {
        what,
        expected,
        got,
    })
}

impl Order {
    /// The sort key of sequences, smallest first; ties are by `seq_id`. For `middle` this gives the order by score,
    /// from which [`middle_rank`] computes ranks.
    pub(super) fn key(self, seq_id: u64, score: f64) -> u64 {
        match self {
            Order::Bottom | Order::Middle => ascending(score),
            Order::Top => !ascending(score),
            Order::Random { seed } => !ascending(uniform_at(seed, seq_id)),
            Order::Weighted { temperature, seed } => {
                let gumbel = -(-uniform_at(seed, seq_id).ln()).ln();
                !ascending(score / temperature + gumbel)
            }
        }
    }
}

/// Bits that compare like the numbers; -0 counts as 0, and NaN does not occur.
fn ascending(x: f64) -> u64 {
    let bits = (x + 0.0).to_bits();
    match bits >> 63 {
        0 => bits | 1 << 63,
        _ => !bits,
    }
}

/// The rank of the sequence at `place` out of n, by score: 0 in the middle, then outwards; of two at equal distance the
/// lower score comes first.
pub(super) fn middle_rank(place: u64, n: u64) -> u64 {
    let middle = n / 2;
    match (n % 2, place < middle) {
        (0, true) => 2 * (middle - 1 - place),
        (0, false) => 2 * (place - middle) + 1,
        (_, true) => 2 * (middle - place) - 1,
        (_, false) => 2 * (place - middle),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_compare_as_numbers_do(a in -1e6..1e6f64, b in -1e6..1e6f64) {
            prop_assert_eq!(ascending(a).cmp(&ascending(b)), a.total_cmp(&b));
        }

        #[test]
        fn ranks_from_the_middle_go_by_distance(n in 1..200u64) {
            let mut places: Vec<u64> = (0..n).collect();
            // Twice the distance from the middle place, (n - 1) / 2.
            places.sort_by_key(|&place| ((2 * place + 1).abs_diff(n), place));
            let ranks: Vec<u64> = places.iter().map(|&place| middle_rank(place, n)).collect();
            prop_assert_eq!(ranks, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn zeros_of_both_signs_are_equal() {
        assert_eq!(ascending(-0.0), ascending(0.0));
        assert!(ascending(-f64::MIN_POSITIVE) < ascending(0.0));
    }

    #[test]
    fn settings_that_cannot_be_are_named() {
        let policy = Policy {
            order: Order::Top,
            score: ScoreId::Salt,
            amount: Amount::Fraction(0.5),
            min_learnable: Some(0.1),
        };
        assert!(policy.validate().is_ok());
        let says = |policy: Policy| policy.validate().unwrap_err().to_string();
        let weighted = Order::Weighted {
            temperature: 0.0,
            seed: 1,
        };
        let wrong = Policy {
            order: weighted,
            ..policy
        };
        assert_eq!(
            says(wrong),
            "the temperature is 0, expected a positive number"
        );
        for amount in [
            Amount::Fraction(0.0),
            Amount::Fraction(1.5),
            Amount::Fraction(f64::NAN),
            Amount::Rows(0),
            Amount::Tokens(0),
        ] {
            assert!(says(Policy { amount, ..policy }).contains("expected"));
        }
        let wrong = Policy {
            min_learnable: Some(-0.1),
            ..policy
        };
        assert!(says(wrong).contains("learnable fraction is -0.1"));
    }

    #[test]
    fn a_policy_reads_as_it_was_written() {
        let policy = Policy {
            order: Order::Weighted {
                temperature: 0.5,
                seed: 3,
            },
            score: ScoreId::MeanNll,
            amount: Amount::Tokens(1000),
            min_learnable: None,
        };
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(
            json,
            r#"{"order":"weighted","temperature":0.5,"seed":3,"score":"score_mean_nll","amount":{"tokens":1000},"min_learnable":null}"#
        );
        assert_eq!(serde_json::from_str::<Policy>(&json).unwrap(), policy);
    }
}
