//! Variances of the losses over a step's positions: with one-hot targets, and with the teacher's targets.

use crate::train::batch::MicroBatch;
use crate::train::eval::bucket_of;
use crate::train::example::Example;
use crate::train::metrics::LossVariance;
use crate::train::ops::RowLoss;

/// Sums over positions, for computing variances.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    n: f64,
    sum: f64,
    square: f64,
}

impl Moments {
    fn add(&mut self, value: f64) {
        self.n += 1.0;
        self.sum += value;
        self.square += value * value;
    }

    /// Sample variance; `None` for fewer than 2 values.
    fn variance(&self) -> Option<f64> {
        let of_mean = self.sum * self.sum / self.n;
        (self.n >= 2.0).then(|| ((self.square - of_mean) / (self.n - 1.0)).max(0.0))
    }
}

/// Losses over a set of positions.
#[derive(Debug, Clone, Copy, Default)]
struct Losses {
    /// -log q_y at every position with a weight.
    ce: Moments,
    /// The same at the positions that learn from the teacher.
    ce_of_kd: Moments,
    /// Cross-entropy with the teacher's stored distribution, at those positions.
    soft: Moments,
}

/// Losses of a step's positions so far.
pub(super) struct LossVariances {
    boundaries: [f64; 2],
    all: Losses,
    /// Easy, medium, hard.
    buckets: [Losses; 3],
    /// Whether any sequence lacked the teacher's NLL, so that its positions are in no bucket.
    is_incomplete: bool,
}

impl LossVariances {
    /// Empty; `boundaries` are the teacher's maximum NLL of easy and of medium positions, nats.
    pub(super) fn new(boundaries: [f64; 2]) -> Self {
        Self {
            boundaries,
            all: Losses::default(),
            buckets: [Losses::default(); 3],
            is_incomplete: false,
        }
    }

    /// Adds a micro-batch of `examples`; `rows_n` are the losses of its positions.
    pub(super) fn add(&mut self, examples: &[Example], batch: &MicroBatch, rows_n: &[RowLoss]) {
        let mut n = 0;
        for example in examples {
            let signals = example.signals.as_ref();
            let logprob_t = signals.map_or(&[][..], |signals| &signals.target_logprob_t);
            self.is_incomplete |= logprob_t.len() != example.n_targets();
            for t in 0..example.n_targets() {
                if batch.weights_n[n] > 0.0 {
                    let bucket = logprob_t
                        .get(t)
                        .map(|&logprob| bucket_of(-f64::from(logprob), self.boundaries));
                    self.add_position(&rows_n[n], bucket);
                }
                n += 1;
            }
        }
    }

    fn add_position(&mut self, row: &RowLoss, bucket: Option<usize>) {
        let of_bucket = bucket.map(|bucket| &mut self.buckets[bucket]);
        for losses in std::iter::once(&mut self.all).chain(of_bucket) {
            losses.ce.add(row.ce);
            if row.omega > 0.0 {
                losses.ce_of_kd.add(row.ce);
                losses.soft.add(row.soft);
            }
        }
    }

    /// Variances of both losses over the same positions: those that learn from the teacher, or all if none does.
    /// `None` for fewer than 2 positions.
    pub(super) fn report(&self) -> Option<LossVariance> {
        let learns = self.all.soft.n > 0.0;
        let ce = |losses: &Losses| match learns {
            true => losses.ce_of_kd.variance(),
            false => losses.ce.variance(),
        };
        let by_bucket = |of: &dyn Fn(&Losses) -> Option<f64>| {
            (!self.is_incomplete).then(|| [0, 1, 2].map(|i| of(&self.buckets[i])))
        };
        let soft = |losses: &Losses| losses.soft.variance();
        Some(LossVariance {
            ce: ce(&self.all)?,
            soft: soft(&self.all),
            ce_by_bucket: by_bucket(&ce),
            soft_by_bucket: by_bucket(&soft).filter(|_| learns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::PositionSignals;

    fn example(target_logprob_t: &[f32], n_targets: usize) -> Example {
        Example {
            seq_id: 0,
            input_ids: vec![0; n_targets + 1],
            doc_starts: vec![0],
            signals: Some(PositionSignals {
                target_logprob_t: target_logprob_t.to_vec(),
                ..PositionSignals::default()
            }),
            ..Example::default()
        }
    }

    fn batch(weights_n: &[f32]) -> MicroBatch {
        MicroBatch {
            weights_n: weights_n.to_vec(),
            ..MicroBatch::default()
        }
    }

    /// The losses of five positions, learnt from the teacher where omega is not 0.
    fn rows(omega_n: [f32; 5]) -> Vec<RowLoss> {
        let row = |(&(ce, soft), omega): (&(f64, f64), f32)| RowLoss {
            ce,
            kd: 0.0,
            soft,
            omega,
            weight: 1.0,
        };
        LOSSES.iter().zip(omega_n).map(row).collect()
    }

    /// Two sequences: easy, hard; easy, medium, hard.
    fn examples() -> [Example; 2] {
        [
            example(&[-0.5, -9.0], 2),
            example(&[-1.0, -3.0, f32::NEG_INFINITY], 3),
        ]
    }

    const LOSSES: [(f64, f64); 5] = [(1.0, 2.0), (9.0, 5.0), (3.0, 2.5), (4.0, 3.0), (8.0, 6.0)];

    fn variance(values: &[f64]) -> f64 {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        square / (values.len() - 1) as f64
    }

    fn near(got: Option<f64>, values: &[f64]) -> bool {
        got.is_some_and(|got| (got - variance(values)).abs() < 1e-12)
    }

    #[test]
    fn variances_are_of_the_positions_of_a_bucket_over_all_micro_batches() {
        let (examples, rows) = (examples(), rows([0.5; 5]));
        let mut variances = LossVariances::new([1.0, 4.0]);
        variances.add(&examples[..1], &batch(&[1.0; 2]), &rows[..2]);
        variances.add(&examples[1..], &batch(&[1.0; 3]), &rows[2..]);
        let found = variances.report().unwrap();
        assert!(near(Some(found.ce), &[1.0, 9.0, 3.0, 4.0, 8.0]));
        assert!(near(found.soft, &[2.0, 5.0, 2.5, 3.0, 6.0]));
        let ce = found.ce_by_bucket.unwrap();
        assert!(near(ce[0], &[1.0, 3.0]) && near(ce[2], &[9.0, 8.0]));
        assert_eq!(ce[1], None, "one position has no variance");
        let soft = found.soft_by_bucket.unwrap();
        assert!(near(soft[0], &[2.0, 2.5]) && near(soft[2], &[5.0, 6.0]));
    }

    #[test]
    fn both_losses_are_of_the_positions_that_learn_from_the_teacher() {
        let mut variances = LossVariances::new([1.0, 4.0]);
        let weights = [1.0, 1.0, 0.0, 1.0, 1.0];
        let omega = [0.5, 0.0, 0.5, 0.5, 0.5];
        variances.add(&examples(), &batch(&weights), &rows(omega));
        let found = variances.report().unwrap();
        assert!(near(Some(found.ce), &[1.0, 4.0, 8.0]));
        assert!(near(found.soft, &[2.0, 3.0, 6.0]));
    }

    #[test]
    fn without_a_teacher_there_is_the_one_hot_loss_of_all_weighted_positions() {
        let mut variances = LossVariances::new([1.0, 4.0]);
        variances.add(
            &examples(),
            &batch(&[1.0, 1.0, 1.0, 0.0, 1.0]),
            &rows([0.0; 5]),
        );
        let found = variances.report().unwrap();
        assert!(near(Some(found.ce), &[1.0, 9.0, 3.0, 8.0]));
        assert_eq!((found.soft, found.soft_by_bucket), (None, None));
        assert!(near(found.ce_by_bucket.unwrap()[2], &[9.0, 8.0]));
    }

    #[test]
    fn a_sequence_without_the_teachers_nll_leaves_no_buckets() {
        let mut variances = LossVariances::new([1.0, 4.0]);
        let unknown = example(&[], 5);
        variances.add(&[unknown], &batch(&[1.0; 5]), &rows([0.0; 5]));
        let found = variances.report().unwrap();
        assert!(near(Some(found.ce), &[1.0, 9.0, 3.0, 4.0, 8.0]));
        assert_eq!(found.ce_by_bucket, None);
        assert!(LossVariances::new([1.0, 4.0]).report().is_none());
    }
}
