//! Turns the words written by the kernel into each sequence's signals.

use super::layout::{DeviceLogits, OutputLayout, SUMS_WORDS};
use crate::signals::{
    self, PositionReduction, SequenceBuilder, SequenceSignals, SequenceTargets, SignalsConfig,
    SignalsError,
};

/// The kernel's codes of defects; any other means that all logits are -inf.
pub(super) const NO_DEFECT: u32 = 0;
pub(super) const NOT_FINITE: u32 = 1;

/// Reads the positions of `sequences`, in the order in which they were written.
pub(super) fn read_sequences(
    words: &[u64],
    layout: &OutputLayout,
    sequences: &[SequenceTargets<'_>],
    config: &SignalsConfig,
) -> Result<Vec<SequenceSignals>, SignalsError> {
    let mut lists = PositionLists::default();
    let mut n = 0;
    let mut read = Vec::with_capacity(sequences.len());
    for (row_idx, sequence) in sequences.iter().enumerate() {
        let mut builder = SequenceBuilder::new(config, sequence.targets.len());
        for position in 0..sequence.targets.len() {
            let reduction = lists.read(words, layout, n);
            builder.push(&reduction.map_err(|defect| defect.at(row_idx, position))?);
            n += 1;
        }
        read.push(builder.finish());
    }
    Ok(read)
}

/// Why a position has no signals.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Defect {
    /// This id's logit is NaN or +inf.
    NotFinite { id: u32, value: f32 },
    /// Every logit is -inf.
    AllMasked,
}

impl Defect {
    fn at(self, row_idx: usize, position: usize) -> SignalsError {
        match self {
            Self::NotFinite { id, value } => SignalsError::NotFinite {
                row_idx,
                position,
                id,
                value,
            },
            Self::AllMasked => SignalsError::AllMasked { row_idx, position },
        }
    }
}

/// The lists of one position, from the returned words.
#[derive(Debug, Default)]
struct PositionLists {
    topk_ids: Vec<u32>,
    topk_logprobs: Vec<f32>,
    log_partitions: Vec<f64>,
    sampled_ids: Vec<u32>,
    sampled_counts: Vec<u16>,
}

impl PositionLists {
    /// Reads position `n` from the kernel's `words`.
    fn read(
        &mut self,
        words: &[u64],
        layout: &OutputLayout,
        n: usize,
    ) -> Result<PositionReduction<'_>, Defect> {
        let sums = &words[n * SUMS_WORDS..(n + 1) * SUMS_WORDS];
        check_defect(sums)?;
        let ln_sum = f64::from_bits(sums[0]);
        let max = f64::from(f32::from_bits(low(sums[5])));
        self.fill(words, layout, n, ln_sum);
        Ok(PositionReduction {
            target_logprob: f64::from_bits(sums[2]),
            target_rank: high(sums[5]),
            entropy: f64::from_bits(sums[1]),
            logsumexp: max + ln_sum,
            score_topk_mass: f64::from_bits(sums[4]),
            topk_ids: &self.topk_ids,
            topk_logprobs: &self.topk_logprobs,
            tail_mass: f64::from_bits(sums[3]),
            log_partitions: &self.log_partitions,
            sampled_ids: &self.sampled_ids,
            sampled_counts: &self.sampled_counts,
        })
    }

    fn fill(&mut self, words: &[u64], layout: &OutputLayout, n: usize, ln_sum: f64) {
        let halves = |start: usize, n_each: usize| {
            (n * n_each..(n + 1) * n_each).map(move |i| half(words[start + i / 2], i % 2))
        };
        self.topk_ids.clear();
        self.topk_ids.extend(halves(layout.topk_ids, layout.top_k));
        let shifted = halves(layout.topk_shifted, layout.top_k).map(f32::from_bits);
        self.topk_logprobs.clear();
        self.topk_logprobs
            .extend(shifted.map(|shifted| (f64::from(shifted) - ln_sum) as f32));
        let first = layout.log_partitions + n * layout.n_temperatures;
        let partitions = &words[first..first + layout.n_temperatures];
        self.log_partitions.clear();
        self.log_partitions
            .extend(partitions.iter().map(|&word| f64::from_bits(word)));
        self.count(halves(layout.draws, layout.n_draws));
    }

    /// Draws are returned individually, sorted: N ids take less space than distinct ids and counts
    /// in rows of one length.
    fn count(&mut self, draws: impl Iterator<Item = u32>) {
        self.sampled_ids.clear();
        self.sampled_counts.clear();
        for id in draws {
            match (self.sampled_ids.last(), self.sampled_counts.last_mut()) {
                (Some(&last), Some(count)) if last == id => *count += 1,
                _ => {
                    self.sampled_ids.push(id);
                    self.sampled_counts.push(1);
                }
            }
        }
    }
}

fn check_defect(sums: &[u64]) -> Result<(), Defect> {
    match low(sums[6]) {
        NO_DEFECT => Ok(()),
        NOT_FINITE => Err(Defect::NotFinite {
            id: high(sums[6]),
            value: f32::from_bits(low(sums[7])),
        }),
        _ => Err(Defect::AllMasked),
    }
}

fn half(word: u64, idx: usize) -> u32 {
    if idx == 0 { low(word) } else { high(word) }
}

fn low(word: u64) -> u32 {
    word as u32
}

fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

/// The same checks as in `signals`, before anything is read out of bounds.
pub(super) fn check_targets(
    logits: DeviceLogits,
    sequences: &[SequenceTargets<'_>],
    config: &SignalsConfig,
) -> Result<(), SignalsError> {
    assert!(
        sequences.len() <= logits.n_rows
            && sequences.iter().all(|s| s.targets.len() <= logits.width),
        "targets inside the batch"
    );
    let vocab_size = config.vocab_size;
    if vocab_size > logits.stride {
        return Err(SignalsError::Vocabulary {
            expected: vocab_size,
            got: logits.stride,
        });
    }
    signals::check_targets(sequences, vocab_size)
}
