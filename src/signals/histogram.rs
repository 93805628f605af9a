//! Distributions in bounded memory: counts in bins, and the order statistics that follow from them.

use std::ops::Range;

/// How many values fell into each of a number of bins, which the caller defines.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Counts(Vec<u64>);

impl Counts {
    /// Of `n_bins` empty bins.
    pub(crate) fn new(n_bins: usize) -> Self {
        Self(vec![0; n_bins])
    }

    /// Counts a value; a bin beyond the last counts as the last.
    pub(crate) fn add(&mut self, bin: usize) {
        let last = self.0.len() - 1;
        self.0[bin.min(last)] += 1;
    }

    /// Number of values in some of the bins.
    pub(crate) fn within(&self, bins: Range<usize>) -> u64 {
        self.0[bins].iter().sum()
    }

    /// The bin of the value of `rank`, which counts from 1, and its rank within that bin.
    pub(crate) fn find(&self, rank: u64) -> (usize, u64) {
        let mut left = rank;
        for (bin, &count) in self.0.iter().enumerate() {
            if left <= count {
                return (bin, left);
            }
            left -= count;
        }
        (self.0.len() - 1, left)
    }

    /// The bin and rank of the smallest value that at least a third, and at least two thirds, of all values do not
    /// exceed, as in [`Counts::find`].
    pub(crate) fn terciles(&self) -> [(usize, u64); 2] {
        let n = self.within(0..self.0.len());
        [n.div_ceil(3), (2 * n).div_ceil(3)].map(|rank| self.find(rank))
    }
}

/// Counts of values in equal bins between two bounds; memory does not grow with the number of values.
///
/// Values outside the bounds count in the first or last bin, but exactly in the mean, the minimum and the maximum. A
/// NaN is a bug of the caller and panics in debug builds; otherwise it is left out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Histogram {
    bounds: Range<f64>,
    /// Whether values are whole numbers, one bin each.
    is_whole: bool,
    counts: Counts,
    n_values: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Histogram {
    /// An empty histogram of `n_bins` between `bounds`; with equal bounds all values are in one bin.
    pub(crate) fn new(bounds: Range<f64>, n_bins: usize) -> Self {
        Self {
            bounds,
            is_whole: false,
            counts: Counts::new(n_bins),
            n_values: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// An empty histogram of whole numbers from 0; quantiles below `n_bins` are exact.
    pub(crate) fn of_whole_numbers(n_bins: usize) -> Self {
        Self {
            is_whole: true,
            ..Self::new(0.0..n_bins as f64, n_bins)
        }
    }

    /// Counts one value.
    pub(crate) fn add(&mut self, value: f64) {
        debug_assert!(!value.is_nan(), "NaN in a distribution");
        if value.is_nan() {
            return;
        }
        self.counts.add(self.bin_of(value));
        self.n_values += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// The histogram of both sets of values; `other` must have the same bins.
    pub(crate) fn with(&self, other: &Self) -> Self {
        let counts = self.counts.0.iter().zip(&other.counts.0);
        Self {
            counts: Counts(counts.map(|(a, b)| a + b).collect()),
            n_values: self.n_values + other.n_values,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            ..self.clone()
        }
    }

    /// How many values were counted.
    pub(crate) fn n_values(&self) -> u64 {
        self.n_values
    }

    /// Exact mean; NaN without values.
    pub(crate) fn mean(&self) -> f64 {
        self.sum / self.n_values as f64
    }

    /// Exact minimum; infinite without values.
    pub(crate) fn min(&self) -> f64 {
        self.min
    }

    /// Exact maximum; infinite without values.
    pub(crate) fn max(&self) -> f64 {
        self.max
    }

    /// The smallest bin edge that at least `fraction` of the values do not exceed; there must be values.
    pub(crate) fn quantile(&self, fraction: f64) -> f64 {
        let rank = (fraction * self.n_values as f64).ceil().max(1.0) as u64;
        let (bin, _) = self.counts.find(rank);
        let edge = if self.is_whole { bin } else { bin + 1 };
        self.edge(edge).clamp(self.min, self.max)
    }

    /// Number of values in some of the bins.
    pub(crate) fn within(&self, bins: Range<usize>) -> u64 {
        self.counts.within(bins)
    }

    fn n_bins(&self) -> usize {
        self.counts.0.len()
    }

    /// The bin of a value: the first or last for one outside the bounds.
    pub(crate) fn bin_of(&self, value: f64) -> usize {
        let place = (value - self.bounds.start) / (self.bounds.end - self.bounds.start);
        // Casting a float saturates, so values below and far above are safe, and NaN, which results from equal bounds,
        // becomes 0.
        ((place * self.n_bins() as f64) as usize).min(self.n_bins() - 1)
    }

    /// The lower edge of a bin, which is the upper one of the bin before it.
    pub(crate) fn edge(&self, bin: usize) -> f64 {
        let span = self.bounds.end - self.bounds.start;
        self.bounds.start + span * bin as f64 / self.n_bins() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64], bounds: Range<f64>, n_bins: usize) -> Histogram {
        let mut histogram = Histogram::new(bounds, n_bins);
        values.iter().for_each(|&value| histogram.add(value));
        histogram
    }

    #[test]
    fn values_outside_the_bounds_keep_the_mean_and_the_ends_exact() {
        let histogram = of(&[-2.0, 0.5, 40.0], 0.0..1.0, 10);
        assert_eq!((histogram.min(), histogram.max()), (-2.0, 40.0));
        assert!((histogram.mean() - 38.5 / 3.0).abs() < 1e-12);
        assert_eq!((histogram.within(0..1), histogram.within(9..10)), (1, 1));
    }

    #[test]
    fn a_single_value_is_every_quantile_and_so_are_equal_ones_between_equal_bounds() {
        for bounds in [0.0..1.0, 0.25..0.25] {
            let histogram = of(&[0.25, 0.25], bounds, 100);
            assert_eq!([0.0, 0.5, 1.0].map(|f| histogram.quantile(f)), [0.25; 3]);
        }
    }

    #[test]
    fn of_whole_numbers_the_quantiles_are_values() {
        let mut histogram = Histogram::of_whole_numbers(4000);
        for value in [1, 2, 2, 3, 3, 3, 3, 9, 9, 5_000] {
            histogram.add(f64::from(value));
        }
        assert_eq!(
            [0.05, 0.5, 0.8].map(|f| histogram.quantile(f)),
            [1.0, 3.0, 9.0]
        );
        assert_eq!(histogram.max(), 5_000.0);
    }

    /// The slow reference: all values, sorted.
    fn sorted_rank(values: &[f64], rank: usize) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted[rank - 1]
    }

    proptest! {
        #[test]
        fn quantiles_are_those_of_the_sorted_values_to_the_width_of_a_bin(
            values in prop::collection::vec(0.0..10.0_f64, 1..400),
            n_bins in 1..5000_usize,
            fraction in 0.0..1.0_f64,
        ) {
            let histogram = of(&values, 0.0..10.0, n_bins);
            let rank = ((fraction * values.len() as f64).ceil() as usize).max(1);
            let (found, exact) = (histogram.quantile(fraction), sorted_rank(&values, rank));
            prop_assert!(found >= exact - 1e-9 && found - exact <= 10.0 / n_bins as f64 + 1e-9);
        }

        #[test]
        fn every_value_is_in_the_bin_between_whose_edges_it_lies(
            values in prop::collection::vec(-3.0..7.0_f64, 1..200),
            n_bins in 1..300_usize,
        ) {
            let histogram = of(&values, -3.0..7.0, n_bins);
            for bin in 0..n_bins {
                let (low, high) = (histogram.edge(bin), histogram.edge(bin + 1));
                let n = |low: f64, high: f64| values.iter().filter(|v| (low..high).contains(*v)).count() as u64;
                let (inside, near) = (n(low + 1e-9, high - 1e-9), n(low - 1e-9, high + 1e-9));
                prop_assert!((inside..=near).contains(&histogram.within(bin..bin + 1)));
            }
            prop_assert_eq!(histogram.within(0..n_bins), values.len() as u64);
            prop_assert_eq!(histogram.n_values(), values.len() as u64);
        }

        #[test]
        fn terciles_are_those_of_the_sorted_values(bins in prop::collection::vec(0..40_usize, 1..200)) {
            let mut counts = Counts::new(40);
            bins.iter().for_each(|&bin| counts.add(bin));
            let mut sorted = bins.clone();
            sorted.sort();
            let n = sorted.len();
            let slow = [n.div_ceil(3), (2 * n).div_ceil(3)];
            for ((bin, rank), place) in counts.terciles().into_iter().zip(slow) {
                prop_assert_eq!(bin, sorted[place - 1]);
                let before = sorted.iter().filter(|&&other| other < bin).count();
                prop_assert_eq!(before + rank as usize, place);
            }
        }
    }
}
