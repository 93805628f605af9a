//! SwiGLU (Shazeer, arXiv 2002.05202): silu(gate) * up, where silu(g) = g sigmoid(g).

use super::ROWS;
use super::simd::{sigmoid, vectorized};
use rayon::prelude::*;

/// `gate_up_n2f` is `[N, 2 F]`, gate then up in each row; writes `[N, F]` to `act_nf`.
pub fn swiglu(gate_up_n2f: &[f32], act_nf: &mut [f32], f: usize) {
    let blocks = gate_up_n2f.par_chunks(2 * f * ROWS);
    blocks
        .zip(act_nf.par_chunks_mut(f * ROWS))
        .for_each(|(gate_up, act)| {
            for (row, out) in gate_up.chunks_exact(2 * f).zip(act.chunks_exact_mut(f)) {
                let (gate, up) = row.split_at(f);
                vectorized(
                    #[inline(always)]
                    || {
                        for ((out, &g), &u) in out.iter_mut().zip(gate).zip(up) {
                            *out = g * sigmoid(g) * u;
                        }
                    },
                );
            }
        });
}

/// Backward of [`swiglu`]: replaces gate and up by their gradients.
pub fn swiglu_backward(dact_nf: &[f32], gate_up_n2f: &mut [f32], f: usize) {
    let blocks = gate_up_n2f.par_chunks_mut(2 * f * ROWS);
    blocks
        .zip(dact_nf.par_chunks(f * ROWS))
        .for_each(|(gate_up, dact)| {
            for (row, dact) in gate_up.chunks_exact_mut(2 * f).zip(dact.chunks_exact(f)) {
                let (gate, up) = row.split_at_mut(f);
                vectorized(
                    #[inline(always)]
                    || {
                        for ((g, u), &da) in gate.iter_mut().zip(up).zip(dact) {
                            let s = sigmoid(*g);
                            let silu = *g * s;
                            *g = da * *u * (s + silu * (1.0 - s));
                            *u = da * silu;
                        }
                    },
                );
            }
        });
}
