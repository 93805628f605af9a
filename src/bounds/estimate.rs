//! A mean over positions with its sampling error.

use serde::{Deserialize, Serialize};

/// A mean over positions; the unit is that of the values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error; null with fewer than two blocks of text, or if the mean is infinite.
    pub standard_error: Option<f64>,
}

/// A value is beyond noise if it is more than this many standard errors from 0.
pub(super) const BEYOND_NOISE: f64 = 2.0;

impl Estimate {
    /// From the sums of a value over blocks of text, each with its number of positions. `None` without
    /// positions.
    ///
    /// The mean is a ratio of two sums, both random; to first order its variance is that of
    /// sum (s - mean n) over N^2, with G / (G - 1) for the G blocks (Cochran, Sampling Techniques, 6.3).
    pub(super) fn of_blocks(blocks: impl Iterator<Item = (u64, f64)> + Clone) -> Option<Self> {
        let blocks = blocks.filter(|&(n, _)| n > 0);
        let (n_blocks, n, sum) = blocks
            .clone()
            .fold((0.0, 0.0, 0.0), |(g, n, sum), (n_block, s)| {
                (g + 1.0, n + n_block as f64, sum + s)
            });
        if n == 0.0 {
            return None;
        }
        let mean = sum / n;
        let squares: f64 = blocks.map(|(n, s)| (s - mean * n as f64).powi(2)).sum();
        let variance = n_blocks / (n_blocks - 1.0) * squares / (n * n);
        Some(Estimate {
            mean,
            standard_error: variance.is_finite().then(|| variance.sqrt()),
        })
    }

    /// Distance of the mean from 0 beyond its noise: 0 if it is within the noise, or if the noise is unknown.
    pub fn beyond_noise(&self) -> f64 {
        let noise = self
            .standard_error
            .map_or(f64::INFINITY, |se| BEYOND_NOISE * se);
        (self.mean.abs() - noise).max(0.0)
    }

    /// The difference from the mean of an independent sample.
    pub(super) fn minus(&self, other: &Estimate) -> Estimate {
        let errors = self.standard_error.zip(other.standard_error);
        Estimate {
            mean: self.mean - other.mean,
            standard_error: errors.map(|(a, b)| a.hypot(b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_one_position_per_block_it_is_the_textbook_standard_error() {
        let values: [f64; 5] = [1.0, 4.0, 2.0, 2.0, 7.0];
        let got = Estimate::of_blocks(values.iter().map(|&v| (1, v))).unwrap();
        let mean = 16.0 / 5.0;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 4.0;
        assert!((got.mean - mean).abs() < 1e-12);
        assert!((got.standard_error.unwrap() - (variance / 5.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn positions_that_repeat_each_other_in_a_block_are_worth_one() {
        let alone = Estimate::of_blocks([1.0, 4.0, 2.0].iter().map(|&v| (1, v))).unwrap();
        let tenfold = Estimate::of_blocks([1.0, 4.0, 2.0].iter().map(|&v| (10, 10.0 * v)));
        assert_eq!(tenfold.unwrap().standard_error, alone.standard_error);
    }

    #[test]
    fn a_single_block_and_an_infinite_mean_have_no_standard_error() {
        let one = Estimate::of_blocks([(3, 6.0), (0, 0.0)].into_iter()).unwrap();
        assert_eq!((one.mean, one.standard_error), (2.0, None));
        assert_eq!(one.beyond_noise(), 0.0);
        let infinite = Estimate::of_blocks([(3, 6.0), (3, f64::INFINITY)].into_iter()).unwrap();
        assert_eq!(infinite.standard_error, None);
        assert_eq!(Estimate::of_blocks(std::iter::empty()), None);
    }
}
