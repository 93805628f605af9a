//! All buffers that a step writes to, allocated once. [`MemoryPlan`] is computed from the same [`Lengths`] that
//! are allocated, so the announced memory is what is used.

use super::ModelSpec;
use crate::train::ops::{AttentionShape, HeadScratch, RopeTable, rmsnorm_partials_len};

/// The size of batches that a network must have room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Maximum positions of a micro-batch (N).
    pub n_positions: usize,
    /// Longest sequence (T).
    pub seq_len: usize,
    /// Worker threads.
    pub threads: usize,
    /// Whether there is a backward pass: gradients and saved activations.
    pub training: bool,
    /// Keep only the input of each block and recompute the rest in the backward pass.
    pub recompute: bool,
}

impl Capacity {
    /// Without a backward pass.
    pub fn of_inference(n_positions: usize, seq_len: usize, threads: usize) -> Self {
        Self {
            n_positions,
            seq_len,
            threads,
            training: false,
            recompute: false,
        }
    }
}

/// Bytes of the buffers of a [`Network`](super::Network).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Parameters.
    pub parameters: u64,
    /// Gradients; 0 without training.
    pub gradients: u64,
    /// Activations and scratch.
    pub activations: u64,
}

impl MemoryPlan {
    /// The memory of a network of this spec, without creating it.
    pub fn of(spec: &ModelSpec, capacity: &Capacity) -> Self {
        let parameters = 4 * spec.n_parameters() as u64;
        Self {
            parameters,
            gradients: if capacity.training { parameters } else { 0 },
            activations: Lengths::new(spec, capacity).bytes(),
        }
    }

    /// The sum.
    pub fn total(&self) -> u64 {
        self.parameters + self.gradients + self.activations
    }
}

/// Number of values in each buffer.
struct Lengths {
    /// Number of residual streams between blocks, and length of one.
    n_streams: usize,
    stream: usize,
    /// Number of sets of a block's activations, and lengths of the parts of one.
    n_sets: usize,
    mid: usize,
    normed: usize,
    rstd: usize,
    qkv: usize,
    attended: usize,
    lse: usize,
    gate_up: usize,
    act: usize,
    /// Gradients of activations; 0 without training.
    dstream: usize,
    dnormed: usize,
    dqkv: usize,
    dact: usize,
    partials: usize,
    /// Needed with and without training.
    attention_scratch: usize,
    rope: usize,
    positions: usize,
    head_bytes: usize,
}

impl Lengths {
    fn new(spec: &ModelSpec, capacity: &Capacity) -> Self {
        let (n, d) = (capacity.n_positions, spec.d_model);
        let keeps_all = capacity.training && !capacity.recompute;
        let when_training = |len: usize| if capacity.training { len } else { 0 };
        Self {
            n_streams: if capacity.training {
                spec.n_layers + 1
            } else {
                2
            },
            stream: n * d,
            n_sets: if keeps_all { spec.n_layers } else { 1 },
            mid: n * d,
            normed: n * d,
            rstd: n,
            qkv: n * spec.qkv_width(),
            attended: n * spec.q_width(),
            lse: n * spec.n_heads,
            gate_up: n * 2 * spec.d_ff,
            act: n * spec.d_ff,
            dstream: when_training(n * d),
            dnormed: when_training(n * d),
            dqkv: when_training(n * spec.qkv_width()),
            dact: when_training(n * spec.d_ff.max(spec.q_width())),
            partials: when_training(rmsnorm_partials_len(n, d)),
            attention_scratch: attention_shape(spec).scratch_len(capacity.seq_len)
                * capacity.threads,
            rope: RopeTable::len(capacity.seq_len, spec.head_dim),
            positions: n,
            head_bytes: HeadScratch::bytes(n, spec.vocab_size, capacity.threads),
        }
    }

    fn bytes(&self) -> u64 {
        let set = self.mid + 2 * self.normed + 2 * self.rstd + self.qkv + self.attended;
        let set = set + self.lse + self.gate_up + self.act;
        let gradients = self.dstream + self.dnormed + self.dqkv + self.dact + self.partials;
        let last = self.normed + self.rstd;
        let always = self.attention_scratch + self.rope + self.positions + last;
        let values = self.n_streams * self.stream + self.n_sets * set + gradients + always;
        4 * values as u64 + self.head_bytes as u64
    }
}

pub(super) fn attention_shape(spec: &ModelSpec) -> AttentionShape {
    AttentionShape {
        n_heads: spec.n_heads,
        n_kv_heads: spec.n_kv_heads,
        head_dim: spec.head_dim,
    }
}

/// Activations of one block.
pub(super) struct BlockBuffers {
    /// `[N, D]` residual stream between attention and feed-forward.
    pub(super) mid_nd: Vec<f32>,
    /// `[N, D]` input of queries, keys and values.
    pub(super) normed1_nd: Vec<f32>,
    pub(super) rstd1_n: Vec<f32>,
    /// `[N, (H + 2 H_kv) head_dim]`, RoPE applied.
    pub(super) qkv_nw: Vec<f32>,
    /// `[N, H head_dim]`.
    pub(super) attended_nq: Vec<f32>,
    pub(super) lse_nh: Vec<f32>,
    /// `[N, D]` input of gate and up.
    pub(super) normed2_nd: Vec<f32>,
    pub(super) rstd2_n: Vec<f32>,
    /// `[N, 2 F]`; their gradient, in the backward pass.
    pub(super) gate_up_n2f: Vec<f32>,
    /// `[N, F]`.
    pub(super) act_nf: Vec<f32>,
}

impl BlockBuffers {
    fn new(lengths: &Lengths) -> Self {
        Self {
            mid_nd: vec![0.0; lengths.mid],
            normed1_nd: vec![0.0; lengths.normed],
            rstd1_n: vec![0.0; lengths.rstd],
            qkv_nw: vec![0.0; lengths.qkv],
            attended_nq: vec![0.0; lengths.attended],
            lse_nh: vec![0.0; lengths.lse],
            normed2_nd: vec![0.0; lengths.normed],
            rstd2_n: vec![0.0; lengths.rstd],
            gate_up_n2f: vec![0.0; lengths.gate_up],
            act_nf: vec![0.0; lengths.act],
        }
    }
}

/// All buffers except parameters and their gradients.
pub(super) struct Buffers {
    /// Residual streams `[N, D]` between blocks.
    pub(super) streams: Vec<Vec<f32>>,
    pub(super) blocks: Vec<BlockBuffers>,
    /// `[N, D]` input of the head, and its reciprocal norms.
    pub(super) last_nd: Vec<f32>,
    pub(super) last_rstd_n: Vec<f32>,
    /// `[N, D]` gradient of the residual stream.
    pub(super) dstream_nd: Vec<f32>,
    /// `[N, D]` gradient of a normalized input.
    pub(super) dnormed_nd: Vec<f32>,
    pub(super) dqkv_nw: Vec<f32>,
    /// `[N, max(F, H head_dim)]`.
    pub(super) dact: Vec<f32>,
    pub(super) partials: Vec<f32>,
    pub(super) attention_scratch: Vec<f32>,
    pub(super) rope: RopeTable,
    pub(super) positions_n: Vec<u32>,
    pub(super) head: HeadScratch,
}

impl Buffers {
    pub(super) fn new(spec: &ModelSpec, capacity: &Capacity) -> Self {
        let lengths = Lengths::new(spec, capacity);
        let zeros = |len: usize| vec![0.0; len];
        Self {
            streams: (0..lengths.n_streams)
                .map(|_| zeros(lengths.stream))
                .collect(),
            blocks: (0..lengths.n_sets)
                .map(|_| BlockBuffers::new(&lengths))
                .collect(),
            last_nd: zeros(lengths.normed),
            last_rstd_n: zeros(lengths.rstd),
            dstream_nd: zeros(lengths.dstream),
            dnormed_nd: zeros(lengths.dnormed),
            dqkv_nw: zeros(lengths.dqkv),
            dact: zeros(lengths.dact),
            partials: zeros(lengths.partials),
            attention_scratch: zeros(lengths.attention_scratch),
            rope: RopeTable::new(capacity.seq_len, &spec.inv_freq()),
            positions_n: vec![0; lengths.positions],
            head: HeadScratch::new(capacity.n_positions, spec.vocab_size, capacity.threads),
        }
    }
}

#[cfg(test)]
impl Buffers {
    /// Bytes actually allocated, to test the announced numbers.
    pub(super) fn allocated_bytes(&self) -> u64 {
        let sum = |buffers: &[&Vec<f32>]| buffers.iter().map(|buffer| buffer.len()).sum::<usize>();
        let block = |set: &BlockBuffers| {
            sum(&[
                &set.mid_nd,
                &set.normed1_nd,
                &set.rstd1_n,
                &set.qkv_nw,
                &set.attended_nq,
                &set.lse_nh,
                &set.normed2_nd,
                &set.rstd2_n,
                &set.gate_up_n2f,
                &set.act_nf,
            ])
        };
        let streams: usize = self.streams.iter().map(Vec::len).sum();
        let blocks: usize = self.blocks.iter().map(block).sum();
        let others = sum(&[
            &self.last_nd,
            &self.last_rstd_n,
            &self.dstream_nd,
            &self.dnormed_nd,
            &self.dqkv_nw,
            &self.dact,
            &self.partials,
            &self.attention_scratch,
        ]);
        let values = streams + blocks + others + self.rope.n_values() + self.positions_n.len();
        4 * values as u64 + self.head.allocated_bytes() as u64
    }
}
