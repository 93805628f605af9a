//! `verify --teacher`: labels a sample of a finished set again and compares it with what is stored.

use super::error::LabelError;
use super::inputs::{LabelInputs, view_of};
use super::options::LabelConfig;
use super::pipeline::signals_alone;
use super::reduction::signals_config;
use super::runtime_stamp::runtime_stamp;
use crate::shards::{LabelSet, Manifest, Permutation, Plan, Row, RuntimeStamp, ShardReader};
use crate::signals::{PositionSignals, Rounding, SequenceSignals};
use crate::teacher::{Noise, Teacher};
use crate::tokens::{Sequence, SequenceView};
use std::collections::BTreeMap;

/// Fraction of draws, of a position and of a whole sequence, that may fall on other ids, plus the tolerance in nats
/// (probabilities change by no larger a factor). Floating-point noise in the logits shifts the boundaries between ids,
/// and so moves draws near a boundary: one in a thousand at an independent noise of 1e-5 nats over 32,000 ids
/// (`float_noise_moves_fewer_draws_than_are_allowed`). Noise correlated across ids moves more.
const MOVED_DRAWS_FRACTION: f64 = 0.1;

/// Differences listed individually; the rest are only counted.
const MAX_LISTED: usize = 20;

/// The result of the comparison.
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
    /// Kept ids that differ, each tied within the tolerance with the one it replaces.
    pub n_tied_ids: u64,
    /// Draws that fell on other ids.
    pub n_moved_draws: u64,
    /// Sequences that are bit-identical.
    pub n_identical: u64,
    /// Nats by which a value may differ, plus one step of its rounding.
    pub tolerance_nats: f64,
    /// The measured noise of the teacher, which determines the tolerance.
    pub noise: Noise,
    /// Dtype of its logits, which also affects the tolerance.
    pub logits_dtype: String,
    /// Runtimes that made the labels, as their manifest lists them.
    pub made_by: Vec<RuntimeStamp>,
    /// The runtime of this check.
    pub checked_by: Option<RuntimeStamp>,
    /// Differences above the tolerance.
    pub n_findings: u64,
    /// The first of them.
    pub findings: Vec<String>,
}

/// Labels `n_sequences` of `set`, chosen by `seed`, again, with the teacher that made it.
///
/// # Errors
/// Any error of reading and running.
pub(super) fn relabel(
    set: &LabelSet,
    config: &LabelConfig,
    LabelInputs {
        teacher, corpus, ..
    }: &mut LabelInputs,
    n_sequences: u64,
    seed: u64,
) -> Result<RelabelReport, LabelError> {
    let view = view_of(corpus, config)?;
    let mut report = RelabelReport::of(set, teacher)?;
    each_sampled_row(set, n_sequences, seed, |plan, row| {
        compare_row(row, plan, &view, teacher, &mut report)
    })?;
    Ok(report)
}

/// Calls `visit` for the rows of `n_sequences` of `set`, chosen by `seed`, with their plans.
pub(super) fn each_sampled_row(
    set: &LabelSet,
    n_sequences: u64,
    seed: u64,
    mut visit: impl FnMut(&Plan, &Row) -> Result<(), LabelError>,
) -> Result<(), LabelError> {
    for ((segment, shard, row_group), seq_ids) in sample(set, n_sequences, seed) {
        let plan = &set.segments[segment];
        let rows = ShardReader::open(&set.dir, plan, shard)?.read_row_group(row_group as usize)?;
        for row in rows.iter().filter(|row| seq_ids.contains(&row.seq_id)) {
            visit(plan, row)?;
        }
    }
    Ok(())
}

/// Row groups with sampled sequences: (segment, shard, row group) and the seq_ids in it.
type Sample = BTreeMap<(usize, u32, u32), Vec<u64>>;

fn sample(set: &LabelSet, n_sequences: u64, seed: u64) -> Sample {
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
        if let Some(seq_id) = plan.nth_sequence(index) {
            return (segment, seq_id);
        }
        index -= plan.n_sequences();
    }
    unreachable!("the index is below the sum of all segments")
}

fn compare_row(
    row: &Row,
    plan: &Plan,
    view: &SequenceView<'_>,
    teacher: &mut Teacher,
    report: &mut RelabelReport,
) -> Result<(), LabelError> {
    let sequence: Sequence = view.read(row.seq_id)?;
    let signals = signals_config(&plan.signals, plan.teacher.vocab_size);
    let again = signals_alone(&sequence, teacher, &signals, view)?;
    report.n_sequences += 1;
    report.n_positions += u64::from(row.n_targets);
    if plan.signals.has_positions() && sequence.input_ids != row.input_ids {
        report.find(
            row.seq_id,
            "input_ids are not the tokens of the corpus".into(),
        );
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
        self.draws(stored, fresh);
        self.score("score_mean_nll", row.scores.mean_nll, again.scores.mean_nll);
        self.score(
            "score_mean_entropy",
            row.scores.mean_entropy,
            again.scores.mean_entropy,
        );
        let is_identical = row.signals == again.positions && row.scores == again.scores;
        self.report.n_identical += u64::from(is_identical);
    }

    /// Log-probabilities and other values in nats: equal within the tolerance and one step of the rounding.
    fn nats(&mut self, what: &str, stored: &[f32], fresh: &[f32], rounding: Rounding) {
        for (i, (&stored, &fresh)) in stored.iter().zip(fresh).enumerate() {
            if stored == fresh {
                continue;
            }
            let difference = (f64::from(stored) - f64::from(fresh)).abs();
            // NaN, from an infinity and a number, compares as above every tolerance.
            let within = difference <= self.report.tolerance_nats + step(rounding, fresh);
            self.report.max_difference_nats = self.report.max_difference_nats.max(difference);
            if !within {
                self.report.find(
                    self.seq_id,
                    format!("{what}[{i}] is {stored}, expected {fresh}"),
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
            let step = self.rounding.tail_step() * f64::from(fresh);
            if difference > self.report.tolerance_nats + step {
                self.report.find(
                    self.seq_id,
                    format!("tail_mass[{t}] is {stored}, expected {fresh}"),
                );
            }
        }
    }

    /// Ids may differ only if the log-probabilities at that rank tie; `nats` has already compared those, so differences
    /// need only be counted.
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
                    self.report.tolerance_nats
                        + step(self.rounding, fresh.topk_logprobs_tk[t * top_k + rank]),
                ) {
                    self.report.n_tied_ids += 1;
                } else {
                    self.report.find(
                        self.seq_id,
                        format!("topk_ids[{t}][{rank}] is {stored_id}, expected {fresh_id}"),
                    );
                }
            }
        }
    }

    /// Draws of a position as multisets of ids: counts those that are on one side only.
    fn draws(&mut self, stored: &PositionSignals, fresh: &PositionSignals) {
        let n_positions = stored.sample_offsets.len().min(fresh.sample_offsets.len());
        let (mut n_moved, mut n_draws) = (0, 0);
        for t in 0..n_positions.saturating_sub(1) {
            let (ours, theirs) = (draws_at(stored, t), draws_at(fresh, t));
            let n_here: u64 = theirs.values().sum();
            let n_kept: u64 = ours
                .iter()
                .map(|(id, count)| theirs.get(id).map_or(0, |other| *count.min(other)))
                .sum();
            if n_here - n_kept > self.moved_draws_allowed(n_here) {
                let what = format!(
                    "of the {n_here} samples of position {t}, {} have other ids than the new samples",
                    n_here - n_kept
                );
                self.report.find(self.seq_id, what);
            }
            n_moved += n_here - n_kept;
            n_draws += n_here;
        }
        self.report.n_moved_draws += n_moved;
        // With a single draw per position, each may have moved, but not all of them.
        if n_moved > self.moved_draws_allowed(n_draws) {
            let what =
                format!("of {n_draws} samples, {n_moved} have other ids than the new samples");
            self.report.find(self.seq_id, what);
        }
    }

    /// One draw may always be on a boundary.
    fn moved_draws_allowed(&self, n_draws: u64) -> u64 {
        let fraction = MOVED_DRAWS_FRACTION + self.report.tolerance_nats;
        1 + (n_draws as f64 * fraction) as u64
    }

    fn score(&mut self, what: &str, stored: f64, fresh: f64) {
        // NaN, from an infinity and a number, is above every tolerance; two infinities are equal.
        let is_near = stored == fresh || (stored - fresh).abs() <= self.report.tolerance_nats;
        if !is_near {
            self.report
                .find(self.seq_id, format!("{what} is {stored}, expected {fresh}"));
        }
    }
}

/// How often each id was drawn at position t.
fn draws_at(signals: &PositionSignals, t: usize) -> BTreeMap<u32, u64> {
    let range = signals.sample_offsets[t] as usize..signals.sample_offsets[t + 1] as usize;
    let ids = signals.sampled_ids[range.clone()].iter().copied();
    let counts = signals.sampled_counts[range].iter();
    ids.zip(counts.map(|&count| u64::from(count))).collect()
}

/// Whether the stored id is elsewhere in the fresh list with about the same log-probability, or fell off its end at
/// about the last one's.
fn is_tied(
    fresh_logprobs: &[f32],
    fresh_ids: &[u32],
    rank: usize,
    stored_id: u32,
    tolerance_nats: f64,
) -> bool {
    let here = fresh_logprobs[rank];
    let last = fresh_logprobs.len() - 1;
    let there = fresh_ids
        .iter()
        .position(|&id| id == stored_id)
        .unwrap_or(last);
    let difference = f64::from(here - fresh_logprobs[there]).abs();
    here == fresh_logprobs[there] || difference <= tolerance_nats
}

/// One step of the rounding at `value`: two values that round apart differ by no more.
fn step(rounding: Rounding, value: f32) -> f64 {
    rounding.step() * f64::from(value).abs()
}

impl RelabelReport {
    /// An empty report, with the tolerance that `teacher` requires.
    fn of(set: &LabelSet, teacher: &Teacher) -> Result<Self, LabelError> {
        let info = teacher.info();
        let manifest = Manifest::read(&set.dir)?;
        Ok(Self {
            tolerance_nats: info.noise.tolerance_nats(),
            noise: info.noise,
            logits_dtype: info.logits_dtype.to_string(),
            made_by: manifest.map_or_else(Vec::new, |manifest| manifest.runtimes),
            checked_by: Some(runtime_stamp(teacher)),
            ..Self::default()
        })
    }

    /// Whether every bit is the same.
    pub fn is_identical(&self) -> bool {
        self.n_identical == self.n_sequences
    }

    fn find(&mut self, seq_id: u64, what: String) {
        self.n_findings += 1;
        if self.findings.len() < MAX_LISTED {
            self.findings.push(format!("sequence {seq_id}: {what}"));
        }
    }
}

#[cfg(test)]
mod tests;
