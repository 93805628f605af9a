//! Reduces a batch of logits in parallel to each sequence's lists and scores.

use super::draws::DrawKey;
use super::error::SignalsError;
use super::exp::{Halves, Isa};
use super::kernel::{RowDefect, RowLogits, RowReducer, RowSignals};
use super::sequence::{PositionReduction, SequenceBuilder, SequenceSignals};
use super::types::{Logits, LogitsData, SequenceTargets, SignalsConfig};
use half::slice::HalfFloatSliceExt as _;
use rayon::prelude::*;

/// Positions per parallel task: enough to outweigh the overhead, few enough to share out one sequence.
const POSITIONS_PER_TASK: usize = 16;

/// Reduces a batch: position t of row b predicts `sequences[b].targets[t]`; a row may have from 1 target up to the
/// batch's width.
///
/// Runs on the current rayon pool; the result depends neither on its size nor on the batch.
///
/// # Errors
/// A logit that is NaN or +inf, a row with nothing but -inf, a target outside the vocabulary.
pub fn reduce_batch(
    logits: Logits<'_>,
    sequences: &[SequenceTargets<'_>],
    config: &SignalsConfig,
) -> Result<Vec<SequenceSignals>, SignalsError> {
    check_shape(logits, sequences, config)?;
    let tasks: Vec<Task> = sequences
        .iter()
        .enumerate()
        .flat_map(|(row_idx, sequence)| Task::cut(row_idx, sequence))
        .collect();
    let parts: Vec<Result<SequenceBuilder<'_>, SignalsError>> = tasks
        .par_iter()
        .map_init(
            || Worker::new(config),
            |worker, task| worker.reduce(logits, task),
        )
        .collect();
    let whole = |sequence: &SequenceTargets| SequenceBuilder::new(config, sequence.targets.len());
    let mut wholes: Vec<_> = sequences.iter().map(whole).collect();
    for (task, part) in tasks.iter().zip(parts) {
        wholes[task.row_idx].append(part?);
    }
    Ok(wholes.into_iter().map(SequenceBuilder::finish).collect())
}

/// Name of the instruction set used for the sums; it is recorded in sidecars.
pub fn instruction_set() -> &'static str {
    Isa::detect().name()
}

fn check_shape(
    logits: Logits<'_>,
    sequences: &[SequenceTargets<'_>],
    config: &SignalsConfig,
) -> Result<(), SignalsError> {
    assert_eq!(sequences.len(), logits.n_rows, "one list of targets a row");
    let fits = |sequence: &SequenceTargets| sequence.targets.len() <= logits.width;
    assert!(
        sequences.iter().all(fits),
        "targets inside the batch's width"
    );
    if config.groups.topk && config.top_k > config.vocab_size {
        return Err(SignalsError::TopK {
            top_k: config.top_k,
            vocab_size: config.vocab_size,
        });
    }
    if config.vocab_size > logits.vocab_size {
        return Err(SignalsError::Vocabulary {
            expected: config.vocab_size,
            got: logits.vocab_size,
        });
    }
    Ok(())
}

/// Checks every target before a reduction elsewhere uses it as an index; [`reduce_batch`] checks each with its row.
///
/// # Errors
/// The first target that is not below `vocab_size`.
pub fn check_targets(
    sequences: &[SequenceTargets<'_>],
    vocab_size: usize,
) -> Result<(), SignalsError> {
    for (row_idx, sequence) in sequences.iter().enumerate() {
        let outside = |&target: &u32| target as usize >= vocab_size;
        if let Some(position) = sequence.targets.iter().position(outside) {
            return Err(SignalsError::Target {
                row_idx,
                position,
                target: sequence.targets[position],
                vocab_size,
            });
        }
    }
    Ok(())
}

/// Some neighbouring positions of one row.
struct Task<'a> {
    row_idx: usize,
    seq_id: u64,
    first: usize,
    targets: &'a [u32],
}

impl<'a> Task<'a> {
    fn cut(row_idx: usize, sequence: &SequenceTargets<'a>) -> impl Iterator<Item = Task<'a>> {
        let seq_id = sequence.seq_id;
        let chunks = sequence.targets.chunks(POSITIONS_PER_TASK).enumerate();
        chunks.map(move |(i, targets)| Task {
            row_idx,
            seq_id,
            first: i * POSITIONS_PER_TASK,
            targets,
        })
    }
}

/// One thread's buffers.
struct Worker<'a> {
    config: &'a SignalsConfig,
    reducer: RowReducer,
    /// `[K]` of the latest position.
    topk_logprobs: Vec<f32>,
}

impl<'a> Worker<'a> {
    fn new(config: &'a SignalsConfig) -> Self {
        Self {
            config,
            reducer: RowReducer::new(Isa::detect(), config),
            topk_logprobs: Vec::new(),
        }
    }

    fn reduce(
        &mut self,
        logits: Logits<'_>,
        task: &Task<'_>,
    ) -> Result<SequenceBuilder<'a>, SignalsError> {
        let mut part = SequenceBuilder::new(self.config, task.targets.len());
        for (position, &target) in (task.first..).zip(task.targets) {
            let signals = self.reduce_position(logits, task, position, target)?;
            self.store(&signals, &mut part);
        }
        Ok(part)
    }

    fn reduce_position(
        &mut self,
        logits: Logits<'_>,
        task: &Task<'_>,
        position: usize,
        target: u32,
    ) -> Result<RowSignals, SignalsError> {
        let (row_idx, vocab_size) = (task.row_idx, self.config.vocab_size);
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
            LogitsData::F32(values) => RowLogits::F32(&values[range]),
            LogitsData::F16(values) => {
                RowLogits::Half(Halves::F16(values[range].reinterpret_cast()))
            }
            LogitsData::Bf16(values) => {
                RowLogits::Half(Halves::Bf16(values[range].reinterpret_cast()))
            }
        };
        let key = DrawKey {
            seq_id: task.seq_id,
            position: position as u32,
        };
        self.reducer
            .reduce(row, target, key)
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

    fn store(&mut self, row: &RowSignals, part: &mut SequenceBuilder<'_>) {
        let (reducer, top_k) = (&self.reducer, self.config.top_k);
        let n_kept = if self.config.groups.topk { top_k } else { 0 };
        let logprob = |&shifted: &f32| (f64::from(shifted) - row.ln_sum) as f32;
        self.topk_logprobs.clear();
        self.topk_logprobs
            .extend(reducer.ranking.shifted[..n_kept].iter().map(logprob));
        let (sampled_ids, sampled_counts) = reducer
            .sampler
            .as_ref()
            .map_or((&[][..], &[][..]), |s| (&s.ids[..], &s.counts[..]));
        part.push(&PositionReduction {
            target_logprob: row.target_logprob,
            target_rank: row.target_rank,
            entropy: row.entropy,
            logsumexp: row.logsumexp,
            score_topk_mass: row.score_topk_mass,
            topk_ids: &reducer.ranking.ids[..n_kept],
            topk_logprobs: &self.topk_logprobs,
            tail_mass: row.tail_mass,
            log_partitions: &reducer.log_partitions,
            sampled_ids,
            sampled_counts,
        });
    }
}

#[cfg(test)]
mod tests;
