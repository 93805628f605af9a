//! Statistics of a label set, accumulated row by row in bounded memory.

use super::histogram::{Bar, N_BINS, Summary, bars};
use super::scores::{N_SCORES, is_share, named_scores};
use crate::shards::Row;
use crate::signals::{Histogram, Scores};
use serde::Serialize;

/// Largest value that histograms resolve, nats; the entropy over a vocabulary of a million is at most 13.8.
const MAX_NATS: f64 = 40.0;

/// Accumulates rows; memory does not grow with their number.
#[derive(Debug, Clone)]
pub struct StatsCollector {
    n_rows: u64,
    n_targets: u64,
    n_without_nll: u64,
    nll: Histogram,
    entropy: Histogram,
    tail_mass: Histogram,
    distinct_draws: Histogram,
    truncation_kl_sum: f64,
    scores: [Histogram; N_SCORES],
}

/// The result of [`StatsCollector`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelStats {
    /// Sequences.
    pub n_rows: u64,
    /// Predicted positions.
    pub n_targets: u64,
    /// Sequences without an NLL, since the teacher gives one of their targets probability 0. Such targets are
    /// not in `target_nll`.
    pub n_without_nll: u64,
    /// Over positions: `target_nll`, `entropy`, `tail_mass`, `distinct_draws`, as far as the set has them.
    pub positions: Vec<Distribution>,
    /// Over rows: every score.
    pub scores: Vec<Distribution>,
    /// If the set has `topk`.
    pub truncation: Option<TruncationLoss>,
}

/// One distribution, as a histogram and as a summary.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Distribution {
    /// Name of the column, `target_nll`, or `distinct_draws` (number of distinct ids drawn at a position).
    pub name: &'static str,
    /// `nats`, `ids`, or `share` for values from 0 to 1.
    pub unit: &'static str,
    /// Its summary.
    #[serde(flatten)]
    pub summary: Summary,
    /// Its histogram.
    pub bars: Vec<Bar>,
}

/// What is lost by keeping K of V probabilities, averaged over positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TruncationLoss {
    /// Mean probability outside the K.
    pub mean_tail_mass: f64,
    /// Mean of KL(truncated to K and renormalised || teacher) = -ln(1 - tail mass), nats.
    /// Null if no probability is kept at some position.
    pub mean_kl_nats: f64,
}

impl Default for StatsCollector {
    fn default() -> Self {
        let names = named_scores(&Scores::default());
        StatsCollector {
            n_rows: 0,
            n_targets: 0,
            n_without_nll: 0,
            nll: Histogram::new(0.0..MAX_NATS, N_BINS),
            entropy: Histogram::new(0.0..MAX_NATS, N_BINS),
            tail_mass: Histogram::new(0.0..1.0, N_BINS),
            distinct_draws: Histogram::of_whole_numbers(N_BINS),
            truncation_kl_sum: 0.0,
            scores: names.map(|(name, _)| Histogram::new(0.0..max_value(name), N_BINS)),
        }
    }
}

impl StatsCollector {
    /// Adds a row: its scores, and its positions if stored.
    pub fn add(&mut self, row: &Row) {
        self.n_rows += 1;
        self.n_targets += u64::from(row.n_targets);
        self.n_without_nll += u64::from(!row.scores.has_nll());
        for (histogram, (_, score)) in self.scores.iter_mut().zip(named_scores(&row.scores)) {
            score.into_iter().for_each(|value| histogram.add(value));
        }
        let signals = &row.signals;
        signals
            .target_logprob_t
            .iter()
            .filter(|logprob| logprob.is_finite())
            .for_each(|&logprob| self.nll.add(-f64::from(logprob)));
        signals
            .entropy_t
            .iter()
            .for_each(|&entropy| self.entropy.add(f64::from(entropy)));
        for &tail_mass in &signals.tail_mass_t {
            self.tail_mass.add(f64::from(tail_mass));
            self.truncation_kl_sum += truncation_kl(f64::from(tail_mass));
        }
        for bounds in signals.sample_offsets.windows(2) {
            self.distinct_draws.add(f64::from(bounds[1] - bounds[0]));
        }
    }

    /// The statistics so far, with histograms of at most `n_bars` bars.
    pub fn finish(&self, n_bars: usize) -> LabelStats {
        let distribution = |name, unit, histogram: &_| distribution(name, unit, histogram, n_bars);
        let positions = [
            distribution("target_nll", "nats", &self.nll),
            distribution("entropy", "nats", &self.entropy),
            distribution("tail_mass", "share", &self.tail_mass),
            distribution("distinct_draws", "ids", &self.distinct_draws),
        ];
        let names = named_scores(&Scores::default());
        let scores = names
            .iter()
            .zip(&self.scores)
            .filter_map(|((name, _), histogram)| {
                distribution(
                    name,
                    if is_share(name) { "share" } else { "nats" },
                    histogram,
                )
            });
        LabelStats {
            n_rows: self.n_rows,
            n_targets: self.n_targets,
            n_without_nll: self.n_without_nll,
            positions: positions.into_iter().flatten().collect(),
            scores: scores.collect(),
            truncation: self.truncation(),
        }
    }

    fn truncation(&self) -> Option<TruncationLoss> {
        Summary::of(&self.tail_mass).map(|summary| TruncationLoss {
            mean_tail_mass: summary.mean,
            mean_kl_nats: self.truncation_kl_sum / summary.n_values as f64,
        })
    }
}

fn max_value(score_name: &str) -> f64 {
    if is_share(score_name) { 1.0 } else { MAX_NATS }
}

/// Nats. With q = p / (1 - m) on the kept ids, sum q ln(q / p) = -ln(1 - m). The other direction
/// is infinite as soon as any mass is cut off.
fn truncation_kl(tail_mass: f64) -> f64 {
    -(-tail_mass).ln_1p()
}

fn distribution(
    name: &'static str,
    unit: &'static str,
    histogram: &Histogram,
    n_bars: usize,
) -> Option<Distribution> {
    let summary = Summary::of(histogram)?;
    Some(Distribution {
        name,
        unit,
        summary,
        bars: bars(histogram, n_bars),
    })
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::{sample_draws, sample_row};
    use super::*;
    use crate::signals::PositionSignals;

    #[test]
    fn truncation_kl_is_the_divergence_it_claims_to_be() {
        let p = [0.5_f64, 0.2, 0.2, 0.1];
        let (kept, tail) = (&p[..2], 0.3);
        let kl: f64 = kept.iter().map(|p| p / 0.7 * (p / 0.7 / p).ln()).sum();
        assert!((truncation_kl(tail) - kl).abs() < 1e-12);
        assert_eq!(truncation_kl(0.0), 0.0);
        assert!(truncation_kl(1e-9) > 0.9e-9);
    }

    #[test]
    fn means_are_those_of_the_values() {
        let mut row = sample_row();
        row.signals.target_logprob_t = vec![-0.5, -3.5];
        let mut collector = StatsCollector::default();
        collector.add(&row);
        collector.add(&row);
        let stats = collector.finish(12);
        assert_eq!((stats.n_rows, stats.n_targets), (2, 4));
        let names: Vec<&str> = stats.positions.iter().map(|each| each.name).collect();
        assert_eq!(names, ["target_nll", "entropy", "tail_mass"]);
        assert_eq!(stats.positions[0].summary.mean, 2.0);
        assert_eq!(stats.truncation.unwrap().mean_tail_mass, 0.3125);
        // No position qualified for score_salt, so it has no distribution.
        assert_eq!(stats.scores.len(), N_SCORES - 1);
    }

    #[test]
    fn distinct_ids_are_counted_a_position() {
        let row = Row {
            signals: sample_draws(),
            ..sample_row()
        };
        let mut collector = StatsCollector::default();
        collector.add(&row);
        let stats = collector.finish(12);
        let [draws] = &stats.positions[..] else {
            panic!("{:?}", stats.positions)
        };
        assert_eq!((draws.name, draws.unit), ("distinct_draws", "ids"));
        let summary = &draws.summary;
        assert_eq!((summary.mean, summary.p5, summary.p95), (2.5, 2.0, 3.0));
    }

    #[test]
    fn a_set_of_scores_alone_has_no_positions_and_no_truncation() {
        let row = Row {
            signals: PositionSignals::default(),
            ..sample_row()
        };
        let mut collector = StatsCollector::default();
        collector.add(&row);
        let stats = collector.finish(12);
        assert!(stats.positions.is_empty());
        assert_eq!(stats.truncation, None);
    }

    #[test]
    fn the_json_names_unit_numbers_and_bars() {
        let mut collector = StatsCollector::default();
        collector.add(&sample_row());
        let json = serde_json::to_value(collector.finish(12)).unwrap();
        let entropy = &json["positions"][1];
        assert_eq!(entropy["name"], "entropy");
        assert_eq!(entropy["unit"], "nats");
        assert_eq!(entropy["mean"], 1.375);
        assert_eq!(entropy["n_values"], 2);
        assert!(entropy["bars"][0]["n_values"].is_u64());
        // A target of probability 0 has an infinite NLL, which is omitted.
        assert_eq!(json["positions"][0]["n_values"], 1);
        assert_eq!(json["positions"][0]["max"], 0.5);
    }
}
