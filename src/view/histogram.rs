//! A distribution as a few numbers, and as bars with round bounds.

use crate::signals::Histogram;
use serde::Serialize;

/// Bins of a distribution; quantiles are exact to a bin's width.
pub(super) const N_BINS: usize = 4000;
/// Allowed numbers of bins per bar: for ranges of 0 to 1 or 0 to 40, all give bars with short bounds.
const BINS_PER_BAR: [usize; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 400, 1000, 2000, N_BINS];

/// A distribution as a few numbers, in the unit of the values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// Number of values.
    pub n_values: u64,
    /// Exact mean.
    pub mean: f64,
    /// Exact minimum.
    pub min: f64,
    /// 5% of the values are at most this.
    pub p5: f64,
    /// The median, exact to a bin's width.
    pub p50: f64,
    /// 95% of the values are at most this.
    pub p95: f64,
    /// Exact maximum.
    pub max: f64,
}

impl Summary {
    /// `None` without values.
    pub(super) fn of(histogram: &Histogram) -> Option<Self> {
        (histogram.n_values() > 0).then(|| Self {
            n_values: histogram.n_values(),
            mean: histogram.mean(),
            min: histogram.min(),
            p5: histogram.quantile(0.05),
            p50: histogram.quantile(0.50),
            p95: histogram.quantile(0.95),
            max: histogram.max(),
        })
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
    /// Whether values above `high` are counted here too.
    pub is_open: bool,
}

/// At most `n` equally wide bars with round bounds, from the minimum to the 99.8% quantile. The last bar
/// includes all values above it.
pub(super) fn bars(histogram: &Histogram, n: usize) -> Vec<Bar> {
    if histogram.n_values() == 0 || n == 0 {
        return Vec::new();
    }
    let first = histogram.bin_of(histogram.min());
    let last = histogram.bin_of(histogram.quantile(0.998));
    let fits = |each: &usize| last / each - first / each < n;
    let each = BINS_PER_BAR.into_iter().find(fits).unwrap_or(N_BINS);
    let bar = |start: usize| {
        let end = start + each;
        let past = if end > last {
            histogram.within(end..N_BINS)
        } else {
            0
        };
        Bar {
            low: histogram.edge(start),
            high: histogram.edge(end),
            n_values: histogram.within(start..end) + past,
            is_open: past > 0 || (end == N_BINS && histogram.max() > histogram.edge(end)),
        }
    };
    (first / each * each..=last)
        .step_by(each)
        .map(bar)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ops::Range;

    fn of(values: &[f64], bounds: Range<f64>) -> Histogram {
        let mut histogram = Histogram::new(bounds, N_BINS);
        values.iter().for_each(|&value| histogram.add(value));
        histogram
    }

    #[test]
    fn an_empty_histogram_has_no_summary_and_no_bars() {
        let histogram = of(&[], 0.0..1.0);
        assert_eq!(Summary::of(&histogram), None);
        assert_eq!(bars(&histogram, 10), []);
    }

    #[test]
    fn the_last_bar_takes_in_the_far_tail_and_says_so() {
        let mut values = vec![0.5; 9_990];
        values.extend([31.0; 10]);
        let bars = bars(&of(&values, 0.0..32.0), 8);
        assert!(bars.last().unwrap().is_open);
        assert!(bars.last().unwrap().high < 31.0);
    }

    #[test]
    fn bars_have_round_bounds() {
        let values: Vec<f64> = (0..1_000).map(|i| 0.3 + f64::from(i) * 0.006).collect();
        let bars = bars(&of(&values, 0.0..40.0), 8);
        let lows: Vec<f64> = bars.iter().map(|bar| bar.low).collect();
        assert_eq!(lows, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    proptest! {
        #[test]
        fn bars_lose_no_value(values in prop::collection::vec(-1.0..40.0_f64, 1..300), n in 1..40_usize) {
            let bars = bars(&of(&values, 0.0..32.0), n);
            prop_assert!(bars.len() <= n);
            prop_assert_eq!(bars.iter().map(|bar| bar.n_values).sum::<u64>(), values.len() as u64);
        }
    }
}
