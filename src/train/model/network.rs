//! A model with its buffers.

use super::{ModelSpec, Params};
use crate::train::loss::{LossSums, MicroBatch};

/// What a model is to hold room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Most positions of a micro-batch (N).
    pub n_positions: usize,
    /// Longest sequence (T).
    pub seq_len: usize,
    /// Worker threads.
    pub threads: usize,
    /// Whether there is a backward pass: gradients and saved activations.
    pub training: bool,
    /// Keep only the input of each block and compute the rest again in the backward pass.
    pub recompute: bool,
}

/// Bytes of the buffers of a [`Network`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Parameters.
    pub parameters: u64,
    /// Gradients; 0 without training.
    pub gradients: u64,
    /// Activations and scratch.
    pub activations: u64,
}

/// A model with parameters, gradients and activations, all allocated when it is made.
pub struct Network {
    /// Parameters, to read and to update.
    pub params: Params,
    /// `[params.layout.len]` gradients; empty without training.
    pub grads: Vec<f32>,
}

impl MemoryPlan {
    /// What a [`Network`] of this spec would hold, without making it.
    pub fn of(spec: &ModelSpec, capacity: &Capacity) -> Self {
        let _ = (spec, capacity);
        unimplemented!()
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.parameters + self.gradients + self.activations
    }
}

impl Network {
    /// Allocates everything.
    pub fn new(params: Params, capacity: Capacity) -> Self {
        let _ = (params, capacity);
        unimplemented!()
    }

    /// Forward and backward: adds `scale` times the gradient of the batch's summed loss to `grads`
    /// (which [`Network::zero_grads`] clears), and returns the sums.
    pub fn forward_backward(&mut self, batch: &MicroBatch, scale: f32) -> LossSums {
        let _ = (batch, scale);
        unimplemented!()
    }

    /// Forward only: the batch's sums; `logprobs_n` takes log q_y of every position, nats.
    pub fn evaluate(&mut self, batch: &MicroBatch, logprobs_n: &mut [f32]) -> LossSums {
        let _ = (batch, logprobs_n);
        unimplemented!()
    }

    /// Logits `[V]` of the next token after `ids`.
    pub fn next_logits(&mut self, ids: &[u32], logits_v: &mut [f32]) {
        let _ = (ids, logits_v);
        unimplemented!()
    }

    /// Sets every gradient to 0.
    pub fn zero_grads(&mut self) {
        self.grads.fill(0.0);
    }

    /// Square root of the sum of all squared gradients, summed in f64.
    pub fn grad_norm(&self) -> f64 {
        unimplemented!()
    }
}
