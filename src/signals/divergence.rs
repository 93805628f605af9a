//! The divergence of a position's labels from another teacher's distribution.
//!
//! The labels' distribution is over the K stored ids and one bucket for the rest, as in the `tail-bucket` loss: q_v is
//! the stored probability, scaled so that stored ids and tail add up to 1. For a reference p over all ids, with p_tail
//! its probability of the others,
//!
//! KL(p || q) = sum_kept p_v ln(p_v / q_v) + p_tail ln(p_tail / q_tail),
//!
//! which is at most the divergence over all ids (the log-sum inequality).

use super::error::SignalsError;
use super::types::{Logits, LogitsData};
use rayon::prelude::*;

/// A stored probability of 0 is raised to this, so that a divergence stays finite.
const MIN_PROBABILITY: f64 = f32::MIN_POSITIVE as f64;

/// The labels of one sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KeptSequence<'a> {
    /// `[T]` target ids.
    pub targets: &'a [u32],
    /// `[T * K]` by descending log-probability.
    pub topk_ids_tk: &'a [u32],
    /// `[T * K]` nats.
    pub topk_logprobs_tk: &'a [f32],
    /// `[T]` probability outside the K.
    pub tail_mass_t: &'a [f32],
}

/// One position, compared with the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PositionDivergence {
    /// KL(reference || labels) over stored ids and tail, nats, at least 0 except for rounding.
    pub kl: f64,
    /// Whether both have the same best id.
    pub same_best: bool,
    /// The reference's log-probability of the target, nats.
    pub target_logprob: f64,
}

/// Compares every position of a batch with the reference's logits, sequence by sequence. `vocab_size` is V: logits
/// beyond it are left out. Runs on the current rayon pool.
///
/// # Errors
/// A reference with fewer logits than V; a logit that is NaN or +inf, or a position with only -inf.
///
/// # Panics
/// If the lists do not have lengths T and T * K, or an id is V or more: labels are checked when they are read.
pub fn divergence_batch(
    logits: Logits<'_>,
    sequences: &[KeptSequence<'_>],
    vocab_size: usize,
) -> Result<Vec<PositionDivergence>, SignalsError> {
    if logits.vocab_size < vocab_size {
        return Err(SignalsError::Vocabulary {
            expected: vocab_size,
            got: logits.vocab_size,
        });
    }
    let positions: Vec<(usize, usize)> = sequences
        .iter()
        .enumerate()
        .flat_map(|(row_idx, s)| (0..s.targets.len()).map(move |t| (row_idx, t)))
        .collect();
    positions
        .par_iter()
        .map(|&(row_idx, position)| {
            let row = row_of(logits, row_idx, position, vocab_size);
            check_row(&row, row_idx, position)?;
            Ok(divergence(&row, &sequences[row_idx], position))
        })
        .collect()
}

/// One row in f64; this is not a hot path.
fn row_of(logits: Logits<'_>, row_idx: usize, position: usize, vocab_size: usize) -> Vec<f64> {
    let start = (row_idx * logits.width + position) * logits.vocab_size;
    let range = start..start + vocab_size;
    match logits.data {
        LogitsData::F32(values) => values[range].iter().map(|&z| f64::from(z)).collect(),
        LogitsData::F16(values) => values[range].iter().map(|z| z.to_f64()).collect(),
        LogitsData::Bf16(values) => values[range].iter().map(|z| z.to_f64()).collect(),
    }
}

fn check_row(row: &[f64], row_idx: usize, position: usize) -> Result<(), SignalsError> {
    if let Some(id) = row.iter().position(|z| z.is_nan() || *z == f64::INFINITY) {
        return Err(SignalsError::NotFinite {
            row_idx,
            position,
            id: id as u32,
            value: row[id] as f32,
        });
    }
    match row.iter().all(|z| *z == f64::NEG_INFINITY) {
        true => Err(SignalsError::AllMasked { row_idx, position }),
        false => Ok(()),
    }
}

fn divergence(row: &[f64], sequence: &KeptSequence<'_>, t: usize) -> PositionDivergence {
    let k = sequence.topk_ids_tk.len() / sequence.targets.len();
    let ids = &sequence.topk_ids_tk[t * k..][..k];
    let logprobs = &sequence.topk_logprobs_tk[t * k..][..k];
    let tail = f64::from(sequence.tail_mass_t[t]);
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let logsumexp = max + row.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
    let p_of = |id: u32| (row[id as usize] - logsumexp).exp();
    let kept: f64 = logprobs.iter().map(|&l| f64::from(l).exp()).sum();
    let scale = if kept > 0.0 { (1.0 - tail) / kept } else { 1.0 };
    let of_kept = ids.iter().zip(logprobs).map(|(&id, &logprob)| {
        let q = f64::from(logprob).exp() * scale;
        term(p_of(id), q)
    });
    let of_kept: f64 = of_kept.sum();
    let p_tail = 1.0 - ids.iter().map(|&id| p_of(id)).sum::<f64>();
    let best = row.iter().position(|&z| z == max).unwrap_or(0);
    PositionDivergence {
        kl: of_kept + term(p_tail, tail),
        same_best: ids.first() == Some(&(best as u32)),
        target_logprob: row[sequence.targets[t] as usize] - logsumexp,
    }
}

/// p ln(p / q); 0 if p is 0.
fn term(p: f64, q: f64) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    p * (p.ln() - q.max(MIN_PROBABILITY).ln())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::{Groups, Rounding, SequenceTargets, SignalsConfig, reduce_batch};

    const VOCAB_SIZE: usize = 50;
    /// Nats. Sums of 50 terms in f64, from log-probabilities stored in f32.
    const TOLERANCE: f64 = 1e-6;

    fn logits(values: &[f32]) -> Logits<'_> {
        Logits {
            data: LogitsData::F32(values),
            n_rows: 1,
            width: values.len() / VOCAB_SIZE,
            vocab_size: VOCAB_SIZE,
        }
    }

    fn values(shift: f32) -> Vec<f32> {
        (0..3 * VOCAB_SIZE)
            .map(|i| (i as f32 * 0.9 + shift).sin() * 4.0)
            .collect()
    }

    /// The divergence of labels of `stored` from the teacher `reference`.
    fn divergence_of_labels(
        stored: &[f32],
        reference: &[f32],
        top_k: usize,
    ) -> Vec<PositionDivergence> {
        let config = SignalsConfig {
            groups: Groups {
                stats: false,
                topk: true,
            },
            top_k,
            temperatures: Vec::new(),
            rounding: Rounding::F32,
            vocab_size: VOCAB_SIZE,
            sampling: None,
        };
        let targets = [1, 2, 3];
        let sequence = SequenceTargets {
            seq_id: 0,
            targets: &targets,
        };
        let labels = reduce_batch(logits(stored), &[sequence], &config).unwrap();
        let kept = KeptSequence {
            targets: &targets,
            topk_ids_tk: &labels[0].positions.topk_ids_tk,
            topk_logprobs_tk: &labels[0].positions.topk_logprobs_tk,
            tail_mass_t: &labels[0].positions.tail_mass_t,
        };
        divergence_batch(logits(reference), &[kept], VOCAB_SIZE).unwrap()
    }

    fn softmax(row: &[f32]) -> Vec<f64> {
        let exps: Vec<f64> = row.iter().map(|&z| f64::from(z).exp()).collect();
        let sum: f64 = exps.iter().sum();
        exps.iter().map(|e| e / sum).collect()
    }

    #[test]
    fn labels_of_the_reference_itself_have_no_divergence() {
        for top_k in [1, 7, VOCAB_SIZE] {
            for position in divergence_of_labels(&values(0.0), &values(0.0), top_k) {
                assert!(position.kl.abs() < TOLERANCE);
                assert!(position.same_best);
            }
        }
    }

    #[test]
    fn with_every_id_kept_it_is_the_divergence_of_the_two_softmaxes() {
        let (stored, reference) = (values(0.0), values(0.6));
        let got = divergence_of_labels(&stored, &reference, VOCAB_SIZE);
        let rows = stored.chunks(VOCAB_SIZE).zip(reference.chunks(VOCAB_SIZE));
        for (got, (stored, reference)) in got.iter().zip(rows) {
            let (p, q) = (softmax(reference), softmax(stored));
            let expected: f64 = p.iter().zip(&q).map(|(p, q)| p * (p / q).ln()).sum();
            assert!((got.kl - expected).abs() < TOLERANCE, "{got:?} {expected}");
        }
    }

    #[test]
    fn a_reference_that_overflows_is_reported() {
        let mut reference = values(0.6);
        reference[VOCAB_SIZE + 3] = f32::INFINITY;
        let kept = KeptSequence {
            targets: &[1, 2, 3],
            topk_ids_tk: &[0, 0, 0],
            topk_logprobs_tk: &[-1.0, -1.0, -1.0],
            tail_mass_t: &[0.5, 0.5, 0.5],
        };
        let error = divergence_batch(logits(&reference), &[kept], VOCAB_SIZE).unwrap_err();
        let named = matches!(
            error,
            SignalsError::NotFinite {
                position: 1,
                id: 3,
                ..
            }
        );
        assert!(named, "{error}");
    }

    #[test]
    fn fewer_kept_ids_see_no_more_of_it() {
        let all = divergence_of_labels(&values(0.0), &values(0.6), VOCAB_SIZE);
        let few = divergence_of_labels(&values(0.0), &values(0.6), 5);
        for (few, all) in few.iter().zip(&all) {
            assert!(few.kl > 0.0 && few.kl <= all.kl + TOLERANCE);
            assert_eq!(few.target_logprob, all.target_logprob);
        }
    }
}
