//! Causal grouped-query attention, a block of queries at a time.
//!
//! For the queries of one block, scores with all keys up to the block's end are in a scratch buffer `[BLOCK,
//! T]`, and are not kept: the backward pass recomputes them from the stored logsumexp of each row (as in
//! FlashAttention, arXiv 2205.14135). Tasks are pairs of a sequence and a key-value head; each writes the
//! columns of its own heads.

use super::SharedMut;
use super::matmul::{View, Write, matmul_raw};
use super::simd::{exp_in_place, lane_sum, max, vectorized};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Queries processed at a time.
const BLOCK: usize = 64;

/// Heads of an attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// H.
    pub n_heads: usize,
    /// Key and value heads.
    pub n_kv_heads: usize,
    /// Width of each.
    pub head_dim: usize,
}

impl AttentionShape {
    fn q_width(self) -> usize {
        self.n_heads * self.head_dim
    }

    fn row_width(self) -> usize {
        (self.n_heads + 2 * self.n_kv_heads) * self.head_dim
    }

    fn scale(self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Scratch length per thread for sequences of at most `seq_len`.
    pub fn scratch_len(self, seq_len: usize) -> usize {
        2 * BLOCK * seq_len
    }
}

/// `qkv_nw` is `[N, (H + 2 H_kv) head_dim]` with RoPE applied, `starts` the `n_sequences + 1` boundaries of
/// sequences in N. Writes `[N, H head_dim]` to `out_nq`, and to `lse_nh` `[N, H]` the logsumexp of each query's
/// scaled scores. `scratch` is split into one part per thread.
///
/// # Panics
/// If a buffer has the wrong length, or `starts` does not begin at 0 or decreases.
pub fn attention(
    shape: AttentionShape,
    qkv_nw: &[f32],
    starts: &[usize],
    out_nq: &mut [f32],
    lse_nh: &mut [f32],
    scratch: &mut [f32],
    threads: usize,
) {
    let n = check(shape, qkv_nw, starts, out_nq);
    assert_eq!(lse_nh.len(), n * shape.n_heads, "lse [N, H]");
    let (out, lse) = (SharedMut::new(out_nq), SharedMut::new(lse_nh));
    each_kv_head(shape, starts, scratch, threads, |sequence, kv, scratch| {
        let heads = Heads::new(shape, qkv_nw, sequence, kv);
        for head in heads.query_heads() {
            head_forward(&heads, head, out, lse, scratch);
        }
    });
}

/// Backward of [`attention`]: overwrites `dqkv_nw` with the gradient of `qkv_nw`.
///
/// # Panics
/// As [`attention`].
#[allow(
    clippy::too_many_arguments,
    reason = "plain buffers, each with its shape"
)]
pub fn attention_backward(
    shape: AttentionShape,
    qkv_nw: &[f32],
    starts: &[usize],
    out_nq: &[f32],
    lse_nh: &[f32],
    dout_nq: &[f32],
    dqkv_nw: &mut [f32],
    scratch: &mut [f32],
    threads: usize,
) {
    let n = check(shape, qkv_nw, starts, out_nq);
    assert_eq!(lse_nh.len(), n * shape.n_heads, "lse [N, H]");
    assert_eq!(dout_nq.len(), out_nq.len(), "gradient [N, H head_dim]");
    assert_eq!(dqkv_nw.len(), qkv_nw.len(), "gradient of qkv");
    let dqkv = SharedMut::new(dqkv_nw);
    each_kv_head(shape, starts, scratch, threads, |sequence, kv, scratch| {
        let heads = Heads::new(shape, qkv_nw, sequence, kv);
        for (idx, head) in heads.query_heads().enumerate() {
            let saved = Saved {
                out_nq,
                lse_nh,
                dout_nq,
            };
            head_backward(&heads, head, idx == 0, &saved, dqkv, scratch);
        }
    });
}

/// Returns N. The parts that tasks write are disjoint and in bounds only if these checks pass.
fn check(shape: AttentionShape, qkv_nw: &[f32], starts: &[usize], out_nq: &[f32]) -> usize {
    let n = starts[starts.len() - 1];
    assert!(starts[0] == 0 && starts.is_sorted(), "starts {starts:?}");
    assert_eq!(qkv_nw.len(), n * shape.row_width(), "qkv [N, row width]");
    assert_eq!(out_nq.len(), n * shape.q_width(), "out [N, H head_dim]");
    n
}

/// Calls `work(sequence, kv_head, scratch)` for every pair, on all threads.
fn each_kv_head(
    shape: AttentionShape,
    starts: &[usize],
    scratch: &mut [f32],
    threads: usize,
    work: impl Fn((usize, usize), usize, &mut [f32]) + Sync,
) {
    let n_tasks = (starts.len() - 1) * shape.n_kv_heads;
    let next = AtomicUsize::new(0);
    let part = scratch.len() / threads.max(1);
    scratch
        .par_chunks_exact_mut(part)
        .with_max_len(1)
        .for_each(|scratch| {
            loop {
                let task = next.fetch_add(1, Ordering::Relaxed);
                if task >= n_tasks {
                    return;
                }
                let sequence = task / shape.n_kv_heads;
                let range = (starts[sequence], starts[sequence + 1]);
                work(range, task % shape.n_kv_heads, scratch);
            }
        });
}

/// One key-value head of one sequence.
struct Heads<'a> {
    shape: AttentionShape,
    qkv_nw: &'a [f32],
    start: usize,
    len: usize,
    kv: usize,
}

impl<'a> Heads<'a> {
    fn new(
        shape: AttentionShape,
        qkv_nw: &'a [f32],
        (start, end): (usize, usize),
        kv: usize,
    ) -> Self {
        Self {
            shape,
            qkv_nw,
            start,
            len: end - start,
            kv,
        }
    }

    fn query_heads(&self) -> std::ops::Range<usize> {
        let group = self.shape.n_heads / self.shape.n_kv_heads;
        self.kv * group..(self.kv + 1) * group
    }

    /// Offset of the keys of row `t` in a buffer like `qkv_nw`.
    fn key_at(&self, t: usize) -> usize {
        let column = self.shape.q_width() + self.kv * self.shape.head_dim;
        (self.start + t) * self.shape.row_width() + column
    }

    fn value_at(&self, t: usize) -> usize {
        self.key_at(t) + self.shape.n_kv_heads * self.shape.head_dim
    }

    fn query_at(&self, head: usize, t: usize) -> usize {
        (self.start + t) * self.shape.row_width() + head * self.shape.head_dim
    }

    /// `n` rows of `head_dim` from offset `at` on.
    fn rows(&self, at: usize, n: usize) -> View<'a> {
        let (dim, stride) = (self.shape.head_dim, self.shape.row_width());
        View::strided(&self.qkv_nw[at..], n, dim, stride)
    }

    /// Offset of head `head` of row `t` in a buffer `[N, H head_dim]`.
    fn out_at(&self, head: usize, t: usize) -> usize {
        (self.start + t) * self.shape.q_width() + head * self.shape.head_dim
    }

    fn lse_at(&self, head: usize, t: usize) -> usize {
        (self.start + t) * self.shape.n_heads + head
    }

    /// Scaled scores of queries `t..t + m` with keys `0..t + m`, into `scores` `[m, t + m]`.
    fn scores(&self, head: usize, t: usize, m: usize, scores: &mut [f32]) {
        let n = t + m;
        let queries = self.rows(self.query_at(head, t), m);
        let keys = self.rows(self.key_at(0), n);
        let scale = self.shape.scale();
        let to = scores[..m * n].as_mut_ptr();
        // SAFETY: `scores` is exclusive and holds `[m, n]`.
        unsafe { matmul_raw(to, n, Write::Replace, scale, queries, keys.t(), 1) }
    }
}

/// Blocks of query rows: (first row, number of rows).
fn blocks(len: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..len)
        .step_by(BLOCK)
        .map(move |t| (t, BLOCK.min(len - t)))
}

fn head_forward(
    heads: &Heads<'_>,
    head: usize,
    out: SharedMut<'_, f32>,
    lse: SharedMut<'_, f32>,
    scratch: &mut [f32],
) {
    for (t, m) in blocks(heads.len) {
        let n = t + m;
        heads.scores(head, t, m, scratch);
        for (row, scores) in scratch[..m * n].chunks_exact_mut(n).enumerate() {
            let row_lse = vectorized(
                #[inline(always)]
                || softmax_causal(scores, t + row + 1),
            );
            // SAFETY: only this task writes the logsumexp of this head and row.
            unsafe { *lse.at(heads.lse_at(head, t + row)) = row_lse };
        }
        let weights = View::new(&scratch[..m * n], m, n);
        let values = heads.rows(heads.value_at(0), n);
        let stride = heads.shape.q_width();
        let to = out.block(heads.out_at(head, t), m, heads.shape.head_dim, stride);
        // SAFETY: only this task uses these columns of these rows; `block` checked that they are in bounds.
        unsafe { matmul_raw(to, stride, Write::Replace, 1.0, weights, values, 1) };
    }
}

/// Softmax over the first `n_seen` values, 0 after them; returns the logsumexp.
#[inline(always)]
fn softmax_causal(row: &mut [f32], n_seen: usize) -> f32 {
    let (seen, unseen) = row.split_at_mut(n_seen);
    let largest = max(seen);
    let sum = exp_in_place(seen, largest, 1.0);
    let inverse = (1.0 / sum) as f32;
    for weight in seen {
        *weight *= inverse;
    }
    unseen.fill(0.0);
    (f64::from(largest) + sum.ln()) as f32
}

/// Results of the forward pass, and the incoming gradient.
struct Saved<'a> {
    out_nq: &'a [f32],
    lse_nh: &'a [f32],
    dout_nq: &'a [f32],
}

/// With P the attention weights: dV += P^T dO; dP = dO V^T; dS = P (dP - rowsum(dO O)) scale;
/// dQ = dS K; dK += dS^T Q.
fn head_backward(
    heads: &Heads<'_>,
    head: usize,
    is_first: bool,
    saved: &Saved<'_>,
    dqkv: SharedMut<'_, f32>,
    scratch: &mut [f32],
) {
    let (dim, stride) = (heads.shape.head_dim, heads.shape.row_width());
    let q_width = heads.shape.q_width();
    if is_first {
        clear_keys_and_values(heads, dqkv);
    }
    let (weights, dweights) = scratch.split_at_mut(scratch.len() / 2);
    for (t, m) in blocks(heads.len) {
        let n = t + m;
        let at = heads.out_at(head, t);
        let dout = View::strided(&saved.dout_nq[at..], m, dim, q_width);
        heads.scores(head, t, m, weights);
        let values = heads.rows(heads.value_at(0), n);
        let to = dweights[..m * n].as_mut_ptr();
        // SAFETY: the scratch is exclusive and holds `[m, n]`.
        unsafe { matmul_raw(to, n, Write::Replace, 1.0, dout, values.t(), 1) };
        let rows = weights[..m * n].chunks_exact_mut(n);
        for (row, (weights, dweights)) in rows.zip(dweights.chunks_exact_mut(n)).enumerate() {
            let at = heads.out_at(head, t + row);
            let (out, dout) = (&saved.out_nq[at..at + dim], &saved.dout_nq[at..at + dim]);
            let lse = saved.lse_nh[heads.lse_at(head, t + row)];
            let (n_seen, scale) = (t + row + 1, heads.shape.scale());
            vectorized(
                #[inline(always)]
                || {
                    let dot = lane_sum(dim, |i| out[i] * dout[i]) as f32;
                    score_gradients(weights, dweights, n_seen, lse, dot, scale);
                },
            );
        }
        let (p, ds) = (View::new(&weights[..m * n], m, n), &dweights[..m * n]);
        let ds = View::new(ds, m, n);
        let queries = heads.rows(heads.query_at(head, t), m);
        let keys = heads.rows(heads.key_at(0), n);
        let dq = dqkv.block(heads.query_at(head, t), m, dim, stride);
        let dk = dqkv.block(heads.key_at(0), n, dim, stride);
        let dv = dqkv.block(heads.value_at(0), n, dim, stride);
        // SAFETY: only this task uses these columns of these rows; `block` checked that they are in bounds.
        unsafe {
            matmul_raw(dq, stride, Write::Replace, 1.0, ds, keys, 1);
            matmul_raw(dk, stride, Write::Add, 1.0, ds.t(), queries, 1);
            matmul_raw(dv, stride, Write::Add, 1.0, p.t(), dout, 1);
        }
    }
}

/// Converts scores to weights, and gradients of weights to gradients of scores, both in place.
#[inline(always)]
fn score_gradients(
    weights: &mut [f32],
    dweights: &mut [f32],
    n_seen: usize,
    lse: f32,
    dot: f32,
    scale: f32,
) {
    exp_in_place(&mut weights[..n_seen], lse, 1.0);
    weights[n_seen..].fill(0.0);
    for (weight, dweight) in weights.iter().zip(dweights) {
        *dweight = weight * (*dweight - dot) * scale;
    }
}

fn clear_keys_and_values(heads: &Heads<'_>, dqkv: SharedMut<'_, f32>) {
    let dim = heads.shape.head_dim;
    for t in 0..heads.len {
        for at in [heads.key_at(t), heads.value_at(t)] {
            // SAFETY: only this task uses these columns of these rows.
            unsafe { dqkv.slice_mut(at..at + dim) }.fill(0.0);
        }
    }
}
