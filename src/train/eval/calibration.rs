//! Whether a model is right as often as its confidence says.

use crate::train::batch::PositionScore;

/// Bins of the expected calibration error: of equal width, ((b - 1) / 15, b / 15] (Guo et al. 2017,
/// "On Calibration of Modern Neural Networks", arXiv 1706.04599, equation 3).
pub const N_CALIBRATION_BINS: usize = 15;

/// Positions by the probability of the model's top id, and how often that id was the target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calibration {
    bins: [Bin; N_CALIBRATION_BINS],
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bin {
    n: u64,
    n_best: u64,
    /// Sum of the top ids' probabilities.
    confidence: f64,
}

impl Calibration {
    /// Adds one position.
    pub fn add(&mut self, score: &PositionScore) {
        let confidence = f64::from(score.best_prob);
        let upper_end = (confidence * N_CALIBRATION_BINS as f64).ceil() as usize;
        let bin = &mut self.bins[upper_end.clamp(1, N_CALIBRATION_BINS) - 1];
        bin.n += 1;
        bin.n_best += u64::from(score.is_best);
        bin.confidence += confidence;
    }

    /// Number of positions.
    pub fn n(&self) -> u64 {
        self.bins.iter().map(|bin| bin.n).sum()
    }

    /// Fraction of positions whose target is the model's top id; `None` without positions.
    pub fn accuracy(&self) -> Option<f64> {
        let n_best: u64 = self.bins.iter().map(|bin| bin.n_best).sum();
        (self.n() > 0).then(|| n_best as f64 / self.n() as f64)
    }

    /// Expected calibration error: the mean over positions of |accuracy - mean confidence| of the bin of the
    /// position's top probability; from 0 to 1, `None` without positions. It only concerns the top id, not how
    /// probability is distributed among the others.
    pub fn ece(&self) -> Option<f64> {
        let off = |bin: &Bin| (bin.n_best as f64 - bin.confidence).abs();
        let sum: f64 = self.bins.iter().map(off).sum();
        (self.n() > 0).then(|| sum / self.n() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(scores: &[(f32, bool)]) -> Calibration {
        let mut calibration = Calibration::default();
        for &(best_prob, is_best) in scores {
            calibration.add(&PositionScore {
                nll: 1.0,
                best_prob,
                is_best,
            });
        }
        calibration
    }

    #[test]
    fn the_error_is_the_mean_distance_of_accuracy_and_confidence_by_bin() {
        // 0.5 and 0.52 are in one bin, (7/15, 8/15]; 0.9 in another.
        let calibration = of(&[(0.5, true), (0.52, false), (0.9, true), (0.9, true)]);
        assert_eq!(calibration.accuracy(), Some(0.75));
        let expected = (2.0 * (0.5_f64 - 0.51).abs() + 2.0 * 0.1) / 4.0;
        assert!((calibration.ece().unwrap() - expected).abs() < 1e-7);
        assert_eq!(calibration.n(), 4);
    }

    #[test]
    fn a_boundary_belongs_to_the_bin_below_it_and_1_to_the_last() {
        let bin_of = |best_prob| {
            let calibration = of(&[(best_prob, true)]);
            calibration.bins.iter().position(|bin| bin.n == 1).unwrap()
        };
        assert_eq!(bin_of(1.0), 14);
        assert_eq!(bin_of(0.2), 3, "f32's 0.2 is a little more than 3/15");
        assert_eq!(bin_of(0.19), 2);
        assert_eq!(bin_of(1e-9), 0);
        assert_eq!(bin_of(0.0), 0);
    }

    #[test]
    fn without_positions_nothing_is_said() {
        assert_eq!((of(&[]).accuracy(), of(&[]).ece()), (None, None));
    }

    #[test]
    fn a_model_that_is_right_as_often_as_it_says_has_no_error() {
        let mut scores = vec![(0.75, true); 75];
        scores.extend([(0.75, false); 25]);
        assert!(of(&scores).ece().unwrap() < 1e-7);
    }
}
