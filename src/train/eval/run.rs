//! Runs sequences through the model, several per micro-batch.

use super::EvalError;
use super::check::check_id;
use super::score::{DocumentGroups, EvalReport, Tally};
use crate::tokens::{Sequence, SequenceView};
use crate::train::batch::{MicroBatch, PositionScore};
use crate::train::example::Example;
use crate::train::model::{Capacity, ModelSpec, Network};
use std::ops::ControlFlow;

/// Maximum positions of an evaluation's micro-batch, unless one sequence is longer; affects only speed and
/// memory.
pub const DEFAULT_BATCH_POSITIONS: usize = 2048;

/// Progress of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalProgress {
    /// Predicted positions so far.
    pub n_targets: u64,
}

/// Capacity for the sequences of `view`, several per micro-batch of at most `n_positions` positions.
///
/// # Errors
/// Sequences longer than the model supports, a `sequence_bos` that it does not have, nothing to predict.
pub fn evaluation_capacity(
    spec: &ModelSpec,
    view: &SequenceView<'_>,
    n_positions: usize,
    threads: usize,
) -> Result<Capacity, EvalError> {
    check_view(spec, view)?;
    let n_targets = usize::try_from(view.n_targets())
        .unwrap_or(usize::MAX)
        .max(1);
    let seq_len = (view.options().seq_len as usize).min(n_targets);
    let n_positions = n_positions.max(seq_len).min(n_targets);
    Ok(Capacity::of_inference(n_positions, seq_len, threads))
}

/// Evaluates sequences of `view` by their numbers, as many at a time as the network has room for.
///
/// # Errors
/// Sequences longer than the model supports, nothing to predict, a `sequence_bos` that it does not have, scores
/// that are not finite; [`EvalError::Interrupted`] if `on_progress` breaks.
///
/// # Panics
/// Past the last sequence, or if the network has no room for a sequence.
pub fn evaluate(
    network: &mut Network,
    view: &SequenceView<'_>,
    seq_ids: impl Iterator<Item = u64>,
    options: &EvalOptions<'_>,
    mut on_progress: impl FnMut(&EvalProgress) -> ControlFlow<()>,
) -> Result<EvalReport, EvalError> {
    check_view(&network.params.spec, view)?;
    let mut tally = Tally::new(options.groups, options.bytes_of_ids);
    let mut fault = None;
    let sequences =
        seq_ids.map_while(|seq_id| view.read(seq_id).map_err(|error| fault = Some(error)).ok());
    for_each_batch(network, sequences, |sequence, scores_t| {
        tally.add(sequence, scores_t);
        let n_targets = tally.n_targets();
        on_progress(&EvalProgress { n_targets })
    })?;
    if let Some(fault) = fault {
        return Err(fault.into());
    }
    Ok(tally.report(options.text_bytes))
}

/// Inputs of an evaluation besides the tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct EvalOptions<'a> {
    /// Groups of documents to score separately.
    pub groups: Option<&'a DocumentGroups>,
    /// `[V]` bytes of text of each id (see [`text_bytes_of_ids`](super::text_bytes_of_ids)).
    pub bytes_of_ids: Option<&'a [u32]>,
    /// Bytes of the predicted text of each group, or of everything, if all sequences are evaluated.
    pub text_bytes: Option<&'a [u64]>,
}

fn check_view(spec: &ModelSpec, view: &SequenceView<'_>) -> Result<(), EvalError> {
    let options = view.options();
    if options.seq_len as usize > spec.max_seq_len {
        return Err(EvalError::SeqLen {
            seq_len: options.seq_len as usize,
            max_seq_len: spec.max_seq_len,
        });
    }
    if let Some(id) = options.sequence_bos {
        check_id(spec, id)?;
    }
    if view.is_empty() {
        return Err(EvalError::NothingToPredict);
    }
    Ok(())
}

/// `n` of the numbers 0 to `n_total` - 1, evenly spread and increasing; all of them if there are no more.
pub fn evenly_spaced(n_total: u64, n: u64) -> impl Iterator<Item = u64> {
    let n = n.min(n_total);
    (0..n).map(move |idx| (u128::from(idx) * u128::from(n_total) / u128::from(n)) as u64)
}

/// A sequence of a corpus or of labels, with at least one target.
pub(super) trait Tokens {
    fn seq_id(&self) -> u64;
    fn input_ids(&self) -> &[u32];
}

impl Tokens for Sequence {
    fn seq_id(&self) -> u64 {
        self.seq_id
    }

    fn input_ids(&self) -> &[u32] {
        &self.input_ids
    }
}

impl Tokens for Example {
    fn seq_id(&self) -> u64 {
        self.seq_id
    }

    fn input_ids(&self) -> &[u32] {
        &self.input_ids
    }
}

/// Calls `visit` with each sequence, in order, and the scores of its positions.
pub(super) fn for_each_batch<S: Tokens>(
    network: &mut Network,
    sequences: impl Iterator<Item = S>,
    mut visit: impl FnMut(&S, &[PositionScore]) -> ControlFlow<()>,
) -> Result<(), EvalError> {
    let n_positions = network.capacity().n_positions;
    let mut scores_n = Vec::new();
    for sequences in grouped(sequences, n_positions) {
        let batch = batch_of(&sequences);
        scores_n.resize(batch.n_positions(), PositionScore::default());
        network.evaluate(&batch, &mut scores_n);
        for (sequence, bounds) in std::iter::zip(&sequences, batch.starts.windows(2)) {
            let scores_t = &scores_n[bounds[0]..bounds[1]];
            check_finite(sequence.seq_id(), scores_t)?;
            if visit(sequence, scores_t).is_break() {
                return Err(EvalError::Interrupted);
            }
        }
    }
    Ok(())
}

/// Refuses scores that are not finite: an infinite NLL spoils a mean as NaN does.
fn check_finite(seq_id: u64, scores_t: &[PositionScore]) -> Result<(), EvalError> {
    let position = scores_t.iter().position(|score| !score.nll.is_finite());
    position.map_or(Ok(()), |position| {
        Err(EvalError::NotFinite {
            value: -scores_t[position].nll as f32,
            seq_id,
            position,
        })
    })
}

/// Groups of consecutive sequences with at most `n_positions` predicted positions together, or one longer
/// sequence.
fn grouped<S: Tokens>(
    sequences: impl Iterator<Item = S>,
    n_positions: usize,
) -> impl Iterator<Item = Vec<S>> {
    let n_targets = |sequence: &S| sequence.input_ids().len() - 1;
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

fn batch_of(sequences: &[impl Tokens]) -> MicroBatch {
    let mut batch = MicroBatch {
        starts: vec![0],
        ..MicroBatch::default()
    };
    for input_ids in sequences.iter().map(Tokens::input_ids) {
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
        let spread = |n_total, n| evenly_spaced(n_total, n).collect::<Vec<_>>();
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 9), [0, 1, 2]);
        assert_eq!(spread(0, 4), [0; 0]);
        assert_eq!(evenly_spaced(u64::MAX, 3).last(), Some(u64::MAX / 3 * 2));
    }
}
