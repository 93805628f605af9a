//! From positions, reduced in any place, to one sequence's lists and scores.

use super::scores::{ScoreInputs, scores};
use super::types::{PositionSignals, Scores, SignalsConfig};

/// All results for one sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SequenceSignals {
    /// Lists over the positions, for the requested groups.
    pub positions: PositionSignals,
    /// The scores of the whole sequence.
    pub scores: Scores,
    /// The inputs of the scores, for sums over parts of the sequence.
    pub score_inputs: ScoreInputs,
}

/// One position, reduced: on this CPU, in the model's graph or on a device. Nats, f64 and unrounded. Values of a group
/// that is not requested are never read, and may be 0 or empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PositionReduction<'a> {
    /// log p of the target.
    pub target_logprob: f64,
    /// Ids ranked above the target. Anything from `SCORE_K` up will do unless `stats` is requested.
    pub target_rank: u32,
    /// Entropy of the full softmax.
    pub entropy: f64,
    /// logsumexp of the raw logits. Group `stats`.
    pub logsumexp: f64,
    /// Probability of the `SCORE_K` best ids, in `[0, 1]`.
    pub score_topk_mass: f64,
    /// `[K]` best ids by (descending logit, ascending id). Group `topk`.
    pub topk_ids: &'a [u32],
    /// `[K]` log-probabilities of those ids. Group `topk`.
    pub topk_logprobs: &'a [f32],
    /// Probability outside the K, in `[0, 1]`. Group `topk`.
    pub tail_mass: f64,
    /// `[X]` log sum_v p_v^(1/tau) for each extra temperature. Group `topk`.
    pub log_partitions: &'a [f64],
    /// Distinct ids drawn, ascending. Group `samples`.
    pub sampled_ids: &'a [u32],
    /// How often each was drawn. Group `samples`.
    pub sampled_counts: &'a [u16],
}

/// Takes the positions of one sequence, or of a part of it, in order.
#[derive(Debug)]
pub struct SequenceBuilder<'a> {
    config: &'a SignalsConfig,
    positions: PositionSignals,
    score_inputs: ScoreInputs,
}

impl<'a> SequenceBuilder<'a> {
    /// Starts without positions; reserves space for `n_positions`.
    pub fn new(config: &'a SignalsConfig, n_positions: usize) -> Self {
        let mut positions = PositionSignals::default();
        if config.groups.topk {
            let n_lists = config.temperatures.len();
            positions.log_partition_xt = vec![Vec::with_capacity(n_positions); n_lists];
            positions.topk_ids_tk.reserve(n_positions * config.top_k);
            positions
                .topk_logprobs_tk
                .reserve(n_positions * config.top_k);
        }
        if config.sampling.is_some() {
            positions.sample_offsets.reserve(n_positions + 1);
            positions.sample_offsets.push(0);
        }
        Self {
            config,
            positions,
            score_inputs: ScoreInputs::default(),
        }
    }

    /// Adds the next position.
    pub fn push(&mut self, position: &PositionReduction<'_>) {
        let (groups, lists) = (self.config.groups, &mut self.positions);
        if groups.stats {
            push_stats(lists, position);
        }
        if groups.topk {
            push_topk(lists, position, self.config);
        }
        if self.config.sampling.is_some() {
            lists.sampled_ids.extend_from_slice(position.sampled_ids);
            lists
                .sampled_counts
                .extend_from_slice(position.sampled_counts);
            // A row group has fewer than 2^31 values in any list, and so has a sequence.
            lists.sample_offsets.push(lists.sampled_ids.len() as u32);
        }
        self.score_inputs.nll_t.push(-position.target_logprob);
        self.score_inputs.target_rank_t.push(position.target_rank);
        self.score_inputs.entropy_t.push(position.entropy);
        self.score_inputs.topk_mass_t.push(position.score_topk_mass);
    }

    /// Adds the positions of the part that follows.
    pub fn append(&mut self, mut next: Self) {
        let (ours, theirs) = (&mut self.positions, &mut next.positions);
        ours.target_logprob_t.append(&mut theirs.target_logprob_t);
        ours.target_rank_t.append(&mut theirs.target_rank_t);
        ours.entropy_t.append(&mut theirs.entropy_t);
        ours.logsumexp_t.append(&mut theirs.logsumexp_t);
        ours.topk_ids_tk.append(&mut theirs.topk_ids_tk);
        ours.topk_logprobs_tk.append(&mut theirs.topk_logprobs_tk);
        ours.tail_mass_t.append(&mut theirs.tail_mass_t);
        let lists = ours
            .log_partition_xt
            .iter_mut()
            .zip(&mut theirs.log_partition_xt);
        lists.for_each(|(ours, theirs)| ours.append(theirs));
        let first = ours.sampled_ids.len() as u32;
        let offsets = theirs.sample_offsets.iter().skip(1);
        ours.sample_offsets
            .extend(offsets.map(|&offset| first + offset));
        ours.sampled_ids.append(&mut theirs.sampled_ids);
        ours.sampled_counts.append(&mut theirs.sampled_counts);
        self.score_inputs.append(next.score_inputs);
    }

    /// The lists, and the scores over all positions (at least one).
    pub fn finish(self) -> SequenceSignals {
        SequenceSignals {
            scores: scores(&self.score_inputs),
            positions: self.positions,
            score_inputs: self.score_inputs,
        }
    }
}

fn push_stats(lists: &mut PositionSignals, position: &PositionReduction<'_>) {
    lists.target_logprob_t.push(position.target_logprob as f32);
    let rank = u16::try_from(position.target_rank).unwrap_or(u16::MAX);
    lists.target_rank_t.push(rank);
    lists.entropy_t.push(position.entropy as f32);
    lists.logsumexp_t.push(position.logsumexp as f32);
}

fn push_topk(
    lists: &mut PositionSignals,
    position: &PositionReduction<'_>,
    config: &SignalsConfig,
) {
    lists.topk_ids_tk.extend_from_slice(position.topk_ids);
    let rounded = |&logprob: &f32| config.rounding.round(logprob);
    lists
        .topk_logprobs_tk
        .extend(position.topk_logprobs.iter().map(rounded));
    lists
        .tail_mass_t
        .push(config.rounding.round_tail(position.tail_mass));
    let partitions = lists
        .log_partition_xt
        .iter_mut()
        .zip(position.log_partitions);
    partitions.for_each(|(list, &partition)| list.push(partition as f32));
}
