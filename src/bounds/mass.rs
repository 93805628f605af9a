//! The mass of the k top ids at a position, computed from the K stored ones.

use crate::signals::Rounding;

/// How to compute the mass of the k top ids at a position.
#[derive(Debug, Clone, Copy)]
pub(super) struct TopMass {
    pub(super) k: usize,
    pub(super) top_k: usize,
    pub(super) rounding: Rounding,
}

/// A mass in [0, 1] and its maximum error from the rounding of stored values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mass {
    pub(super) mass: f64,
    pub(super) rounding: f64,
}

impl TopMass {
    /// From a position's `[K]` log-probabilities and its tail mass.
    ///
    /// For all K: one minus the tail mass, which is summed before any rounding. For fewer: that mass times the
    /// fraction of it that the k have. Rounding moves a log-probability l by up to u |l|, and so its
    /// probability by a factor of up to e^(u |l|); the error is largest if the k are all rounded one way and
    /// the others the other way.
    pub(super) fn of(&self, logprobs_k: &[f32], tail_mass: f32) -> Mass {
        let held = 1.0 - f64::from(tail_mass);
        let tail_rounding = f64::from(tail_mass) * self.rounding.tail_step() / 2.0;
        if self.k == self.top_k {
            return Mass {
                mass: held,
                rounding: tail_rounding,
            };
        }
        let (best, others) = logprobs_k.split_at(self.k);
        let unit = self.rounding.step() / 2.0;
        let share = |towards_best: f64| {
            let best = sum_exp(best, towards_best * unit);
            let all = best + sum_exp(others, -towards_best * unit);
            if all > 0.0 { best / all } else { 0.0 }
        };
        let mass = share(0.0) * held;
        let off = (share(1.0) - share(0.0)).max(share(0.0) - share(-1.0));
        Mass {
            mass,
            rounding: off * held + tail_rounding,
        }
    }
}

/// Sum of e^(l + up |l|) over log-probabilities, which are at most 0; `-inf` adds nothing.
fn sum_exp(logprobs: &[f32], up: f64) -> f64 {
    let term = |&l: &f32| {
        let l = f64::from(l);
        if l == f64::NEG_INFINITY {
            0.0
        } else {
            (l + up * l.abs()).exp()
        }
    };
    logprobs.iter().map(term).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(logits: &[f64], top_k: usize, rounding: Rounding) -> (Vec<f64>, Vec<f32>, f32) {
        let sum: f64 = logits.iter().map(|z| z.exp()).sum();
        let mut probs: Vec<f64> = logits.iter().map(|z| z.exp() / sum).collect();
        probs.sort_by(|a, b| b.total_cmp(a));
        let kept = probs[..top_k]
            .iter()
            .map(|p| rounding.round(p.ln() as f32))
            .collect();
        let tail = rounding.round_tail(probs[top_k..].iter().sum());
        (probs, kept, tail)
    }

    proptest! {
        #[test]
        fn the_true_mass_lies_within_what_rounding_allows(
            logits in prop::collection::vec(-8.0..8.0_f64, 12..30),
            top_k in 2..12_usize,
            k in 1..12_usize,
            rounding in prop::sample::select(Rounding::ALL.to_vec()),
        ) {
            let k = k.min(top_k);
            let (probs, kept, tail) = stored(&logits, top_k, rounding);
            let got = TopMass { k, top_k, rounding }.of(&kept, tail);
            let truth: f64 = probs[..k].iter().sum();
            // Besides the rounding, f32 has a relative error of 6e-8.
            prop_assert!((got.mass - truth).abs() <= got.rounding + 1e-6, "{got:?} {truth}");
        }
    }

    #[test]
    fn kept_mass_is_one_minus_the_tail_whatever_the_rounding() {
        let top = TopMass {
            k: 2,
            top_k: 2,
            rounding: Rounding::M4,
        };
        let got = top.of(&[-0.75, -2.5], 0.25);
        assert_eq!((got.mass, got.rounding), (0.75, 0.25 / 2048.0));
        let half = TopMass { k: 1, ..top }.of(&[f32::NEG_INFINITY, f32::NEG_INFINITY], 1.0);
        assert_eq!(half.mass, 0.0);
    }
}
