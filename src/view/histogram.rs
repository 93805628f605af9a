//! A distribution in bounded memory: fine bins for shape and quantiles, f64 sums for the rest.

use serde::Serialize;
use std::ops::Range;

/// Bins between the bounds. Quantiles are exact to the width of one.
const N_BINS: usize = 4000;
/// Bins that a bar may take: with bounds of 0 to 1 or 0 to 40, all give bounds of few digits.
const BINS_A_BAR: [usize; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 400, 1000, 2000, N_BINS];

/// Counts of values between two bounds; memory does not grow with the values.
///
/// Values outside the bounds count in the first or last bin, and count exactly in the mean, least
/// and greatest. A NaN is a bug of the caller and panics in debug builds; otherwise it is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    low: f64,
    high: f64,
    /// Whether values are whole numbers, one bin each.
    is_whole: bool,
    counts: Vec<u64>,
    n_values: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// A distribution in a few numbers; unit as that of the values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many values there were.
    pub n_values: u64,
    /// Exact mean.
    pub mean: f64,
    /// Exact least value.
    pub min: f64,
    /// 5% of the values are at most this.
    pub p5: f64,
    /// The median, to the width of a bin.
    pub p50: f64,
    /// 95% of the values are at most this.
    pub p95: f64,
    /// Exact greatest value.
    pub max: f64,
}

impl Histogram {
    /// An empty histogram that resolves values in `bounds`.
    pub fn new(bounds: Range<f64>) -> Self {
        assert!(
            bounds.start < bounds.end,
            "a histogram needs room between its bounds"
        );
        Histogram {
            low: bounds.start,
            high: bounds.end,
            is_whole: false,
            counts: vec![0; N_BINS],
            n_values: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// An empty histogram of whole numbers from 0; quantiles below 4000 are exact.
    pub fn of_whole_numbers() -> Self {
        Histogram {
            is_whole: true,
            ..Histogram::new(0.0..N_BINS as f64)
        }
    }

    /// Counts one value.
    pub fn add(&mut self, value: f64) {
        debug_assert!(!value.is_nan(), "NaN in a distribution");
        if value.is_nan() {
            return;
        }
        let bin = self.bin_of(value);
        self.counts[bin] += 1;
        self.n_values += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// How many values were counted.
    pub fn n_values(&self) -> u64 {
        self.n_values
    }

    /// None while there is no value.
    pub fn summary(&self) -> Option<Summary> {
        (self.n_values > 0).then(|| Summary {
            n_values: self.n_values,
            mean: self.sum / self.n_values as f64,
            min: self.min,
            p5: self.quantile(0.05),
            p50: self.quantile(0.50),
            p95: self.quantile(0.95),
            max: self.max,
        })
    }

    /// The least value that at least `share` of the values do not exceed, to the width of a bin.
    fn quantile(&self, share: f64) -> f64 {
        let wanted = (share * self.n_values as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bin, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                let edge = if self.is_whole { bin } else { bin + 1 };
                return self.edge(edge).clamp(self.min, self.max);
            }
        }
        self.max
    }

    /// At most `n` equally wide bars with round bounds, over the part of the bounds that holds
    /// nearly all values (all but one in 500, at the far end).
    pub fn bars(&self, n: usize) -> Vec<Bar> {
        if self.n_values == 0 || n == 0 {
            return Vec::new();
        }
        let first = self.bin_of(self.min);
        let last = self.bin_of(self.quantile(0.998));
        let fits = |each: &usize| last / each - first / each < n;
        let each = BINS_A_BAR.into_iter().find(fits).unwrap_or(N_BINS);
        (first / each * each..=last)
            .step_by(each)
            .map(|start| self.bar(start, start + each, start + each > last))
            .collect()
    }

    /// One bar; the last one takes in all that lies past it.
    fn bar(&self, start: usize, end: usize, is_last: bool) -> Bar {
        let counted = if is_last {
            &self.counts[start..]
        } else {
            &self.counts[start..end]
        };
        let has_more = is_last && self.counts[end..].iter().any(|&count| count > 0);
        Bar {
            low: self.edge(start),
            high: self.edge(end),
            n_values: counted.iter().sum(),
            is_open: has_more || (end == N_BINS && self.max > self.high),
        }
    }

    fn bin_of(&self, value: f64) -> usize {
        let position = (value - self.low) / (self.high - self.low) * N_BINS as f64;
        // A cast from a float saturates, so values below and far above are safe.
        (position as usize).min(N_BINS - 1)
    }

    fn edge(&self, bin: usize) -> f64 {
        self.low + (self.high - self.low) * bin as f64 / N_BINS as f64
    }
}

/// One bar of a drawn histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bar {
    /// Lower bound, included.
    pub low: f64,
    /// Upper bound, excluded.
    pub high: f64,
    /// Values between them.
    pub n_values: u64,
    /// Whether values past `high` are counted here too.
    pub is_open: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64], bounds: Range<f64>) -> Histogram {
        let mut histogram = Histogram::new(bounds);
        values.iter().for_each(|&value| histogram.add(value));
        histogram
    }

    #[test]
    fn an_empty_histogram_has_no_summary_and_no_bars() {
        let histogram = Histogram::new(0.0..1.0);
        assert_eq!(histogram.summary(), None);
        assert_eq!(histogram.bars(10), []);
    }

    #[test]
    fn values_outside_the_bounds_keep_the_mean_and_the_ends_exact() {
        let summary = of(&[-2.0, 0.5, 40.0], 0.0..1.0).summary().unwrap();
        assert_eq!((summary.min, summary.max), (-2.0, 40.0));
        assert!((summary.mean - 38.5 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_single_value_is_every_quantile() {
        let summary = of(&[0.25], 0.0..1.0).summary().unwrap();
        assert_eq!((summary.p5, summary.p50, summary.p95), (0.25, 0.25, 0.25));
    }

    #[test]
    fn of_whole_numbers_the_quantiles_are_values() {
        let mut histogram = Histogram::of_whole_numbers();
        for value in [1, 2, 2, 3, 3, 3, 3, 9, 9, 5_000] {
            histogram.add(f64::from(value));
        }
        let summary = histogram.summary().unwrap();
        assert_eq!((summary.p5, summary.p50, summary.max), (1.0, 3.0, 5_000.0));
        let bars = histogram.bars(4);
        assert_eq!(bars.iter().map(|bar| bar.n_values).sum::<u64>(), 10);
    }

    #[test]
    fn the_last_bar_takes_in_the_far_tail_and_says_so() {
        let mut values = vec![0.5; 9_990];
        values.extend([31.0; 10]);
        let bars = of(&values, 0.0..32.0).bars(8);
        assert!(bars.last().unwrap().is_open);
        assert!(bars.last().unwrap().high < 31.0);
    }

    #[test]
    fn bars_have_round_bounds() {
        let values: Vec<f64> = (0..1_000).map(|i| 0.3 + f64::from(i) * 0.006).collect();
        let lows: Vec<f64> = of(&values, 0.0..40.0)
            .bars(8)
            .iter()
            .map(|bar| bar.low)
            .collect();
        assert_eq!(lows, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    proptest! {
        #[test]
        fn quantiles_agree_with_sorting(mut values in prop::collection::vec(0.0..10.0_f64, 1..400)) {
            let summary = of(&values, 0.0..10.0).summary().unwrap();
            values.sort_by(f64::total_cmp);
            let sorted = |share: f64| values[((share * values.len() as f64).ceil() as usize).max(1) - 1];
            let bin = 10.0 / N_BINS as f64;
            prop_assert!((summary.p5 - sorted(0.05)).abs() <= bin);
            prop_assert!((summary.p50 - sorted(0.50)).abs() <= bin);
            prop_assert!((summary.p95 - sorted(0.95)).abs() <= bin);
        }

        #[test]
        fn bars_lose_no_value(values in prop::collection::vec(-1.0..40.0_f64, 1..300), n in 1..40_usize) {
            let histogram = of(&values, 0.0..32.0);
            let bars = histogram.bars(n);
            prop_assert!(bars.len() <= n);
            prop_assert_eq!(bars.iter().map(|bar| bar.n_values).sum::<u64>(), values.len() as u64);
        }
    }
}
