//! The best ids of one row by (descending logit, ascending id), without sorting the row.
//!
//! At least n logits reach the n-th largest block maximum, so only blocks whose maximum reaches it
//! can contain one of the n best, and in those only the logits that reach it.

use super::exp::{BLOCK, Isa};

/// Buffers of one thread, and the ranking of the latest row.
#[derive(Debug)]
pub(super) struct Ranking {
    n_ranked: usize,
    scratch: Vec<u32>,
    candidates: Vec<u64>,
    /// The ranked ids, best first.
    pub(super) ids: Vec<u32>,
    /// Their logits minus the row's maximum.
    pub(super) shifted: Vec<f32>,
}

impl Ranking {
    /// Ranks the best `n_ranked` ids of each row, or all of a shorter one.
    pub(super) fn new(n_ranked: usize) -> Self {
        Self {
            n_ranked,
            scratch: Vec::new(),
            candidates: Vec::new(),
            ids: Vec::new(),
            shifted: Vec::new(),
        }
    }

    /// Fills `ids` and `shifted`. No value of the row may be NaN; `block_maxima` are those of the
    /// row.
    pub(super) fn rank(&mut self, isa: Isa, row: &[f32], block_maxima: &[f32], max: f32) {
        let n_ranked = self.n_ranked.min(row.len());
        let threshold = self.threshold(block_maxima, n_ranked);
        let candidates = &mut self.candidates;
        candidates.clear();
        isa.each_at_least(block_maxima, threshold, |block_idx| {
            let start = block_idx * BLOCK;
            let block = &row[start..(start + BLOCK).min(row.len())];
            isa.each_at_least(block, threshold, |lane| {
                candidates.push(rank_key(block[lane], (start + lane) as u32));
            });
        });
        if n_ranked < candidates.len() {
            candidates.select_nth_unstable(n_ranked - 1);
            candidates.truncate(n_ranked);
        }
        candidates.sort_unstable();
        self.ids.clear();
        self.ids.extend(candidates.iter().map(|&key| key as u32));
        self.shifted.clear();
        let shifted = |&id: &u32| row[id as usize] - max;
        self.shifted.extend(self.ids.iter().map(shifted));
    }

    /// A value that at least `n_ranked` logits reach.
    fn threshold(&mut self, block_maxima: &[f32], n_ranked: usize) -> f32 {
        if block_maxima.len() < n_ranked {
            return f32::NEG_INFINITY;
        }
        self.scratch.clear();
        self.scratch
            .extend(block_maxima.iter().map(|&z| falling(z)));
        let (_, &mut nth, _) = self.scratch.select_nth_unstable(n_ranked - 1);
        value_of_falling(nth)
    }
}

/// Increasing words represent decreasing values. Zeros of both signs are equal.
fn falling(z: f32) -> u32 {
    let bits = (z + 0.0).to_bits();
    let rising = if bits >> 31 == 0 {
        bits | 0x8000_0000
    } else {
        !bits
    };
    !rising
}

/// The inverse of `falling`.
fn value_of_falling(word: u32) -> f32 {
    let rising = !word;
    f32::from_bits(if rising >> 31 == 1 {
        rising & 0x7FFF_FFFF
    } else {
        !rising
    })
}

/// Increasing keys represent decreasing logits, ties by increasing id.
fn rank_key(z: f32, id: u32) -> u64 {
    (u64::from(falling(z)) << 32) | u64::from(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn falling_words_turn_the_order_of_values_around(a in -1e3_f32..1e3, b in -1e3_f32..1e3) {
            prop_assert_eq!(value_of_falling(falling(a)), a);
            prop_assert_eq!(falling(a) < falling(b), a > b);
        }
    }

    #[test]
    fn zeros_tie_and_minus_infinity_is_last() {
        assert_eq!(falling(0.0), falling(-0.0));
        assert!(falling(f32::NEG_INFINITY) > falling(f32::MIN));
        assert_eq!(
            value_of_falling(falling(f32::NEG_INFINITY)),
            f32::NEG_INFINITY
        );
    }
}
