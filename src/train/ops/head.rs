//! Output head and loss, fused: for a chunk of rows at a time, logits = x W^T, the loss of each row, dx and dW.
//! The full `[N, V]` logits are never stored.

use super::SharedMut;
use super::matmul::{View, Write, matmul};
use super::row_loss::{RowGate, RowGoal, RowKd, RowLoss, row_gradient, row_score};
use crate::train::batch::{KdTargets, LossSums, MicroBatch, PositionScore};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Rows whose logits are stored at a time.
const CHUNK: usize = 256;

/// The head's weights.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// `[V, D]`.
    pub weight_vd: &'a [f32],
    /// V.
    pub vocab_size: usize,
    /// D.
    pub d_model: usize,
}

/// Destinations of the gradients.
pub struct HeadGradients<'a> {
    /// `[N, D]`, overwritten.
    pub dx_nd: &'a mut [f32],
    /// `[V, D]`, added to.
    pub dweight_vd: &'a mut [f32],
    /// Overwrite `dweight_vd` instead of adding.
    pub fresh: bool,
}

/// Room for the logits of a chunk and for each thread's rows, and the loss of every position.
#[derive(Debug, Clone)]
pub struct HeadScratch {
    logits_rv: Vec<f32>,
    rows: Vec<f32>,
    losses_n: Vec<RowLoss>,
}

impl HeadScratch {
    /// The loss of each position from the last [`head_loss`]; 0 for positions without weight.
    pub fn losses_n(&self) -> &[RowLoss] {
        &self.losses_n
    }

    /// For `n_positions` and this vocabulary.
    pub fn new(n_positions: usize, vocab_size: usize, threads: usize) -> Self {
        let n_rows = n_positions.min(CHUNK);
        Self {
            logits_rv: vec![0.0; n_rows * vocab_size],
            rows: vec![0.0; 2 * vocab_size * threads],
            losses_n: vec![RowLoss::default(); n_positions],
        }
    }

    #[cfg(test)]
    pub(in crate::train) fn allocated_bytes(&self) -> usize {
        4 * (self.logits_rv.len() + self.rows.len()) + size_of_val(self.losses_n.as_slice())
    }

    /// Bytes of such a scratch.
    pub fn bytes(n_positions: usize, vocab_size: usize, threads: usize) -> usize {
        let n_rows = n_positions.min(CHUNK);
        4 * vocab_size * (n_rows + 2 * threads) + n_positions * size_of::<RowLoss>()
    }
}

/// Loss of all positions of `batch` and its gradient, times `scale`. `x_nd` is the normalized output
/// of the last block.
pub fn head_loss(
    head: Head<'_>,
    x_nd: &[f32],
    batch: &MicroBatch,
    scale: f32,
    grads: HeadGradients<'_>,
    scratch: &mut HeadScratch,
    threads: usize,
) -> LossSums {
    let mut sums = LossSums::default();
    let d = head.d_model;
    let mut write = if grads.fresh {
        Write::Replace
    } else {
        Write::Add
    };
    for first in (0..batch.n_positions()).step_by(CHUNK) {
        let rows = first..batch.n_positions().min(first + CHUNK);
        let x_rd = &x_nd[rows.start * d..rows.end * d];
        let logits_rv = logits(head, x_rd, &mut scratch.logits_rv, threads);
        let losses = &mut scratch.losses_n[rows.clone()];
        each_row(logits_rv, losses, &mut scratch.rows, |row, logits, room| {
            let n = first + row;
            let weight = batch.weights_n[n];
            if weight == 0.0 {
                logits.fill(0.0);
                return RowLoss::default();
            }
            row_gradient(logits, row_goal(batch, n), scale * weight, room)
        });
        for (row, loss) in losses.iter().enumerate() {
            add_row(&mut sums, batch, first + row, *loss);
        }
        let dlogits = View::new(logits_rv, rows.len(), head.vocab_size);
        let weight = View::new(head.weight_vd, head.vocab_size, d);
        let dx_rd = &mut grads.dx_nd[rows.start * d..rows.end * d];
        matmul(dx_rd, Write::Replace, dlogits, weight, threads);
        let x = View::new(x_rd, rows.len(), d);
        matmul(grads.dweight_vd, write, dlogits.t(), x, threads);
        write = Write::Add;
    }
    sums
}

/// Writes the score of every position to `scores_n`, and returns the sums over the weighted ones, nats.
pub fn head_scores(
    head: Head<'_>,
    x_nd: &[f32],
    batch: &MicroBatch,
    scores_n: &mut [PositionScore],
    scratch: &mut HeadScratch,
    threads: usize,
) -> LossSums {
    let mut sums = LossSums::default();
    let d = head.d_model;
    for first in (0..batch.n_positions()).step_by(CHUNK) {
        let rows = first..batch.n_positions().min(first + CHUNK);
        let x_rd = &x_nd[rows.start * d..rows.end * d];
        let logits_rv = logits(head, x_rd, &mut scratch.logits_rv, threads);
        let scores = &mut scores_n[rows.clone()];
        each_row(logits_rv, scores, &mut scratch.rows, |row, logits, _| {
            row_score(logits, batch.targets_n[first + row])
        });
        for (score, &weight) in scores.iter().zip(&batch.weights_n[rows]) {
            let weight = f64::from(weight);
            if weight > 0.0 {
                sums.n += weight;
                sums.n_learnt += weight;
                sums.ce += weight * score.nll;
                sums.loss += weight * score.nll;
            }
        }
    }
    sums
}

fn logits<'a>(
    head: Head<'_>,
    x_rd: &[f32],
    buffer: &'a mut [f32],
    threads: usize,
) -> &'a mut [f32] {
    let n_rows = x_rd.len() / head.d_model;
    let logits_rv = &mut buffer[..n_rows * head.vocab_size];
    let x = View::new(x_rd, n_rows, head.d_model);
    let weight = View::new(head.weight_vd, head.vocab_size, head.d_model);
    matmul(logits_rv, Write::Replace, x, weight.t(), threads);
    logits_rv
}

/// Calls `work(row, logits, room)` for every row; a free thread takes the next row.
fn each_row<R: Copy + Send>(
    logits_rv: &mut [f32],
    results: &mut [R],
    rooms: &mut [f32],
    work: impl Fn(usize, &mut [f32], &mut [f32]) -> R + Sync,
) {
    let (n_rows, vocab_size) = (results.len(), logits_rv.len() / results.len());
    let (logits, results) = (SharedMut::new(logits_rv), SharedMut::new(results));
    let next = AtomicUsize::new(0);
    rooms
        .par_chunks_exact_mut(2 * vocab_size)
        .with_max_len(1)
        .for_each(|room| {
            loop {
                let row = next.fetch_add(1, Ordering::Relaxed);
                if row >= n_rows {
                    return;
                }
                // SAFETY: the counter gives each row to one task only.
                let (logits, place) = unsafe {
                    let range = row * vocab_size..(row + 1) * vocab_size;
                    (logits.slice_mut(range), results.at(row))
                };
                let result = work(row, logits, room);
                // SAFETY: as above, and `at` checked the bounds.
                unsafe { *place = result };
            }
        });
}

fn row_goal(batch: &MicroBatch, n: usize) -> RowGoal<'_> {
    let kd = batch.kd.as_ref();
    let gate = kd.and_then(|kd| kd.gate.zip(kd.teacher_nll_n.get(n).copied()));
    RowGoal {
        target: batch.targets_n[n],
        kd: kd.and_then(|kd| row_kd(kd, n)),
        gate: gate.map(|(gate, teacher_nll)| RowGate { gate, teacher_nll }),
    }
}

/// `None` if omega is 0: the position learns only by cross-entropy.
fn row_kd(kd: &KdTargets, n: usize) -> Option<RowKd<'_>> {
    let omega = kd.omega_n[n];
    let kept = kd.offsets[n] as usize..kd.offsets[n + 1] as usize;
    let n_tails = kd.n_tails;
    let in_tail = kept.start * n_tails..kept.end * n_tails;
    (omega > 0.0).then(|| RowKd {
        student_tau: kd.student_tau,
        omega,
        ids: &kd.ids[kept.clone()],
        probs: &kd.probs[kept],
        tails: &kd.tails[n * n_tails..(n + 1) * n_tails],
        in_tail: kd.in_tail.get(in_tail).unwrap_or(&[]),
        negentropy: kd.negentropy_n[n],
    })
}

fn add_row(sums: &mut LossSums, batch: &MicroBatch, n: usize, row: RowLoss) {
    let weight = f64::from(batch.weights_n[n]);
    if weight == 0.0 {
        return;
    }
    sums.n += weight;
    sums.ce += weight * row.ce;
    if row.weight == 0.0 {
        return;
    }
    let (omega, learnt) = (f64::from(row.omega), weight * f64::from(row.weight));
    sums.n_learnt += learnt;
    sums.loss += learnt * ((1.0 - omega) * row.ce + omega * row.kd);
    if omega > 0.0 {
        sums.kd += weight * row.kd;
        sums.n_kd += weight;
    }
}
