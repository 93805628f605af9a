//! Sums over some targets of a sequence, such as those of one document.

use super::scores::ScoreInputs;
use super::types::SCORE_K;
use std::ops::Range;

/// Sums over targets, in order: f64, of unrounded values. Sums over more targets are those of their parts, added in
/// text order.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TargetSums {
    /// Targets.
    pub n_targets: u64,
    /// Those among the teacher's `SCORE_K` best ids.
    pub n_learnable: u64,
    /// Nats, -log p of the targets; infinite if one has probability 0.
    pub nll: f64,
    /// Nats, of only the learnable targets.
    pub nll_learnable: f64,
    /// Nats, entropy of the full softmax.
    pub entropy: f64,
    /// Probability of the `SCORE_K` best ids.
    pub topk_mass: f64,
}

impl TargetSums {
    /// Adds the sums of later targets.
    pub fn add(&mut self, later: &TargetSums) {
        self.n_targets += later.n_targets;
        self.n_learnable += later.n_learnable;
        self.nll += later.nll;
        self.nll_learnable += later.nll_learnable;
        self.entropy += later.entropy;
        self.topk_mass += later.topk_mass;
    }
}

impl ScoreInputs {
    /// Sums over the targets of `range`.
    ///
    /// # Panics
    /// If the range ends after the last target.
    pub fn sums(&self, range: Range<usize>) -> TargetSums {
        let mut sums = TargetSums::default();
        for t in range {
            let is_learnable = self.target_rank_t[t] < SCORE_K as u32;
            let nll = self.nll_t[t];
            sums.add(&TargetSums {
                n_targets: 1,
                n_learnable: u64::from(is_learnable),
                nll,
                nll_learnable: if is_learnable { nll } else { 0.0 },
                entropy: self.entropy_t[t],
                topk_mass: self.topk_mass_t[t],
            });
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_over_the_range_alone_and_parts_add_up() {
        let inputs = ScoreInputs {
            nll_t: vec![1.0, 2.0, 4.0, 8.0],
            target_rank_t: vec![0, 9, 10, 500],
            entropy_t: vec![0.5, 0.25, 0.125, 1.0],
            topk_mass_t: vec![1.0, 0.5, 0.25, 0.125],
        };
        let middle = inputs.sums(1..3);
        let expected = TargetSums {
            n_targets: 2,
            n_learnable: 1,
            nll: 6.0,
            nll_learnable: 2.0,
            entropy: 0.375,
            topk_mass: 0.75,
        };
        assert_eq!(middle, expected);
        let mut parts = inputs.sums(0..1);
        parts.add(&middle);
        parts.add(&inputs.sums(3..4));
        assert_eq!(parts, inputs.sums(0..4));
        assert_eq!(inputs.sums(2..2), TargetSums::default());
    }
}
