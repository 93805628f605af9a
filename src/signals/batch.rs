//! A batch of logits, reduced in parallel: each sequence's lists and scores.

use super::error::SignalsError;
use super::exp::Isa;
use super::kernel::{RowDefect, RowReducer, RowSignals};
use super::scores::{ScoreInputs, scores};
use super::types::{Logits, LogitsData, PositionSignals, Scores, SignalsConfig};
use rayon::prelude::*;

/// Positions a parallel task: enough to drown the hand-over, few enough to share one sequence.
const POSITIONS_A_TASK: usize = 16;

/// All that the teacher says of one sequence.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SequenceSignals {
    /// Lists over the positions, as far as the groups ask for them.
    pub positions: PositionSignals,
    /// The scores of the whole sequence.
    pub scores: Scores,
}

/// Reduces a batch. `targets[b]` holds the T_b target ids of row b: position t of the row predicts
/// `targets[b][t]`, and T_b may be anything from 1 up to the batch's width.
///
/// Runs on the current rayon pool; the result depends neither on its size nor on the batch.
///
/// # Errors
/// A logit that is NaN or +inf, a row with nothing but -inf, a target outside the vocabulary.
pub fn reduce_batch(
    logits: Logits<'_>,
    targets: &[&[u32]],
    config: &SignalsConfig,
) -> Result<Vec<SequenceSignals>, SignalsError> {
    check_shape(logits, targets, config)?;
    let tasks: Vec<Task> = targets
        .iter()
        .enumerate()
        .flat_map(|(row_idx, targets)| Task::cut(row_idx, targets))
        .collect();
    let parts: Vec<Result<Part, SignalsError>> = tasks
        .par_iter()
        .map_init(
            || Worker::new(config),
            |worker, task| worker.reduce(logits, task),
        )
        .collect();
    let mut wholes: Vec<Part> = targets.iter().map(|_| Part::empty(config)).collect();
    for (task, part) in tasks.iter().zip(parts) {
        wholes[task.row_idx].append(part?);
    }
    Ok(wholes.into_iter().map(Part::finish).collect())
}

/// Name of the instruction set that the sums run on; it goes into sidecars.
pub fn instruction_set() -> &'static str {
    Isa::detect().name()
}

fn check_shape(
    logits: Logits<'_>,
    targets: &[&[u32]],
    config: &SignalsConfig,
) -> Result<(), SignalsError> {
    assert_eq!(targets.len(), logits.n_rows, "one list of targets a row");
    assert!(
        targets.iter().all(|t| t.len() <= logits.width),
        "targets inside the batch's width"
    );
    if config.vocab_size > logits.vocab_size {
        return Err(SignalsError::Vocabulary {
            expected: config.vocab_size,
            got: logits.vocab_size,
        });
    }
    Ok(())
}

/// Some neighbouring positions of one row.
struct Task<'a> {
    row_idx: usize,
    first: usize,
    targets: &'a [u32],
}

impl<'a> Task<'a> {
    fn cut(row_idx: usize, targets: &'a [u32]) -> impl Iterator<Item = Task<'a>> {
        let chunks = targets.chunks(POSITIONS_A_TASK).enumerate();
        chunks.map(move |(i, targets)| Task {
            row_idx,
            first: i * POSITIONS_A_TASK,
            targets,
        })
    }
}

/// Signals of neighbouring positions, with what the scores need of them.
struct Part {
    positions: PositionSignals,
    score_inputs: ScoreInputs,
}

impl Part {
    fn empty(config: &SignalsConfig) -> Self {
        let n_lists = if config.groups.topk {
            config.temperatures.len()
        } else {
            0
        };
        let positions = PositionSignals {
            log_partition_xt: vec![Vec::new(); n_lists],
            ..Default::default()
        };
        Self {
            positions,
            score_inputs: ScoreInputs::default(),
        }
    }

    fn append(&mut self, mut other: Self) {
        let (ours, theirs) = (&mut self.positions, &mut other.positions);
        ours.target_logprob_t.append(&mut theirs.target_logprob_t);
        ours.target_rank_t.append(&mut theirs.target_rank_t);
        ours.entropy_t.append(&mut theirs.entropy_t);
        ours.logsumexp_t.append(&mut theirs.logsumexp_t);
        ours.topk_ids_tk.append(&mut theirs.topk_ids_tk);
        ours.topk_logprobs_tk.append(&mut theirs.topk_logprobs_tk);
        ours.tail_mass_t.append(&mut theirs.tail_mass_t);
        for (ours, theirs) in ours
            .log_partition_xt
            .iter_mut()
            .zip(&mut theirs.log_partition_xt)
        {
            ours.append(theirs);
        }
        self.score_inputs.append(other.score_inputs);
    }

    fn finish(self) -> SequenceSignals {
        SequenceSignals {
            scores: scores(&self.score_inputs),
            positions: self.positions,
        }
    }
}

/// One thread's buffers.
struct Worker<'a> {
    config: &'a SignalsConfig,
    reducer: RowReducer,
    /// A row of half-precision logits, widened.
    widened: Vec<f32>,
}

impl<'a> Worker<'a> {
    fn new(config: &'a SignalsConfig) -> Self {
        let temperatures: &[f64] = if config.groups.topk {
            &config.temperatures
        } else {
            &[]
        };
        let top_k = if config.groups.topk { config.top_k } else { 0 };
        Self {
            config,
            reducer: RowReducer::new(Isa::detect(), top_k, temperatures),
            widened: Vec::new(),
        }
    }

    fn reduce(&mut self, logits: Logits<'_>, task: &Task<'_>) -> Result<Part, SignalsError> {
        let mut part = Part::empty(self.config);
        for (position, &target) in (task.first..).zip(task.targets) {
            let signals = self.reduce_position(logits, task.row_idx, position, target)?;
            self.store(&signals, &mut part);
        }
        Ok(part)
    }

    fn reduce_position(
        &mut self,
        logits: Logits<'_>,
        row_idx: usize,
        position: usize,
        target: u32,
    ) -> Result<RowSignals, SignalsError> {
        let vocab_size = self.config.vocab_size;
        if target as usize >= vocab_size {
            return Err(SignalsError::Target {
                row_idx,
                position,
                target,
                vocab_size,
            });
        }
        let start = (row_idx * logits.width + position) * logits.vocab_size;
        let range = start..start + vocab_size;
        let row = match logits.data {
            LogitsData::F32(values) => &values[range],
            LogitsData::F16(values) => widen(&mut self.widened, &values[range]),
            LogitsData::Bf16(values) => widen(&mut self.widened, &values[range]),
        };
        self.reducer
            .reduce(row, target, self.config.top_k)
            .map_err(|defect| match defect {
                RowDefect::NotFinite { id, value } => SignalsError::NotFinite {
                    row_idx,
                    position,
                    id,
                    value,
                },
                RowDefect::AllMasked => SignalsError::AllMasked { row_idx, position },
            })
    }

    fn store(&self, row: &RowSignals, part: &mut Part) {
        let (groups, positions) = (self.config.groups, &mut part.positions);
        if groups.stats {
            positions.target_logprob_t.push(row.target_logprob as f32);
            positions
                .target_rank_t
                .push(u16::try_from(row.target_rank).unwrap_or(u16::MAX));
            positions.entropy_t.push(row.entropy as f32);
            positions.logsumexp_t.push(row.logsumexp as f32);
        }
        if groups.topk {
            self.store_topk(row, positions);
        }
        part.score_inputs.nll_t.push(-row.target_logprob);
        part.score_inputs.target_rank_t.push(row.target_rank);
        part.score_inputs.entropy_t.push(row.entropy);
        part.score_inputs.topk_mass_t.push(row.score_topk_mass);
    }

    fn store_topk(&self, row: &RowSignals, positions: &mut PositionSignals) {
        let (top_k, rounding) = (self.config.top_k, self.config.rounding);
        let logprob = |&shifted: &f32| rounding.round((f64::from(shifted) - row.ln_sum) as f32);
        positions
            .topk_ids_tk
            .extend(&self.reducer.ranked_ids[..top_k]);
        positions
            .topk_logprobs_tk
            .extend(self.reducer.ranked_shifted[..top_k].iter().map(logprob));
        positions.tail_mass_t.push(row.tail_mass as f32);
        for (list, &log_partition) in positions
            .log_partition_xt
            .iter_mut()
            .zip(&self.reducer.log_partitions)
        {
            list.push(log_partition as f32);
        }
    }
}

fn widen<'a, H: Copy + Into<f32>>(buffer: &'a mut Vec<f32>, values: &[H]) -> &'a [f32] {
    buffer.clear();
    buffer.extend(values.iter().map(|&value| value.into()));
    buffer
}

#[cfg(test)]
mod tests;
