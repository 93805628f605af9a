//! The invariants of a row: asserted before it is written, checked again after it is read.

mod draws;
mod lists;
mod pieces;
mod scores;

use super::columns::ScoreId;
use super::plan::{Attention, Group, Plan};
use super::row::Row;
use super::row_fault::RowFault;
use crate::signals::Rounding;
use crate::tokens::Packing;
use lists::{Checked, NATS_TOLERANCE, below_vocab, length};

/// How far the sum of kept and tail mass may be from 1, apart from rounding.
const MASS_TOLERANCE: f64 = 1e-3;
/// Relative error that f32 arithmetic may leave in a log-probability.
const F32_NOISE: f64 = 1e-6;
/// How far a log-partition may be on the wrong side of 0. Nats.
const LOG_PARTITION_TOLERANCE: f64 = 1e-3;

/// Checks rows against a plan. Holds scratch space of V words.
#[derive(Debug)]
pub(super) struct Checker {
    t: u32,
    k: usize,
    vocab_size: u32,
    score_k: u32,
    has_stats: bool,
    has_topk: bool,
    /// N, where there are draws.
    n_draws: Option<u16>,
    has_positions: bool,
    /// Whether every sequence but the view's last is full.
    full_but: Option<u64>,
    one_document: bool,
    /// Whether a target may have probability 0.
    impossible_targets: bool,
    temperatures: Vec<f64>,
    rounding: Rounding,
    /// Position (1-based, counted over all rows) at which an id was last kept.
    seen_v: Vec<u64>,
    n_seen: u64,
}

/// Which parts of a row are available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parts {
    /// What the scores file holds.
    Scores,
    /// What the positions file holds.
    Positions,
    /// The whole row.
    Both,
}

impl Checker {
    pub(super) fn new(plan: &Plan) -> Self {
        Self::of_groups(plan, |_| true)
    }

    /// Treats the lists of a group that is not wanted as absent, and so empty.
    pub(super) fn of_groups(plan: &Plan, is_wanted: impl Fn(Group) -> bool) -> Self {
        let q = &plan.sequences;
        let has = |group| plan.signals.has(group) && is_wanted(group);
        let has_topk = has(Group::Topk);
        let samples = plan.signals.samples.filter(|_| has(Group::Samples));
        let n_scratch = if has_topk { plan.teacher.vocab_size } else { 0 };
        Checker {
            t: q.seq_len,
            k: plan.signals.top_k as usize,
            vocab_size: plan.teacher.vocab_size,
            score_k: plan.signals.score_k,
            has_stats: has(Group::Stats),
            has_topk,
            n_draws: samples.map(|samples| samples.n_draws),
            has_positions: plan.signals.has_positions(),
            full_but: (q.packing == Packing::Concat).then(|| q.n_total.saturating_sub(1)),
            one_document: q.attention == Attention::Document && q.packing == Packing::Document,
            impossible_targets: plan.signals.impossible_targets,
            temperatures: plan.signals.temperatures.clone(),
            rounding: plan.signals.rounding,
            seen_v: vec![0; n_scratch as usize],
            n_seen: 0,
        }
    }

    /// Checks every invariant of one row, which is sequence `seq_id` in the plan.
    pub(super) fn check(&mut self, row: &Row, seq_id: u64, parts: Parts) -> Checked {
        if row.seq_id != seq_id {
            return Err(RowFault::SeqId {
                expected: seq_id,
                got: row.seq_id,
            });
        }
        self.check_n_targets(row.seq_id, row.n_targets)?;
        if parts != Parts::Positions {
            scores::check_scores(row, self.impossible_targets)?;
            pieces::check_pieces(row, self.one_document, self.impossible_targets)?;
        }
        if parts == Parts::Scores || !self.has_positions {
            return Ok(());
        }
        self.check_tokens(row)?;
        self.check_stats(row)?;
        self.check_topk(row)?;
        draws::check_draws(row, self.n_draws, self.vocab_size)?;
        if parts == Parts::Both {
            scores::check_against_positions(row, self.has_stats, self.score_k)?;
            pieces::check_against_positions(row, self.has_stats)?;
        }
        Ok(())
    }

    /// Checks the parts of a row that are available when only some scores are read.
    pub(super) fn check_scored(
        &self,
        (seq_id, expected): (u64, u64),
        n_targets: u32,
        scores: impl Iterator<Item = (ScoreId, Option<f64>)>,
    ) -> Checked {
        if seq_id != expected {
            return Err(RowFault::SeqId {
                expected,
                got: seq_id,
            });
        }
        self.check_n_targets(seq_id, n_targets)?;
        scores.into_iter().try_for_each(|(score, value)| {
            scores::check_score(score, value, self.impossible_targets)
        })
    }

    fn check_n_targets(&self, seq_id: u64, n_targets: u32) -> Checked {
        let is_full = self.full_but.is_some_and(|last| seq_id < last);
        let min = if is_full { self.t } else { 1 };
        if (min..=self.t).contains(&n_targets) {
            return Ok(());
        }
        Err(RowFault::NTargets {
            got: n_targets,
            min,
            max: self.t,
        })
    }

    fn check_tokens(&self, row: &Row) -> Checked {
        let n_tokens = row.n_targets as usize + 1;
        length("input_ids", row.input_ids.len(), n_tokens)?;
        below_vocab("input_ids", &row.input_ids, self.vocab_size)?;
        check_documents(row, n_tokens, self.one_document)
    }

    fn check_stats(&self, row: &Row) -> Checked {
        let s = &row.signals;
        let t = if self.has_stats {
            row.n_targets as usize
        } else {
            0
        };
        length("target_logprob", s.target_logprob_t.len(), t)?;
        length("target_rank", s.target_rank_t.len(), t)?;
        length("entropy", s.entropy_t.len(), t)?;
        length("logsumexp", s.logsumexp_t.len(), t)?;
        values(
            "target_logprob",
            &s.target_logprob_t,
            match self.impossible_targets {
                true => "a log-probability (-inf is one)",
                false => "a finite log-probability",
            },
            |x| is_logprob(x) || (self.impossible_targets && x == f32::NEG_INFINITY),
        )?;
        values(
            "entropy",
            &s.entropy_t,
            "a finite number of nats, at least 0",
            |x| x.is_finite() && x >= 0.0,
        )?;
        values(
            "logsumexp",
            &s.logsumexp_t,
            "a finite number of nats",
            f32::is_finite,
        )?;
        let past_vocab = |&rank: &u16| u32::from(rank) >= self.vocab_size;
        match s.target_rank_t.iter().position(past_vocab) {
            None => Ok(()),
            Some(idx) => Err(RowFault::Value {
                column: "target_rank",
                idx,
                value: f64::from(s.target_rank_t[idx]),
                expected: "a rank below the vocabulary size",
            }),
        }
    }

    fn check_topk(&mut self, row: &Row) -> Checked {
        let s = &row.signals;
        let t = if self.has_topk {
            row.n_targets as usize
        } else {
            0
        };
        length("topk_ids", s.topk_ids_tk.len(), t * self.k)?;
        length("topk_logprobs", s.topk_logprobs_tk.len(), t * self.k)?;
        length("tail_mass", s.tail_mass_t.len(), t)?;
        below_vocab("topk_ids", &s.topk_ids_tk, self.vocab_size)?;
        values("tail_mass", &s.tail_mass_t, "a probability", |x| {
            (0.0..=1.0).contains(&x)
        })?;
        values(
            "topk_logprobs",
            &s.topk_logprobs_tk,
            "a log-probability (-inf is one) at the recorded precision",
            |x| (x == f32::NEG_INFINITY || is_logprob(x)) && self.rounding.round(x) == x,
        )?;
        self.check_log_partitions(row, t)?;
        (0..t).try_for_each(|position| self.check_kept(row, position))
    }

    /// Sums of p^(1/tau) are above 1 for tau > 1 and below 1 for tau < 1.
    fn check_log_partitions(&self, row: &Row, t: usize) -> Checked {
        let lists = &row.signals.log_partition_xt;
        let n_lists = if self.has_topk {
            self.temperatures.len()
        } else {
            0
        };
        length("log_partition_tau (temperatures)", lists.len(), n_lists)?;
        for (list, &tau) in lists.iter().zip(&self.temperatures) {
            length("log_partition_tau", list.len(), t)?;
            let expected =
                "a finite number of nats, at least 0 for tau > 1 and at most 0 for tau < 1";
            values("log_partition_tau", list, expected, |x| {
                let signed = if tau > 1.0 {
                    f64::from(x)
                } else {
                    -f64::from(x)
                };
                x.is_finite() && signed >= -LOG_PARTITION_TOLERANCE
            })?;
        }
        Ok(())
    }

    /// Checks the kept set of one position: order, distinct ids, mass, and the target's rank in it.
    fn check_kept(&mut self, row: &Row, position: usize) -> Checked {
        let range = position * self.k..(position + 1) * self.k;
        let ids_k = &row.signals.topk_ids_tk[range.clone()];
        let logprobs_k = &row.signals.topk_logprobs_tk[range];
        self.check_order(ids_k, logprobs_k, position)?;
        self.check_distinct(ids_k, position)?;
        self.check_mass(logprobs_k, row.signals.tail_mass_t[position], position)?;
        if self.has_stats {
            self.check_target(row, position, ids_k, logprobs_k)?;
        }
        Ok(())
    }

    /// The order of ids among equal log-probabilities is not checked: rounding, also to f32, makes ties of different
    /// logits. Only at f32 does rounding never produce -inf, so there ties of -inf must be ordered by id.
    fn check_order(&self, ids_k: &[u32], logprobs_k: &[f32], position: usize) -> Checked {
        let falls = |entry: usize| {
            let (before, here) = (logprobs_k[entry - 1], logprobs_k[entry]);
            let is_true_tie =
                here == f32::NEG_INFINITY && before == here && self.rounding == Rounding::F32;
            before >= here && (!is_true_tie || ids_k[entry - 1] < ids_k[entry])
        };
        match (1..logprobs_k.len()).find(|&entry| !falls(entry)) {
            None => Ok(()),
            Some(entry) => Err(RowFault::TopkOrder { position, entry }),
        }
    }

    fn check_distinct(&mut self, ids_k: &[u32], position: usize) -> Checked {
        self.n_seen += 1;
        for &id in ids_k {
            let seen = &mut self.seen_v[id as usize];
            if std::mem::replace(seen, self.n_seen) == self.n_seen {
                return Err(RowFault::RepeatedId { position, id });
            }
        }
        Ok(())
    }

    /// Kept and tail mass add up to 1, except for rounding: it changes a log-probability x by about |x| times the
    /// precision's step, weighted by exp(x), and the tail by its own step.
    fn check_mass(&self, logprobs_k: &[f32], tail: f32, position: usize) -> Checked {
        let step = self.step();
        let (mut kept, mut slack) = (0.0f64, MASS_TOLERANCE);
        slack += f64::from(tail) * self.rounding.tail_step();
        for &logprob in logprobs_k {
            let p = f64::from(logprob.exp());
            kept += p;
            if p > 0.0 {
                slack += p * f64::from(-logprob).abs() * step;
            }
        }
        let tail = f64::from(tail);
        if (kept + tail - 1.0).abs() <= slack {
            return Ok(());
        }
        Err(RowFault::Disagrees {
            column: "tail_mass",
            idx: position,
            value: tail,
            other: "topk_logprobs",
            expected: 1.0 - kept,
        })
    }

    /// rank r < K exactly if the target is entry r of the kept set, and then with the same log-probability.
    fn check_target(&self, row: &Row, t: usize, ids_k: &[u32], logprobs_k: &[f32]) -> Checked {
        let target = row.input_ids[t + 1];
        let rank = row.signals.target_rank_t[t];
        let kept = ids_k.iter().position(|&id| id == target);
        let from_rank = Some(usize::from(rank)).filter(|&r| r < self.k);
        if kept != from_rank {
            return Err(RowFault::Rank {
                position: t,
                rank,
                target,
                kept,
            });
        }
        let Some(entry) = kept else { return Ok(()) };
        let expected = f64::from(logprobs_k[entry]);
        let value = f64::from(row.signals.target_logprob_t[t]);
        let slack = NATS_TOLERANCE + 2.0 * self.step() * value.abs();
        if !expected.is_finite() || (value - expected).abs() <= slack {
            return Ok(());
        }
        Err(RowFault::Disagrees {
            column: "target_logprob",
            idx: t,
            value,
            other: "topk_logprobs",
            expected,
        })
    }

    /// Relative step of the recorded precision, at least the noise of f32 arithmetic.
    fn step(&self) -> f64 {
        self.rounding.step().max(F32_NOISE)
    }
}

fn check_documents(row: &Row, n_tokens: usize, one_document: bool) -> Checked {
    let starts = &row.doc_starts;
    length("doc_indices", row.doc_indices.len(), starts.len())?;
    let fault = |what| Err(RowFault::Documents { what });
    if starts.first() != Some(&0) {
        return fault("the first document does not start at offset 0");
    }
    if starts.windows(2).any(|pair| pair[0] >= pair[1]) {
        return fault("doc_starts do not increase");
    }
    if starts.last().is_some_and(|&last| last as usize >= n_tokens) {
        return fault("a document starts after the end of the sequence");
    }
    if row.doc_indices.windows(2).any(|pair| pair[0] >= pair[1]) {
        return fault("doc_indices do not increase");
    }
    if one_document && starts.len() != 1 {
        return fault("more than one document, in a set with one document per sequence");
    }
    Ok(())
}

fn values(
    column: &'static str,
    list: &[f32],
    expected: &'static str,
    is_fine: impl Fn(f32) -> bool,
) -> Checked {
    match list.iter().position(|&x| !is_fine(x)) {
        None => Ok(()),
        Some(idx) => Err(RowFault::Value {
            column,
            idx,
            value: f64::from(list[idx]),
            expected,
        }),
    }
}

fn is_logprob(x: f32) -> bool {
    x.is_finite() && f64::from(x) <= NATS_TOLERANCE
}
