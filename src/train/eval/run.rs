//! Sequences through the model, several a micro-batch.

use super::EvalError;
use super::score::{DocumentGroups, EvalReport, NllSums, Tally};
use crate::tokens::{Sequence, SequenceView};
use crate::train::loss::MicroBatch;
use crate::train::model::{Capacity, ModelSpec, Network};
use std::ops::ControlFlow;

/// Positions a micro-batch of an evaluation holds at most, unless one sequence is longer; speed and
/// memory only.
pub const DEFAULT_BATCH_POSITIONS: usize = 2048;

/// How far an evaluation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalProgress {
    /// Predicted positions so far.
    pub n_targets: u64,
}

/// Room for micro-batches of at most `n_positions` positions, or of one sequence of `seq_len`.
pub fn evaluation_capacity(n_positions: usize, seq_len: usize, threads: usize) -> Capacity {
    Capacity {
        n_positions: n_positions.max(seq_len),
        seq_len,
        threads,
        training: false,
        recompute: false,
    }
}

/// Evaluates all sequences of `view`. `n_positions` is what the network has room for; `text_bytes`
/// are the bytes of the predicted text of each group (of all documents, without groups), and
/// `bytes_of_ids` `[V]` take their place where they are not known.
///
/// # Errors
/// [`EvalError::SeqLen`] past the model's limit, [`EvalError::NothingToPredict`],
/// [`EvalError::NotFinite`], [`EvalError::Interrupted`] where `on_progress` says so.
pub fn evaluate(
    network: &mut Network,
    view: &SequenceView<'_>,
    seq_ids: impl Iterator<Item = u64>,
    options: &EvalOptions<'_>,
    mut on_progress: impl FnMut(&EvalProgress) -> ControlFlow<()>,
) -> Result<EvalReport, EvalError> {
    check_seq_len(&network.params.spec, view.options().seq_len as usize)?;
    if view.is_empty() {
        return Err(EvalError::NothingToPredict);
    }
    let mut tally = Tally::new(options.groups, options.bytes_of_ids);
    let sequences = seq_ids.map(|seq_id| view.read(seq_id));
    for_each_batch(
        network,
        sequences,
        options.n_positions,
        |sequence, logprobs_t| {
            tally.add(sequence, logprobs_t);
            let n_targets = tally.n_targets();
            on_progress(&EvalProgress { n_targets })
        },
    )?;
    Ok(tally.report(options.text_bytes))
}

/// The NLL of some sequences of a view: what validation during training needs.
///
/// # Errors
/// As [`evaluate`].
pub fn nll_of(
    network: &mut Network,
    view: &SequenceView<'_>,
    seq_ids: impl Iterator<Item = u64>,
    n_positions: usize,
) -> Result<NllSums, EvalError> {
    let mut sums = NllSums::default();
    let sequences = seq_ids.map(|seq_id| view.read(seq_id));
    for_each_batch(network, sequences, n_positions, |_, logprobs_t| {
        sums.n_targets += logprobs_t.len() as u64;
        sums.nll_nats -= logprobs_t
            .iter()
            .map(|&logprob| f64::from(logprob))
            .sum::<f64>();
        ControlFlow::Continue(())
    })?;
    Ok(sums)
}

/// What beside the tokens an evaluation goes by.
#[derive(Debug, Clone, Copy, Default)]
pub struct EvalOptions<'a> {
    /// Positions a micro-batch holds at most: no more than the network has room for.
    pub n_positions: usize,
    /// Groups of documents to score apart.
    pub groups: Option<&'a DocumentGroups>,
    /// `[V]` bytes of text that each id stands for (see [`text_bytes_of_ids`](super::text_bytes_of_ids)).
    pub bytes_of_ids: Option<&'a [u32]>,
    /// Bytes of the predicted text of each group, or of everything: where all sequences are taken.
    pub text_bytes: Option<&'a [u64]>,
}

fn check_seq_len(spec: &ModelSpec, seq_len: usize) -> Result<(), EvalError> {
    if seq_len <= spec.max_seq_len {
        return Ok(());
    }
    Err(EvalError::SeqLen {
        seq_len,
        max_seq_len: spec.max_seq_len,
    })
}

/// `n` of `n_total` numbers from 0 on, evenly spread, rising; all of them if there are no more.
pub fn evenly_spread(n_total: u64, n: u64) -> impl Iterator<Item = u64> {
    let n = n.min(n_total);
    (0..n).map(move |idx| (u128::from(idx) * u128::from(n_total) / u128::from(n)) as u64)
}

/// Calls `visit` with each sequence in its order and with log q_y of its targets, nats.
fn for_each_batch(
    network: &mut Network,
    sequences: impl Iterator<Item = Sequence>,
    n_positions: usize,
    mut visit: impl FnMut(&Sequence, &[f32]) -> ControlFlow<()>,
) -> Result<(), EvalError> {
    let mut logprobs_n = Vec::new();
    for sequences in grouped(sequences, n_positions) {
        let batch = batch_of(&sequences);
        logprobs_n.resize(batch.n_positions(), 0.0);
        network.evaluate(&batch, &mut logprobs_n);
        for (sequence, bounds) in std::iter::zip(&sequences, batch.starts.windows(2)) {
            let logprobs_t = &logprobs_n[bounds[0]..bounds[1]];
            check_finite(sequence, logprobs_t)?;
            if visit(sequence, logprobs_t).is_break() {
                return Err(EvalError::Interrupted);
            }
        }
    }
    Ok(())
}

/// -inf is a probability that f32 cannot hold, and as wrong as NaN for a mean.
fn check_finite(sequence: &Sequence, logprobs_t: &[f32]) -> Result<(), EvalError> {
    let position = logprobs_t.iter().position(|logprob| !logprob.is_finite());
    position.map_or(Ok(()), |position| {
        Err(EvalError::NotFinite {
            value: logprobs_t[position],
            seq_id: sequence.seq_id,
            position,
        })
    })
}

/// Runs of sequences that together have at most `n_positions` predicted positions, or one longer.
fn grouped(
    sequences: impl Iterator<Item = Sequence>,
    n_positions: usize,
) -> impl Iterator<Item = Vec<Sequence>> {
    let n_targets = |sequence: &Sequence| sequence.input_ids.len() - 1;
    let mut sequences = sequences.peekable();
    std::iter::from_fn(move || {
        let mut group = vec![sequences.next()?];
        let mut n = n_targets(&group[0]);
        while let Some(next) = sequences.next_if(|next| n + n_targets(next) <= n_positions) {
            n += n_targets(&next);
            group.push(next);
        }
        Some(group)
    })
}

fn batch_of(sequences: &[Sequence]) -> MicroBatch {
    let mut batch = MicroBatch {
        starts: vec![0],
        ..MicroBatch::default()
    };
    for Sequence { input_ids, .. } in sequences {
        let n_targets = input_ids.len() - 1;
        batch.ids_n.extend_from_slice(&input_ids[..n_targets]);
        batch.targets_n.extend_from_slice(&input_ids[1..]);
        batch.starts.push(batch.ids_n.len());
    }
    batch.weights_n = vec![1.0; batch.ids_n.len()];
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(seq_id: u64, input_ids: &[u32]) -> Sequence {
        Sequence {
            seq_id,
            input_ids: input_ids.to_vec(),
            doc_starts: vec![0],
            doc_indices: vec![seq_id],
        }
    }

    #[test]
    fn a_micro_batch_holds_sequences_one_after_the_other() {
        let batch = batch_of(&[sequence(0, &[1, 2, 3]), sequence(1, &[4, 5])]);
        assert_eq!(batch.ids_n, [1, 2, 4]);
        assert_eq!(batch.targets_n, [2, 3, 5]);
        assert_eq!(batch.weights_n, [1.0; 3]);
        assert_eq!(batch.starts, [0, 2, 3]);
        assert_eq!(batch.kd, None);
    }

    #[test]
    fn groups_fill_up_to_their_limit_and_a_longer_sequence_stands_alone() {
        let lengths = [3, 2, 6, 1, 1, 4];
        let sequences = lengths
            .iter()
            .enumerate()
            .map(|(idx, &n)| sequence(idx as u64, &vec![7; n + 1]));
        let groups: Vec<Vec<u64>> = grouped(sequences, 5)
            .map(|group| group.iter().map(|sequence| sequence.seq_id).collect())
            .collect();
        assert_eq!(groups, [vec![0, 1], vec![2], vec![3, 4], vec![5]]);
    }

    #[test]
    fn a_sample_is_spread_from_the_first_sequence_on() {
        let spread = |n_total, n| evenly_spread(n_total, n).collect::<Vec<_>>();
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 9), [0, 1, 2]);
        assert_eq!(spread(0, 4), [0; 0]);
        assert_eq!(evenly_spread(u64::MAX, 3).last(), Some(u64::MAX / 3 * 2));
    }
}
