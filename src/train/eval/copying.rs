//! The copy probe: whether a model can continue a segment that it has already seen once.
//!
//! A sequence is a segment of random ids, then the same segment again. Only the first copy tells what comes in
//! the second, so the NLL of the second measures in-context copying (induction: Olsson et al. 2022, "In-context
//! Learning and Induction Heads", arXiv 2209.11895), which the mean NLL of text hides.

use super::EvalError;
use super::run::{EvalProgress, Tokens, for_each_batch};
use crate::splitmix::splitmix64;
use crate::train::batch::PositionScore;
use crate::train::model::{Capacity, ModelSpec, Network};
use serde::Serialize;
use std::ops::ControlFlow;

/// The shortest segment; the first target of the second copy is unpredictable, so there must be others.
const MIN_DISTANCE: usize = 8;
/// The longest default.
const MAX_DEFAULT_DISTANCE: usize = 512;

/// Settings of the probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOptions {
    /// Segment lengths in ids: how far back the copied id is.
    pub distances: Vec<usize>,
    /// Sequences of each length, at least 1.
    pub n_sequences: usize,
    /// Seed of the ids.
    pub seed: u64,
    /// Id to put before every sequence.
    pub sequence_bos: Option<u32>,
}

/// The result for one distance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CopyScore {
    /// Length of the segment, ids.
    pub distance: usize,
    /// Targets measured in the second copy: all except its first, where nothing shows yet that the segment is
    /// repeated.
    pub n_targets: u64,
    /// Mean NLL of the first copy, nats per token; about ln V or more, since the ids are random.
    pub first_nll_nats: f64,
    /// Mean NLL of the second copy, nats per token.
    pub repeated_nll_nats: f64,
    /// Fraction of the targets of the second copy that are the model's top id.
    pub repeated_accuracy: f64,
}

/// The default distances: 8, 16, 32, … up to half of the model's longest sequence, and at most 512.
pub fn copy_distances(spec: &ModelSpec, sequence_bos: Option<u32>) -> Vec<usize> {
    let doubled = std::iter::successors(Some(MIN_DISTANCE), |distance| distance.checked_mul(2));
    let max = max_distance(spec, sequence_bos).min(MAX_DEFAULT_DISTANCE);
    doubled.take_while(|&distance| distance <= max).collect()
}

/// Capacity for the sequences of `options`, several per micro-batch of at most `batch_positions` positions.
///
/// # Errors
/// Distances that are too short, or too long for the model; a `sequence_bos` that it does not have.
pub fn copy_capacity(
    spec: &ModelSpec,
    options: &CopyOptions,
    batch_positions: usize,
    threads: usize,
) -> Result<Capacity, EvalError> {
    check(spec, options)?;
    let longest = options.distances.iter().max().copied().unwrap_or_default();
    let seq_len = n_positions(longest, options.sequence_bos);
    let n_positions = batch_positions.max(seq_len);
    Ok(Capacity::of_inference(n_positions, seq_len, threads))
}

/// Probes every distance. The ids of a segment are drawn with replacement from `ids`, as a pure function
/// of seed, distance and sequence. O(sequences * distance) memory in ids.
///
/// # Errors
/// As [`copy_capacity`]; fewer than two ids to draw from; scores that are not finite;
/// [`EvalError::Interrupted`] if `on_progress` breaks.
pub fn probe_copying(
    network: &mut Network,
    ids: &[u32],
    options: &CopyOptions,
    mut on_progress: impl FnMut(&EvalProgress) -> ControlFlow<()>,
) -> Result<Vec<CopyScore>, EvalError> {
    check(&network.params.spec, options)?;
    if ids.len() < 2 {
        return Err(EvalError::NothingToCopy { n_ids: ids.len() });
    }
    let mut n_done = 0;
    let probe = |&distance: &usize| {
        let mut tally = Tally::default();
        let sequences = (0..options.n_sequences as u64)
            .map(|seq_id| Repeated::new(seq_id, distance, ids, options));
        for_each_batch(network, sequences, |sequence, scores_t| {
            tally.add(sequence, scores_t);
            n_done += scores_t.len() as u64;
            on_progress(&EvalProgress { n_targets: n_done })
        })?;
        Ok(tally.score(distance))
    };
    options.distances.iter().map(probe).collect()
}

/// Predicted positions of a sequence: both copies, without the first id unless `sequence_bos` comes before it.
fn n_positions(distance: usize, sequence_bos: Option<u32>) -> usize {
    2 * distance - 1 + usize::from(sequence_bos.is_some())
}

fn check(spec: &ModelSpec, options: &CopyOptions) -> Result<(), EvalError> {
    if let Some(id) = options.sequence_bos {
        super::check::check_id(spec, id)?;
    }
    let max = max_distance(spec, options.sequence_bos);
    let is_refused = |distance: &&usize| !(MIN_DISTANCE..=max).contains(*distance);
    let none = options.distances.is_empty().then_some(&MIN_DISTANCE);
    match options.distances.iter().find(is_refused).or(none) {
        Some(&distance) => Err(EvalError::CopyDistance {
            distance,
            min: MIN_DISTANCE,
            max,
            max_seq_len: spec.max_seq_len,
        }),
        None => Ok(()),
    }
}

/// The longest segment of which two copies fit.
fn max_distance(spec: &ModelSpec, sequence_bos: Option<u32>) -> usize {
    (spec.max_seq_len + 1 - usize::from(sequence_bos.is_some())) / 2
}

/// A segment twice.
struct Repeated {
    seq_id: u64,
    input_ids: Vec<u32>,
    distance: usize,
}

impl Repeated {
    fn new(seq_id: u64, distance: usize, ids: &[u32], options: &CopyOptions) -> Self {
        let stream = splitmix64(splitmix64(options.seed) ^ distance as u64);
        let draw = |place: u64| {
            let random = splitmix64(splitmix64(stream ^ seq_id).wrapping_add(place));
            // The high half of the product; with 64 random bits the bias is below 2^-32 for any vocabulary.
            let place = (u128::from(random) * ids.len() as u128) >> 64;
            ids[place as usize]
        };
        let segment: Vec<u32> = (0..distance as u64).map(draw).collect();
        let in_front = options.sequence_bos.into_iter();
        Self {
            seq_id,
            input_ids: in_front.chain(segment.repeat(2)).collect(),
            distance,
        }
    }
}

impl Tokens for Repeated {
    fn seq_id(&self) -> u64 {
        self.seq_id
    }

    fn input_ids(&self) -> &[u32] {
        &self.input_ids
    }
}

/// Sums over the sequences of one distance.
#[derive(Default)]
struct Tally {
    n_first: u64,
    first: f64,
    n: u64,
    repeated: f64,
    n_best: u64,
}

impl Tally {
    fn add(&mut self, sequence: &Repeated, scores_t: &[PositionScore]) {
        // The last `distance` targets are the second copy.
        let (first_t, second_t) = scores_t.split_at(scores_t.len() - sequence.distance);
        self.n_first += first_t.len() as u64;
        self.first += first_t.iter().map(|score| score.nll).sum::<f64>();
        for score in &second_t[1..] {
            self.n += 1;
            self.repeated += score.nll;
            self.n_best += u64::from(score.is_best);
        }
    }

    fn score(&self, distance: usize) -> CopyScore {
        let n = self.n.max(1) as f64;
        CopyScore {
            distance,
            n_targets: self.n,
            first_nll_nats: self.first / self.n_first.max(1) as f64,
            repeated_nll_nats: self.repeated / n,
            repeated_accuracy: self.n_best as f64 / n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::model::Params;

    fn options(distances: &[usize]) -> CopyOptions {
        CopyOptions {
            distances: distances.to_vec(),
            n_sequences: 3,
            seed: 7,
            sequence_bos: None,
        }
    }

    fn spec() -> ModelSpec {
        ModelSpec {
            vocab_size: 11,
            d_model: 8,
            n_layers: 1,
            n_heads: 2,
            n_kv_heads: 1,
            head_dim: 4,
            d_ff: 8,
            max_seq_len: 40,
            rope_theta: 1e4,
            rope_scaling: None,
            norm_eps: 1e-5,
            tie_embeddings: false,
        }
    }

    #[test]
    fn a_segment_stands_twice_and_is_a_function_of_seed_distance_and_sequence() {
        let ids = [3, 4, 5, 6, 7, 8];
        let of = |seq_id, distance, seed, bos| {
            let options = CopyOptions {
                seed,
                sequence_bos: bos,
                ..options(&[distance])
            };
            Repeated::new(seq_id, distance, &ids, &options).input_ids
        };
        let first = of(0, 8, 1, None);
        assert_eq!(first[..8], first[8..]);
        assert!(first.iter().all(|id| ids.contains(id)));
        assert_eq!(of(0, 8, 1, Some(2)), [&[2], &first[..]].concat());
        assert_eq!(of(0, 8, 1, None), first);
        for other in [
            of(1, 8, 1, None),
            of(0, 8, 2, None),
            of(0, 16, 1, None)[..16].to_vec(),
        ] {
            assert_ne!(other, first);
        }
    }

    #[test]
    fn the_second_copy_counts_without_its_first_target() {
        let sequence = Repeated::new(0, 8, &[1, 2], &options(&[8]));
        let score = |nll, is_best| PositionScore {
            nll,
            best_prob: 0.5,
            is_best,
        };
        // 7 targets of the first copy, then one that is unpredictable, then 7 of the second.
        let mut scores = vec![score(2.0, false); 7];
        scores.push(score(100.0, false));
        scores.extend(vec![score(0.5, true); 6]);
        scores.push(score(4.0, false));
        let mut tally = Tally::default();
        tally.add(&sequence, &scores);
        let found = tally.score(8);
        assert_eq!((found.n_targets, found.first_nll_nats), (7, 2.0));
        assert_eq!(found.repeated_nll_nats, 1.0);
        assert!((found.repeated_accuracy - 6.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn default_distances_fit_the_model() {
        assert_eq!(copy_distances(&spec(), None), [8, 16]);
        let at_the_limit = ModelSpec {
            max_seq_len: 31,
            ..spec()
        };
        assert_eq!(copy_distances(&at_the_limit, None), [8, 16]);
        assert_eq!(copy_distances(&at_the_limit, Some(1)), [8]);
    }

    #[test]
    fn distances_that_do_not_fit_and_ids_that_are_too_few_are_refused() {
        for distance in [0, 7, 21] {
            let error = copy_capacity(&spec(), &options(&[distance]), 64, 1).unwrap_err();
            assert!(error.to_string().contains(&distance.to_string()), "{error}");
        }
        assert!(copy_capacity(&spec(), &options(&[]), 64, 1).is_err());
        let options = options(&[8]);
        let capacity = copy_capacity(&spec(), &options, 64, 1).unwrap();
        let mut network = Network::new(Params::init(&spec(), 1), capacity);
        let go_on = |_: &EvalProgress| ControlFlow::Continue(());
        let error = probe_copying(&mut network, &[4], &options, go_on).unwrap_err();
        assert!(error.to_string().contains("two ids"), "{error}");
        let scores = probe_copying(&mut network, &[4, 5, 6], &options, go_on).unwrap();
        assert_eq!((scores.len(), scores[0].n_targets), (1, 21));
    }
}
