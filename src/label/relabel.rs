//! `verify --teacher`: a sample of a finished set, labelled again and held against what is stored.

use super::error::LabelError;
use super::inputs::{Inputs, view_of};
use super::options::LabelConfig;
use super::pipeline::signals_of;
use super::run::signals_config;
use crate::shards::{LabelSet, Permutation, Plan, Row, ShardReader};
use crate::signals::{PositionSignals, Rounding, SequenceSignals};
use crate::tokens::Sequence;
use std::collections::BTreeMap;

/// Nats that a label may differ from a second run on the same kind of machine, beside rounding: the
/// float noise of another instruction set or runtime version stays well below it.
pub const RELABEL_TOLERANCE_NATS: f64 = 1e-4;

/// Differences listed one by one; the rest are only counted.
const MAX_LISTED: usize = 20;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct RelabelReport {
    /// Sequences labelled again.
    pub n_sequences: u64,
    /// Their positions.
    pub n_positions: u64,
    /// Largest difference of any log-probability, entropy, logsumexp or log-partition, nats.
    pub max_difference_nats: f64,
    /// Largest difference of a tail mass.
    pub max_tail_difference: f64,
    /// Kept ids that differ, each within the tolerance of the one it replaces.
    pub n_tied_ids: u64,
    /// Differences past the tolerance.
    pub n_findings: u64,
    /// The first of them.
    pub findings: Vec<String>,
}

/// Labels `n_sequences` of `set`, chosen by `seed`, again, with the teacher that made it.
///
/// # Errors
/// Whatever reading and running gives.
pub(super) fn relabel(
    set: &LabelSet,
    config: &LabelConfig,
    inputs: &mut Inputs,
    n_sequences: u64,
    seed: u64,
) -> Result<RelabelReport, LabelError> {
    let mut report = RelabelReport::default();
    for ((segment, shard, row_group), seq_ids) in sample(set, n_sequences, seed) {
        let plan = &set.segments[segment];
        let stored =
            ShardReader::open(&set.dir, plan, shard)?.read_row_group(row_group as usize)?;
        for row in stored.iter().filter(|row| seq_ids.contains(&row.seq_id)) {
            compare_row(row, plan, config, inputs, &mut report)?;
        }
    }
    Ok(report)
}

/// Row groups that hold sampled sequences: (segment, shard, row group) and which of its seq_ids.
pub(super) type Sample = BTreeMap<(usize, u32, u32), Vec<u64>>;

pub(super) fn sample(set: &LabelSet, n_sequences: u64, seed: u64) -> Sample {
    let n_total: u64 = set.segments.iter().map(Plan::n_sequences).sum();
    let order = Permutation::new(n_total, Some(seed));
    let mut chosen = Sample::new();
    for index in 0..n_sequences.min(n_total) {
        let (segment, seq_id) = nth_sequence(set, order.index_at(index));
        let slot = set.segments[segment]
            .slot_of(seq_id)
            .expect("the sequence is in its segment's range");
        chosen
            .entry((segment, slot.shard, slot.row_group))
            .or_default()
            .push(seq_id);
    }
    chosen
}

fn nth_sequence(set: &LabelSet, mut index: u64) -> (usize, u64) {
    for (segment, plan) in set.segments.iter().enumerate() {
        if index < plan.n_sequences() {
            return (segment, plan.sequences.start + index);
        }
        index -= plan.n_sequences();
    }
    unreachable!("the index is below the sum of all segments")
}

fn compare_row(
    row: &Row,
    plan: &Plan,
    config: &LabelConfig,
    inputs: &mut Inputs,
    report: &mut RelabelReport,
) -> Result<(), LabelError> {
    let view = view_of(&inputs.corpus, config)?;
    let sequence: Sequence = view.read(row.seq_id);
    let signals = signals_config(&plan.signals, plan.teacher.vocab_size);
    let again = signals_of(&[&sequence], &mut inputs.teacher, &signals, &view)?.remove(0);
    report.n_sequences += 1;
    report.n_positions += u64::from(row.n_targets);
    if plan.signals.has_positions() && sequence.input_ids != row.input_ids {
        report.find(row.seq_id, "input_ids are not the corpus' tokens".into());
        return Ok(());
    }
    Comparison {
        seq_id: row.seq_id,
        rounding: signals.rounding,
        report,
    }
    .compare(row, &again, signals.top_k);
    Ok(())
}

struct Comparison<'a> {
    seq_id: u64,
    rounding: Rounding,
    report: &'a mut RelabelReport,
}

impl Comparison<'_> {
    fn compare(&mut self, row: &Row, again: &SequenceSignals, top_k: usize) {
        let (stored, fresh) = (&row.signals, &again.positions);
        self.nats(
            "target_logprob",
            &stored.target_logprob_t,
            &fresh.target_logprob_t,
            Rounding::F32,
        );
        self.nats(
            "entropy",
            &stored.entropy_t,
            &fresh.entropy_t,
            Rounding::F32,
        );
        self.nats(
            "logsumexp",
            &stored.logsumexp_t,
            &fresh.logsumexp_t,
            Rounding::F32,
        );
        self.nats(
            "topk_logprobs",
            &stored.topk_logprobs_tk,
            &fresh.topk_logprobs_tk,
            self.rounding,
        );
        for (stored, fresh) in stored.log_partition_xt.iter().zip(&fresh.log_partition_xt) {
            self.nats("log_partition", stored, fresh, Rounding::F32);
        }
        self.tails(stored, fresh);
        self.ids(stored, fresh, top_k);
        self.score("score_mean_nll", row.scores.mean_nll, again.scores.mean_nll);
        self.score(
            "score_mean_entropy",
            row.scores.mean_entropy,
            again.scores.mean_entropy,
        );
    }

    /// Log-probabilities and their like: equal within the tolerance and a step of the rounding.
    fn nats(&mut self, what: &str, stored: &[f32], fresh: &[f32], rounding: Rounding) {
        for (i, (&stored, &fresh)) in stored.iter().zip(fresh).enumerate() {
            if stored == fresh {
                continue;
            }
            let difference = (f64::from(stored) - f64::from(fresh)).abs();
            // NaN, of one infinity and a number, compares as past every tolerance.
            let within = difference <= RELABEL_TOLERANCE_NATS + step(rounding, fresh);
            self.report.max_difference_nats = self.report.max_difference_nats.max(difference);
            if !within {
                self.report.find(
                    self.seq_id,
                    format!("{what}[{i}] is {stored}, the teacher says {fresh}"),
                );
            }
        }
    }

    fn tails(&mut self, stored: &PositionSignals, fresh: &PositionSignals) {
        for (t, (&stored, &fresh)) in stored
            .tail_mass_t
            .iter()
            .zip(&fresh.tail_mass_t)
            .enumerate()
        {
            let difference = (f64::from(stored) - f64::from(fresh)).abs();
            self.report.max_tail_difference = self.report.max_tail_difference.max(difference);
            if difference > RELABEL_TOLERANCE_NATS {
                self.report.find(
                    self.seq_id,
                    format!("tail_mass[{t}] is {stored}, the teacher says {fresh}"),
                );
            }
        }
    }

    /// Ids may differ only where the log-probabilities at that rank tie; `nats` has held the
    /// log-probabilities against each other, so there is nothing more to check than to count.
    fn ids(&mut self, stored: &PositionSignals, fresh: &PositionSignals, top_k: usize) {
        let positions = stored
            .topk_ids_tk
            .chunks(top_k.max(1))
            .zip(fresh.topk_ids_tk.chunks(top_k.max(1)));
        for (t, (stored_k, fresh_k)) in positions.enumerate() {
            for (rank, (&stored_id, &fresh_id)) in stored_k.iter().zip(fresh_k).enumerate() {
                if stored_id == fresh_id {
                    continue;
                }
                if is_tied(
                    &fresh.topk_logprobs_tk[t * top_k..][..top_k],
                    fresh_k,
                    rank,
                    stored_id,
                    self.rounding,
                ) {
                    self.report.n_tied_ids += 1;
                } else {
                    self.report.find(
                        self.seq_id,
                        format!(
                            "topk_ids[{t}][{rank}] is {stored_id}, the teacher says {fresh_id}"
                        ),
                    );
                }
            }
        }
    }

    fn score(&mut self, what: &str, stored: f64, fresh: f64) {
        if (stored - fresh).abs() > RELABEL_TOLERANCE_NATS {
            self.report.find(
                self.seq_id,
                format!("{what} is {stored}, the teacher says {fresh}"),
            );
        }
    }
}

/// Whether the stored id stands elsewhere in the fresh list at about the same log-probability, or
/// fell off its end at about the last one's.
fn is_tied(
    fresh_logprobs: &[f32],
    fresh_ids: &[u32],
    rank: usize,
    stored_id: u32,
    rounding: Rounding,
) -> bool {
    let here = fresh_logprobs[rank];
    let last = fresh_logprobs.len() - 1;
    let there = fresh_ids
        .iter()
        .position(|&id| id == stored_id)
        .unwrap_or(last);
    let difference = f64::from(here - fresh_logprobs[there]).abs();
    here == fresh_logprobs[there] || difference <= RELABEL_TOLERANCE_NATS + step(rounding, here)
}

/// One step of the rounding at `value`: two values that round apart differ by no more.
fn step(rounding: Rounding, value: f32) -> f64 {
    let relative = match rounding {
        Rounding::F32 => f64::from(f32::EPSILON),
        Rounding::F16 => f64::from(half::f16::EPSILON),
        Rounding::Bf16 => f64::from(half::bf16::EPSILON),
    };
    relative * f64::from(value).abs()
}

impl RelabelReport {
    fn find(&mut self, seq_id: u64, what: String) {
        self.n_findings += 1;
        if self.findings.len() < MAX_LISTED {
            self.findings.push(format!("sequence {seq_id}: {what}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signals(ids: &[u32], logprobs: &[f32]) -> PositionSignals {
        PositionSignals {
            target_logprob_t: vec![-1.0],
            topk_ids_tk: ids.to_vec(),
            topk_logprobs_tk: logprobs.to_vec(),
            tail_mass_t: vec![0.25],
            ..Default::default()
        }
    }

    fn compare(stored: PositionSignals, fresh: PositionSignals) -> RelabelReport {
        let mut report = RelabelReport::default();
        let row = Row {
            signals: stored,
            ..Row::default()
        };
        let again = SequenceSignals {
            positions: fresh,
            ..Default::default()
        };
        let top_k = again.positions.topk_ids_tk.len();
        let mut comparison = Comparison {
            seq_id: 7,
            rounding: Rounding::F16,
            report: &mut report,
        };
        comparison.compare(&row, &again, top_k);
        report
    }

    #[test]
    fn what_is_equal_up_to_float_noise_and_rounding_is_no_finding() {
        let noisy = signals(&[3, 1], &[-0.5, -2.0 - 2.0 * f32::from(half::f16::EPSILON)]);
        let report = compare(signals(&[3, 1], &[-0.500_05, -2.0]), noisy);
        assert_eq!((report.n_findings, report.n_tied_ids), (0, 0));
        assert!(report.max_difference_nats > 1e-5);
    }

    #[test]
    fn ids_may_change_places_only_where_they_tie() {
        let tied = compare(
            signals(&[1, 3], &[-1.0, -1.0]),
            signals(&[3, 1], &[-1.0, -1.0]),
        );
        assert_eq!((tied.n_findings, tied.n_tied_ids), (0, 2));
        let apart = compare(
            signals(&[1, 3], &[-1.0, -2.0]),
            signals(&[3, 1], &[-1.0, -2.0]),
        );
        assert_eq!((apart.n_findings, apart.n_tied_ids), (2, 0));
        assert!(apart.findings[0].contains("sequence 7: topk_ids[0][0] is 1"));
    }

    #[test]
    fn every_kind_of_value_that_is_off_is_named() {
        let good = || signals(&[3, 1], &[-0.5, -2.0]);
        let off = [
            (
                PositionSignals {
                    target_logprob_t: vec![-1.001],
                    ..good()
                },
                "target_logprob[0]",
            ),
            (
                PositionSignals {
                    topk_logprobs_tk: vec![-0.6, -2.0],
                    ..good()
                },
                "topk_logprobs[0]",
            ),
            (
                PositionSignals {
                    topk_logprobs_tk: vec![-0.5, f32::NEG_INFINITY],
                    ..good()
                },
                "topk_logprobs[1]",
            ),
            (
                PositionSignals {
                    tail_mass_t: vec![0.3],
                    ..good()
                },
                "tail_mass[0]",
            ),
        ];
        for (stored, name) in off {
            let report = compare(stored, good());
            assert_eq!(report.n_findings, 1, "{name}");
            assert!(report.findings[0].contains(name), "{:?}", report.findings);
        }
    }

    #[test]
    fn findings_past_the_listed_ones_are_counted() {
        let n = MAX_LISTED + 5;
        let many = |value| PositionSignals {
            entropy_t: vec![value; n],
            ..Default::default()
        };
        let report = compare(many(1.0), many(2.0));
        assert_eq!(
            (report.n_findings, report.findings.len()),
            (n as u64, MAX_LISTED)
        );
    }
}
