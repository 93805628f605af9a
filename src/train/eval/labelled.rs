//! Evaluates a model on the sequences of a label set, next to the teacher on the same positions.
//!
//! The labels hold the tokens and the teacher's log-probability of every target, so a model is compared with
//! its teacher position by position without running the teacher. Positions are easy, medium or hard by the
//! teacher's NLL, independent of the model, so that models are compared on the same ones.

use super::calibration::Calibration;
use super::error::EvalError;
use super::run::{EvalProgress, for_each_batch};
use super::terciles::terciles;
use crate::shards::Group;
use crate::train::batch::PositionScore;
use crate::train::data::{LabelSource, LabelSourceOptions};
use crate::train::example::Example;
use crate::train::model::{Capacity, ModelSpec, Network};
use serde::Serialize;
use std::ops::{ControlFlow, Range};
use std::path::Path;

/// Names of the buckets, by increasing NLL of the teacher.
pub const BUCKET_NAMES: [&str; 3] = ["easy", "medium", "hard"];

/// How labels are evaluated.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LabelledOptions {
    /// Boundaries of the buckets: the teacher's maximum NLL of easy and of medium positions, nats. `None` takes
    /// [`teacher_terciles`] of the same sequences.
    pub boundaries: Option<[f64; 2]>,
    /// Only sequences with these numbers.
    pub seq_ids: Option<Range<u64>>,
}

impl LabelledOptions {
    fn takes(&self, seq_id: u64) -> bool {
        let seq_ids = self.seq_ids.as_ref();
        seq_ids.is_none_or(|seq_ids| seq_ids.contains(&seq_id))
    }
}

/// A model and its teacher on the positions of one bucket.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BucketReport {
    /// `easy`, `medium` or `hard`.
    pub name: &'static str,
    /// Positions.
    pub n_targets: u64,
    /// Mean NLL of the model, nats; null without positions.
    pub nll: Option<f64>,
    /// Mean NLL of the teacher, nats; null without positions. It is infinite, and null in JSON, if the teacher
    /// gave a target probability 0.
    pub teacher_nll: Option<f64>,
}

/// A model and its teacher on the positions of a label set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LabelledReport {
    /// Sequences that were evaluated.
    pub n_sequences: u64,
    /// Predicted positions.
    pub n_targets: u64,
    /// Mean NLL of the model, nats per token.
    pub nll: f64,
    /// Fraction of positions whose target is the model's top id (ties: the lowest).
    pub accuracy: f64,
    /// Expected calibration error of the top id's probability: see [`Calibration::ece`].
    pub ece: f64,
    /// Mean NLL of the teacher over the same positions, nats per token, under its full softmax at
    /// temperature 1.
    pub teacher_nll: f64,
    /// The teacher's maximum NLL of easy and of medium positions, nats.
    pub bucket_borders: [f64; 2],
    /// Easy, medium, hard.
    pub buckets: [BucketReport; 3],
}

/// Opens labels to evaluate on: all their sequences, or those that `selection` keeps.
///
/// # Errors
/// Labels that are not finalized, or cannot be trained on; labels without the group `stats`, which has the
/// teacher's NLL.
pub fn open_labelled(dir: &Path, selection: Option<&Path>) -> Result<LabelSource, EvalError> {
    // A window of one row group takes the least memory, and the order does not matter.
    let options = LabelSourceOptions {
        dir: dir.to_path_buf(),
        selection: selection.map(Path::to_path_buf),
        seed: 0,
        shuffle_row_groups: 1,
    };
    let labels = LabelSource::open(&options)?;
    labels.check_group("an evaluation by the teacher's NLL", Group::Stats)?;
    Ok(labels.reading(&[Group::Stats]))
}

/// Capacity for the sequences of `labels`, several per micro-batch of at most `n_positions` positions.
///
/// # Errors
/// Sequences longer than the model supports, ids that it does not have.
pub fn labelled_capacity(
    spec: &ModelSpec,
    labels: &LabelSource,
    n_positions: usize,
    threads: usize,
) -> Result<Capacity, EvalError> {
    check_labels(spec, labels)?;
    let seq_len = labels.view().seq_len as usize;
    let n_positions = n_positions.max(seq_len);
    Ok(Capacity::of_inference(n_positions, seq_len, threads))
}

/// Exact terciles of the teacher's NLL over the positions of the chosen sequences: a third of them are easy (at
/// most the first value), a third medium (at most the second), a third hard. Reads the labels twice, and no
/// model.
///
/// # Errors
/// Damaged labels; no position.
pub fn teacher_terciles(
    labels: &LabelSource,
    options: &LabelledOptions,
) -> Result<[f64; 2], EvalError> {
    let found = terciles(|visit| {
        for example in labels.examples() {
            let example = example?;
            if options.takes(example.seq_id) {
                teacher_logprobs(&example).iter().for_each(|l| visit(-l));
            }
        }
        Ok(())
    })?;
    found.ok_or(EvalError::NothingChosen)
}

/// Evaluates the chosen sequences of `labels`, as many at a time as the network has room for. The teacher's NLL
/// is read from the labels, so the time is that of the model's forward pass.
///
/// # Errors
/// As [`labelled_capacity`]; damaged labels; no position; scores that are not finite;
/// [`EvalError::Interrupted`] if `on_progress` breaks.
///
/// # Panics
/// If the network has no room for a sequence.
pub fn evaluate_labelled(
    network: &mut Network,
    labels: &LabelSource,
    options: &LabelledOptions,
    mut on_progress: impl FnMut(&EvalProgress) -> ControlFlow<()>,
) -> Result<LabelledReport, EvalError> {
    check_labels(&network.params.spec, labels)?;
    let boundaries = match options.boundaries {
        Some(boundaries) => boundaries,
        None => teacher_terciles(labels, options)?,
    };
    let mut tally = Tally::new(boundaries);
    let mut fault = None;
    let examples = labels
        .examples()
        .map_while(|example| example.map_err(|error| fault = Some(error)).ok())
        .filter(|example| options.takes(example.seq_id) && example.n_targets() > 0);
    for_each_batch(network, examples, |example, scores_t| {
        tally.add(example, scores_t);
        on_progress(&EvalProgress {
            n_targets: tally.calibration.n(),
        })
    })?;
    match fault {
        Some(fault) => Err(fault.into()),
        None => Ok(tally.report()?),
    }
}

fn teacher_logprobs(example: &Example) -> &[f32] {
    let signals = example.signals.as_ref();
    signals.map_or(&[], |signals| &signals.target_logprob_t)
}

fn check_labels(spec: &ModelSpec, labels: &LabelSource) -> Result<(), EvalError> {
    let seq_len = labels.view().seq_len as usize;
    if seq_len > spec.max_seq_len {
        return Err(EvalError::LabelSeqLen {
            dir: labels.dir().to_path_buf(),
            seq_len,
            max_seq_len: spec.max_seq_len,
        });
    }
    if labels.vocab_size() as usize > spec.vocab_size {
        return Err(EvalError::Vocabulary {
            path: labels.dir().to_path_buf(),
            what: "the labels' teacher",
            n_ids: labels.vocab_size() as usize,
            vocab_size: spec.vocab_size,
        });
    }
    Ok(())
}

/// The bucket of a position with this NLL of the teacher.
pub(in crate::train) fn bucket_of(teacher_nll: f64, boundaries: [f64; 2]) -> usize {
    boundaries
        .iter()
        .filter(|&&boundary| teacher_nll > boundary)
        .count()
}

/// Sums over the positions of a bucket, nats.
#[derive(Debug, Clone, Copy, Default)]
struct BucketSums {
    n: u64,
    nll: f64,
    teacher_nll: f64,
}

impl std::ops::AddAssign for BucketSums {
    fn add_assign(&mut self, other: Self) {
        self.n += other.n;
        self.nll += other.nll;
        self.teacher_nll += other.teacher_nll;
    }
}

/// Sums of an evaluation in progress.
struct Tally {
    n_sequences: u64,
    boundaries: [f64; 2],
    buckets: [BucketSums; 3],
    calibration: Calibration,
}

impl Tally {
    fn new(boundaries: [f64; 2]) -> Self {
        Self {
            n_sequences: 0,
            boundaries,
            buckets: [BucketSums::default(); 3],
            calibration: Calibration::default(),
        }
    }

    fn add(&mut self, example: &Example, scores_t: &[PositionScore]) {
        self.n_sequences += 1;
        for (score, &logprob) in scores_t.iter().zip(teacher_logprobs(example)) {
            let teacher_nll = -f64::from(logprob);
            self.buckets[bucket_of(teacher_nll, self.boundaries)] += BucketSums {
                n: 1,
                nll: score.nll,
                teacher_nll,
            };
            self.calibration.add(score);
        }
    }

    fn report(&self) -> Result<LabelledReport, EvalError> {
        let mut all = BucketSums::default();
        self.buckets.iter().for_each(|&bucket| all += bucket);
        let (Some(accuracy), Some(ece)) = (self.calibration.accuracy(), self.calibration.ece())
        else {
            return Err(EvalError::NothingChosen);
        };
        let n = all.n as f64;
        Ok(LabelledReport {
            n_sequences: self.n_sequences,
            n_targets: all.n,
            nll: all.nll / n,
            accuracy,
            ece,
            teacher_nll: all.teacher_nll / n,
            bucket_borders: self.boundaries,
            buckets: [0, 1, 2].map(|i| self.bucket(i)),
        })
    }

    fn bucket(&self, i: usize) -> BucketReport {
        let BucketSums {
            n,
            nll,
            teacher_nll,
        } = self.buckets[i];
        let mean = |sum: f64| (n > 0).then(|| sum / n as f64);
        BucketReport {
            name: BUCKET_NAMES[i],
            n_targets: n,
            nll: mean(nll),
            teacher_nll: mean(teacher_nll),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::PositionSignals;

    #[test]
    fn a_boundary_belongs_to_the_easier_bucket() {
        let of = |nll| BUCKET_NAMES[bucket_of(nll, [1.0, 2.0])];
        assert_eq!([of(0.0), of(1.0)], ["easy", "easy"]);
        assert_eq!([of(1.001), of(2.0)], ["medium", "medium"]);
        assert_eq!([of(2.001), of(f64::INFINITY)], ["hard", "hard"]);
        assert_eq!(bucket_of(1.0, [1.0, 1.0]), 0);
    }

    #[test]
    fn every_position_counts_in_its_teachers_bucket_and_in_all() {
        let example = Example {
            seq_id: 7,
            input_ids: vec![0; 5],
            doc_starts: vec![0],
            signals: Some(PositionSignals {
                target_logprob_t: vec![-0.5, -1.5, -3.0, -5.0],
                ..PositionSignals::default()
            }),
            ..Example::default()
        };
        let score = |nll, best_prob, is_best| PositionScore {
            nll,
            best_prob,
            is_best,
        };
        let mut tally = Tally::new([1.0, 2.0]);
        tally.add(
            &example,
            &[
                score(1.0, 0.5, true),
                score(2.0, 0.5, false),
                score(4.0, 0.5, false),
                score(6.0, 0.5, true),
            ],
        );
        let report = tally.report().unwrap();
        assert_eq!((report.n_sequences, report.n_targets), (1, 4));
        assert_eq!((report.nll, report.teacher_nll), (13.0 / 4.0, 2.5));
        assert_eq!((report.accuracy, report.ece), (0.5, 0.0));
        let found = report.buckets.map(|bucket| {
            (
                bucket.name,
                bucket.n_targets,
                bucket.nll,
                bucket.teacher_nll,
            )
        });
        let wanted = [
            ("easy", 1, Some(1.0), Some(0.5)),
            ("medium", 1, Some(2.0), Some(1.5)),
            ("hard", 2, Some(5.0), Some(4.0)),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn nothing_to_predict_is_no_report() {
        assert!(Tally::new([1.0, 2.0]).report().is_err());
    }
}
