//! A model with its buffers: forward and backward as a sequence of operations.

use super::Params;
use super::block::{Block, Gradients, Weights};
use super::buffers::{Buffers, Capacity};
use super::profile::{Part, Profile};
use crate::train::batch::{LossSums, MicroBatch, PositionScore};
use crate::train::ops::{
    self, Head, HeadGradients, RowLoss, View, Write, embed, embed_backward, head_loss, head_scores,
    matmul, rmsnorm, rmsnorm_backward,
};

/// A model with parameters, gradients and activations, all allocated on creation. It runs on the current rayon
/// pool, which must have `capacity.threads` threads.
pub struct Network {
    /// Parameters, to read and to update.
    pub params: Params,
    /// `[params.layout.len]` gradients; empty without training.
    pub grads: Vec<f32>,
    /// The next backward pass overwrites gradients instead of adding to them.
    fresh: bool,
    capacity: Capacity,
    buffers: Buffers,
    profile: Profile,
}

impl Network {
    /// Allocates everything.
    pub fn new(params: Params, capacity: Capacity) -> Self {
        let n_grads = if capacity.training {
            params.layout.len
        } else {
            0
        };
        Self {
            grads: vec![0.0; n_grads],
            fresh: true,
            buffers: Buffers::new(&params.spec, &capacity),
            profile: Profile::default(),
            params,
            capacity,
        }
    }

    /// The parameters; gradients and activations are freed.
    pub fn into_params(self) -> Params {
        self.params
    }

    /// The capacity that it was created with.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Time spent in each part since it was created.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Forward and backward: adds `scale` times the gradient of the batch's summed loss to `grads` (or
    /// overwrites them after [`Network::zero_grads`]), and returns the sums.
    ///
    /// # Panics
    /// If the batch is larger than the capacity, or the network is not for training.
    pub fn forward_backward(&mut self, batch: &MicroBatch, scale: f32) -> LossSums {
        assert!(self.capacity.training, "a network for training");
        self.forward(batch);
        let sums = self.head_backward(batch, scale);
        for layer in (0..self.params.spec.n_layers).rev() {
            self.block_backward(layer, batch);
        }
        self.embedding_backward(batch);
        self.fresh = false;
        sums
    }

    /// The loss of each position of the last batch that went forward and backward; 0 for positions without
    /// weight. `n` is that batch's N.
    pub fn row_losses(&self, n: usize) -> &[RowLoss] {
        &self.buffers.head.losses_n()[..n]
    }

    /// Forward only: returns the batch's sums of cross-entropy, and writes the score of every position to
    /// `scores_n`.
    ///
    /// # Panics
    /// If the batch is larger than the capacity.
    pub fn evaluate(&mut self, batch: &MicroBatch, scores_n: &mut [PositionScore]) -> LossSums {
        self.forward(batch);
        let n = batch.n_positions();
        let (buffers, threads) = (&mut self.buffers, self.capacity.threads);
        let head = head_of(&self.params);
        let last_nd = &buffers.last_nd[..n * head.d_model];
        self.profile.time(Part::Head, || {
            head_scores(
                head,
                last_nd,
                batch,
                &mut scores_n[..n],
                &mut buffers.head,
                threads,
            )
        })
    }

    /// Logits `[V]` of the next token after `ids`.
    ///
    /// # Panics
    /// If there are no ids, or more than the capacity.
    pub fn next_logits(&mut self, ids: &[u32], logits_v: &mut [f32]) {
        let batch = MicroBatch {
            ids_n: ids.to_vec(),
            starts: vec![0, ids.len()],
            ..MicroBatch::default()
        };
        self.forward(&batch);
        let head = head_of(&self.params);
        let d = head.d_model;
        let last = &self.buffers.last_nd[(ids.len() - 1) * d..ids.len() * d];
        let weight = View::new(head.weight_vd, head.vocab_size, d);
        let last = View::new(last, 1, d);
        let threads = self.capacity.threads;
        matmul(logits_v, Write::Replace, last, weight.t(), threads);
    }

    #[cfg(test)]
    pub(super) fn allocated_bytes(&self) -> u64 {
        let values = self.params.values.len() + self.grads.len();
        4 * values as u64 + self.buffers.allocated_bytes()
    }

    /// Discards all gradients.
    pub fn zero_grads(&mut self) {
        self.fresh = true;
    }

    /// Square root of the sum of all squared gradients, summed in f64.
    pub fn grad_norm(&self) -> f64 {
        ops::norm(&self.grads)
    }

    /// From ids to the normalized output of the last block.
    fn forward(&mut self, batch: &MicroBatch) {
        self.check_fits(batch);
        let spec = self.params.spec.clone();
        let (n, d) = (batch.n_positions(), spec.d_model);
        set_positions(&mut self.buffers.positions_n, &batch.starts);
        let (params, buffers, profile) = (&self.params, &mut self.buffers, &mut self.profile);
        let table = &params.values[params.layout.embedding.clone()];
        profile.time(Part::Embedding, || {
            embed(&batch.ids_n, table, &mut buffers.streams[0][..n * d], d);
        });
        for layer in 0..spec.n_layers {
            self.block_forward(layer, batch);
        }
        let last = self.stream_after(spec.n_layers - 1);
        let buffers = &mut self.buffers;
        let gamma = &self.params.values[self.params.layout.final_norm.clone()];
        self.profile.time(Part::Norm, || {
            rmsnorm(
                &buffers.streams[last][..n * d],
                gamma,
                spec.norm_eps as f32,
                &mut buffers.last_nd[..n * d],
                &mut buffers.last_rstd_n[..n],
            );
        });
    }

    fn check_fits(&self, batch: &MicroBatch) {
        let (n, longest) = (batch.n_positions(), batch.longest());
        assert!(n > 0, "a batch has positions");
        let end = batch.starts.last().copied();
        assert_eq!(end, Some(n), "sequences end where the positions do");
        assert!(
            n <= self.capacity.n_positions && longest <= self.capacity.seq_len,
            "{n} positions, longest {longest}: capacity {:?}",
            self.capacity
        );
    }

    /// Index of the residual stream before `layer`; in training each layer has its own.
    fn stream_before(&self, layer: usize) -> usize {
        layer % self.buffers.streams.len()
    }

    fn stream_after(&self, layer: usize) -> usize {
        self.stream_before(layer + 1)
    }

    fn block_forward(&mut self, layer: usize, batch: &MicroBatch) {
        self.block_inner(layer, batch);
        let (before, after) = (self.stream_before(layer), self.stream_after(layer));
        debug_assert_ne!(before, after);
        let block = self.block(batch);
        let set = layer % self.buffers.blocks.len();
        let activations = &self.buffers.blocks[set];
        let out_nd = &mut self.buffers.streams[after][..block.n * block.spec.d_model];
        let down = &self.params.values[self.params.layout.layers[layer].down.clone()];
        self.profile.time(Part::FeedForward, || {
            block.down(activations, down, out_nd);
        });
    }

    /// A block without its last product: everything that its backward pass needs.
    fn block_inner(&mut self, layer: usize, batch: &MicroBatch) {
        let before = self.stream_before(layer);
        let block = self.block(batch);
        let Buffers {
            streams,
            blocks,
            rope,
            positions_n,
            attention_scratch,
            ..
        } = &mut self.buffers;
        let n_sets = blocks.len();
        let set = &mut blocks[layer % n_sets];
        let weights = Weights::new(&self.params, layer);
        let x_nd = &streams[before][..block.n * block.spec.d_model];
        let profile = &mut self.profile;
        let table = (&*rope, &positions_n[..block.n]);
        block.attend(&weights, x_nd, set, table, attention_scratch, profile);
        block.feed(&weights, x_nd, set, profile);
    }

    fn block<'a>(&self, batch: &'a MicroBatch) -> Block<'a> {
        Block {
            spec: self.params.spec.clone(),
            n: batch.n_positions(),
            starts: &batch.starts,
            threads: self.capacity.threads,
        }
    }

    /// Loss, and the gradient of the last block's output into `dstream_nd`.
    fn head_backward(&mut self, batch: &MicroBatch, scale: f32) -> LossSums {
        let layout = &self.params.layout;
        let (spec, n) = (self.params.spec.clone(), batch.n_positions());
        let (d, last) = (spec.d_model, self.stream_after(spec.n_layers - 1));
        let (fresh, threads) = (self.fresh, self.capacity.threads);
        let buffers = &mut self.buffers;
        let head = head_of(&self.params);
        let grads = HeadGradients {
            dx_nd: &mut buffers.dnormed_nd[..n * d],
            dweight_vd: &mut self.grads[layout.head.clone()],
            fresh,
        };
        let (last_nd, scratch) = (&buffers.last_nd[..n * d], &mut buffers.head);
        let sums = self.profile.time(Part::Head, || {
            head_loss(head, last_nd, batch, scale, grads, scratch, threads)
        });
        self.profile.time(Part::Norm, || {
            buffers.dstream_nd[..n * d].fill(0.0);
            rmsnorm_backward(
                &buffers.dnormed_nd[..n * d],
                &buffers.streams[last][..n * d],
                &buffers.last_rstd_n[..n],
                &self.params.values[layout.final_norm.clone()],
                &mut buffers.dstream_nd[..n * d],
                &mut self.grads[layout.final_norm.clone()],
                fresh,
                &mut buffers.partials,
            );
        });
        sums
    }

    /// Turns `dstream_nd` from the gradient of the block's output into that of its input.
    fn block_backward(&mut self, layer: usize, batch: &MicroBatch) {
        if self.capacity.recompute {
            self.block_inner(layer, batch);
        }
        let before = self.stream_before(layer);
        let block = self.block(batch);
        let weights = Weights::new(&self.params, layer);
        let mut grads = Gradients {
            slots: &self.params.layout.layers[layer],
            values: &mut self.grads,
            write: if self.fresh {
                Write::Replace
            } else {
                Write::Add
            },
        };
        let (buffers, profile) = (&mut self.buffers, &mut self.profile);
        block.feed_backward(layer, &weights, buffers, &mut grads, profile);
        block.attend_backward(layer, before, &weights, buffers, &mut grads, profile);
    }

    fn embedding_backward(&mut self, batch: &MicroBatch) {
        let (n, d) = (batch.n_positions(), self.params.spec.d_model);
        let tied = self.params.spec.tie_embeddings;
        let dtable = &mut self.grads[self.params.layout.embedding.clone()];
        let dx_nd = &self.buffers.dstream_nd[..n * d];
        let fresh = self.fresh;
        self.profile.time(Part::Embedding, || {
            // A tied head has already written its part.
            if fresh && !tied {
                dtable.fill(0.0);
            }
            embed_backward(&batch.ids_n, dx_nd, dtable, d);
        });
    }
}

fn head_of(params: &Params) -> Head<'_> {
    Head {
        weight_vd: &params.values[params.layout.head.clone()],
        vocab_size: params.spec.vocab_size,
        d_model: params.spec.d_model,
    }
}

/// Positions count from 0 in each sequence.
fn set_positions(positions_n: &mut [u32], starts: &[usize]) {
    for pair in starts.windows(2) {
        for (position, to) in positions_n[pair[0]..pair[1]].iter_mut().enumerate() {
            *to = position as u32;
        }
    }
}
