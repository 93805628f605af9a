//! Scores of kept and of dropped sequences.

use crate::signals::Histogram;
use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

/// Bars of a serialized histogram.
const N_BARS: usize = 24;
/// Bins between the minimum and the maximum score. Quantiles are exact up to the width of a bin.
const N_BINS: usize = 4096;

/// Counts of kept and dropped scores between the minimum and the maximum.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreHistogram {
    kept: Histogram,
    dropped: Histogram,
}

/// Serialized as `kept`, `dropped` and 24 `bars`.
impl Serialize for ScoreHistogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ScoreHistogram", 3)?;
        fields.serialize_field("kept", &self.kept())?;
        fields.serialize_field("dropped", &self.dropped())?;
        fields.serialize_field("bars", &self.bars(N_BARS))?;
        fields.end()
    }
}

/// Summary statistics of some scores, in the unit of the score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScoreSummary {
    /// Number of scores.
    pub n: u64,
    /// Exact mean.
    pub mean: f64,
    /// Exact minimum score.
    pub min: f64,
    /// 5% of the scores are at most this; quantiles are accurate to a 4096th of the range of all
    /// scores.
    pub p5: f64,
    /// 25% are at most this.
    pub p25: f64,
    /// The median.
    pub p50: f64,
    /// 75% are at most this.
    pub p75: f64,
    /// 95% are at most this.
    pub p95: f64,
    /// Exact maximum score.
    pub max: f64,
}

/// One bar of the histogram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ScoreBar {
    /// Lower bound, included.
    pub low: f64,
    /// Upper bound, excluded; the last bar includes it.
    pub high: f64,
    /// Kept sequences in it.
    pub n_kept: u64,
    /// Dropped sequences in it.
    pub n_dropped: u64,
}

impl ScoreHistogram {
    /// For scores from `low` to `high`.
    pub(super) fn new(low: f64, high: f64) -> Self {
        let empty = Histogram::new(low..high, N_BINS);
        Self {
            kept: empty.clone(),
            dropped: empty,
        }
    }

    pub(super) fn add(&mut self, score: f64, is_kept: bool) {
        match is_kept {
            true => self.kept.add(score),
            false => self.dropped.add(score),
        }
    }

    /// Scores of kept sequences; `None` if there are none.
    pub fn kept(&self) -> Option<ScoreSummary> {
        ScoreSummary::of(&self.kept)
    }

    /// Scores of dropped sequences, among those that have one; `None` if there are none.
    pub fn dropped(&self) -> Option<ScoreSummary> {
        ScoreSummary::of(&self.dropped)
    }

    /// The median of all scores, to the width of a bin; `None` if there are none.
    pub fn median(&self) -> Option<f64> {
        let both = self.kept.with(&self.dropped);
        (both.n_values() > 0).then(|| both.quantile(0.5))
    }

    /// At most `n` bars of equal width over all scores.
    pub fn bars(&self, n: usize) -> Vec<ScoreBar> {
        if self.kept.n_values() + self.dropped.n_values() == 0 || n == 0 {
            return Vec::new();
        }
        let per_bar = N_BINS.div_ceil(n);
        let starts = (0..N_BINS).step_by(per_bar);
        let bar = |start: usize| {
            let end = (start + per_bar).min(N_BINS);
            ScoreBar {
                low: self.kept.edge(start),
                high: self.kept.edge(end),
                n_kept: self.kept.within(start..end),
                n_dropped: self.dropped.within(start..end),
            }
        };
        starts.map(bar).collect()
    }
}

impl ScoreSummary {
    /// `None` if there are none.
    fn of(scores: &Histogram) -> Option<Self> {
        (scores.n_values() > 0).then(|| Self {
            n: scores.n_values(),
            mean: scores.mean(),
            min: scores.min(),
            p5: scores.quantile(0.05),
            p25: scores.quantile(0.25),
            p50: scores.quantile(0.5),
            p75: scores.quantile(0.75),
            p95: scores.quantile(0.95),
            max: scores.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_and_dropped_are_counted_apart_and_quantiles_are_near() {
        let mut histogram = ScoreHistogram::new(0.0, 999.0);
        (0..1000).for_each(|i| histogram.add(f64::from(i), i >= 600));
        let (kept, dropped) = (histogram.kept().unwrap(), histogram.dropped().unwrap());
        assert_eq!(
            (kept.n, kept.min, kept.max, kept.mean),
            (400, 600.0, 999.0, 799.5)
        );
        assert_eq!((dropped.n, dropped.min, dropped.max), (600, 0.0, 599.0));
        assert!((kept.p50 - 799.0).abs() <= 0.25, "{}", kept.p50);
        assert!((histogram.median().unwrap() - 499.0).abs() <= 0.25);
        let bars = histogram.bars(10);
        assert_eq!(bars.len(), 10);
        let n: u64 = bars.iter().map(|bar| bar.n_kept + bar.n_dropped).sum();
        assert_eq!(n, 1000);
        assert_eq!((bars[0].n_kept, bars[9].n_dropped), (0, 0));
    }

    #[test]
    fn equal_scores_make_one_bar_that_is_not_empty() {
        let mut histogram = ScoreHistogram::new(2.0, 2.0);
        histogram.add(2.0, true);
        histogram.add(2.0, false);
        assert_eq!(histogram.kept().unwrap().p95, 2.0);
        let n: u64 = histogram.bars(4).iter().map(|bar| bar.n_kept).sum();
        assert_eq!(n, 1);
        assert_eq!(ScoreHistogram::new(0.0, 1.0).bars(4), []);
    }
}
