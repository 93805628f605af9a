//! The operations of one block, forward and backward, over the buffers of [`super::buffers`].

use super::buffers::{BlockBuffers, Buffers, attention_shape};
use super::params::LayerSlots;
use super::profile::{Part, Profile};
use super::{ModelSpec, Params};
use crate::train::ops::{
    Direction, RopeTable, View, Write, add_rmsnorm, attention, attention_backward, matmul, rmsnorm,
    rmsnorm_backward, rope, swiglu, swiglu_backward,
};

/// Weights of one block.
pub(super) struct Weights<'a> {
    norm1_d: &'a [f32],
    qkv_wd: &'a [f32],
    output_dq: &'a [f32],
    norm2_d: &'a [f32],
    gate_up_2fd: &'a [f32],
    down_df: &'a [f32],
}

impl<'a> Weights<'a> {
    pub(super) fn new(params: &'a Params, layer: usize) -> Self {
        let slots = &params.layout.layers[layer];
        let of = |range: &std::ops::Range<usize>| &params.values[range.clone()];
        Self {
            norm1_d: of(&slots.attention_norm),
            qkv_wd: of(&slots.qkv),
            output_dq: of(&slots.output),
            norm2_d: of(&slots.mlp_norm),
            gate_up_2fd: of(&slots.gate_up),
            down_df: of(&slots.down),
        }
    }
}

/// Destinations of one block's gradients.
pub(super) struct Gradients<'a> {
    pub(super) slots: &'a LayerSlots,
    pub(super) values: &'a mut [f32],
    pub(super) write: Write,
}

impl Gradients<'_> {
    fn of(&mut self, slot: fn(&LayerSlots) -> &std::ops::Range<usize>) -> &mut [f32] {
        &mut self.values[slot(self.slots).clone()]
    }
}

/// One block: `x + attention(norm(x))`, then `+ feed-forward(norm(.))`.
pub(super) struct Block<'a> {
    pub(super) spec: ModelSpec,
    pub(super) n: usize,
    pub(super) starts: &'a [usize],
    pub(super) threads: usize,
}

impl Block<'_> {
    /// y `[N, out]` = x `[N, in]` W^T, W `[out, in]`.
    fn linear(&self, y: &mut [f32], x: &[f32], weight: &[f32], n_in: usize, n_out: usize) {
        let x = View::new(x, self.n, n_in);
        let weight = View::new(weight, n_out, n_in);
        matmul(y, Write::Replace, x, weight.t(), self.threads);
    }

    /// dx `[N, in]` = dy `[N, out]` W.
    fn linear_input(&self, dx: &mut [f32], dy: &[f32], weight: &[f32], n_in: usize, n_out: usize) {
        let dy = View::new(dy, self.n, n_out);
        let weight = View::new(weight, n_out, n_in);
        matmul(dx, Write::Replace, dy, weight, self.threads);
    }

    /// dW `[out, in]` += dy^T x.
    fn linear_weight(&self, dw: &mut [f32], write: Write, dy: &[f32], x: &[f32]) {
        let (n_out, n_in) = (dy.len() / self.n, x.len() / self.n);
        let dy = View::new(dy, self.n, n_out);
        let x = View::new(x, self.n, n_in);
        matmul(dw, write, dy.t(), x, self.threads);
    }

    pub(super) fn attend(
        &self,
        weights: &Weights<'_>,
        x_nd: &[f32],
        set: &mut BlockBuffers,
        (table, positions_n): (&RopeTable, &[u32]),
        scratch: &mut [f32],
        profile: &mut Profile,
    ) {
        let (n, d, width) = (self.n, self.spec.d_model, self.spec.qkv_width());
        let q_width = self.spec.q_width();
        let normed_nd = &mut set.normed1_nd[..n * d];
        let rstd_n = &mut set.rstd1_n[..n];
        let eps = self.spec.norm_eps as f32;
        profile.time(Part::Norm, || {
            rmsnorm(x_nd, weights.norm1_d, eps, normed_nd, rstd_n);
        });
        let qkv_nw = &mut set.qkv_nw[..n * width];
        profile.time(Part::AttentionProjections, || {
            self.linear(qkv_nw, normed_nd, weights.qkv_wd, d, width);
        });
        let n_rotated = self.spec.n_heads + self.spec.n_kv_heads;
        profile.time(Part::Rope, || {
            rope(
                qkv_nw,
                width,
                n_rotated,
                table,
                positions_n,
                Direction::Forward,
            );
        });
        let attended_nq = &mut set.attended_nq[..n * q_width];
        let lse_nh = &mut set.lse_nh[..n * self.spec.n_heads];
        let shape = attention_shape(&self.spec);
        profile.time(Part::Attention, || {
            attention(
                shape,
                qkv_nw,
                self.starts,
                attended_nq,
                lse_nh,
                scratch,
                self.threads,
            );
        });
        let mid_nd = &mut set.mid_nd[..n * d];
        profile.time(Part::AttentionProjections, || {
            self.linear(mid_nd, attended_nq, weights.output_dq, q_width, d);
        });
    }

    pub(super) fn feed(
        &self,
        weights: &Weights<'_>,
        x_nd: &[f32],
        set: &mut BlockBuffers,
        profile: &mut Profile,
    ) {
        let (n, d, f) = (self.n, self.spec.d_model, self.spec.d_ff);
        let normed_nd = &mut set.normed2_nd[..n * d];
        let (mid_nd, rstd_n) = (&mut set.mid_nd[..n * d], &mut set.rstd2_n[..n]);
        let eps = self.spec.norm_eps as f32;
        profile.time(Part::Norm, || {
            add_rmsnorm(x_nd, mid_nd, weights.norm2_d, eps, normed_nd, rstd_n);
        });
        let gate_up_n2f = &mut set.gate_up_n2f[..n * 2 * f];
        profile.time(Part::FeedForward, || {
            self.linear(gate_up_n2f, normed_nd, weights.gate_up_2fd, d, 2 * f);
        });
        profile.time(Part::Swiglu, || {
            swiglu(gate_up_n2f, &mut set.act_nf[..n * f], f);
        });
    }

    /// out = mid + act W_down^T.
    pub(super) fn down(&self, set: &BlockBuffers, down_df: &[f32], out_nd: &mut [f32]) {
        let (n, d, f) = (self.n, self.spec.d_model, self.spec.d_ff);
        out_nd.copy_from_slice(&set.mid_nd[..n * d]);
        let act = View::new(&set.act_nf[..n * f], n, f);
        let weight = View::new(down_df, d, f);
        matmul(out_nd, Write::Add, act, weight.t(), self.threads);
    }

    pub(super) fn feed_backward(
        &self,
        layer: usize,
        weights: &Weights<'_>,
        buffers: &mut Buffers,
        grads: &mut Gradients<'_>,
        profile: &mut Profile,
    ) {
        let (n, d, f) = (self.n, self.spec.d_model, self.spec.d_ff);
        let n_sets = buffers.blocks.len();
        let set = &mut buffers.blocks[layer % n_sets];
        let dout_nd = &mut buffers.dstream_nd[..n * d];
        let (dact_nf, act_nf) = (&mut buffers.dact[..n * f], &set.act_nf[..n * f]);
        let gate_up_n2f = &mut set.gate_up_n2f[..n * 2 * f];
        let dnormed_nd = &mut buffers.dnormed_nd[..n * d];
        let write = grads.write;
        profile.time(Part::FeedForward, || {
            self.linear_input(dact_nf, dout_nd, weights.down_df, f, d);
            self.linear_weight(grads.of(|slots| &slots.down), write, dout_nd, act_nf);
        });
        profile.time(Part::Swiglu, || swiglu_backward(dact_nf, gate_up_n2f, f));
        profile.time(Part::FeedForward, || {
            let normed_nd = &set.normed2_nd[..n * d];
            self.linear_input(dnormed_nd, gate_up_n2f, weights.gate_up_2fd, d, 2 * f);
            let dw = grads.of(|slots| &slots.gate_up);
            self.linear_weight(dw, write, gate_up_n2f, normed_nd);
        });
        profile.time(Part::Norm, || {
            rmsnorm_backward(
                dnormed_nd,
                &set.mid_nd[..n * d],
                &set.rstd2_n[..n],
                weights.norm2_d,
                dout_nd,
                grads.of(|slots| &slots.mlp_norm),
                write == Write::Replace,
                &mut buffers.partials,
            );
        });
    }

    pub(super) fn attend_backward(
        &self,
        layer: usize,
        before: usize,
        weights: &Weights<'_>,
        buffers: &mut Buffers,
        grads: &mut Gradients<'_>,
        profile: &mut Profile,
    ) {
        let (n, d, width) = (self.n, self.spec.d_model, self.spec.qkv_width());
        let q_width = self.spec.q_width();
        let n_sets = buffers.blocks.len();
        let set = &buffers.blocks[layer % n_sets];
        let dmid_nd = &mut buffers.dstream_nd[..n * d];
        let dattended_nq = &mut buffers.dact[..n * q_width];
        let attended_nq = &set.attended_nq[..n * q_width];
        let write = grads.write;
        profile.time(Part::AttentionProjections, || {
            self.linear_input(dattended_nq, dmid_nd, weights.output_dq, q_width, d);
            self.linear_weight(grads.of(|slots| &slots.output), write, dmid_nd, attended_nq);
        });
        let dqkv_nw = &mut buffers.dqkv_nw[..n * width];
        profile.time(Part::Attention, || {
            attention_backward(
                attention_shape(&self.spec),
                &set.qkv_nw[..n * width],
                self.starts,
                attended_nq,
                &set.lse_nh[..n * self.spec.n_heads],
                dattended_nq,
                dqkv_nw,
                &mut buffers.attention_scratch,
                self.threads,
            );
        });
        let n_rotated = self.spec.n_heads + self.spec.n_kv_heads;
        let (table, positions_n) = (&buffers.rope, &buffers.positions_n[..n]);
        profile.time(Part::Rope, || {
            rope(
                dqkv_nw,
                width,
                n_rotated,
                table,
                positions_n,
                Direction::Back,
            );
        });
        let dnormed_nd = &mut buffers.dnormed_nd[..n * d];
        profile.time(Part::AttentionProjections, || {
            self.linear_input(dnormed_nd, dqkv_nw, weights.qkv_wd, d, width);
            let normed_nd = &set.normed1_nd[..n * d];
            self.linear_weight(grads.of(|slots| &slots.qkv), write, dqkv_nw, normed_nd);
        });
        profile.time(Part::Norm, || {
            rmsnorm_backward(
                dnormed_nd,
                &buffers.streams[before][..n * d],
                &set.rstd1_n[..n],
                weights.norm1_d,
                dmid_nd,
                grads.of(|slots| &slots.attention_norm),
                write == Write::Replace,
                &mut buffers.partials,
            );
        });
    }
}
