//! RMSNorm (Zhang and Sennrich, arXiv 1910.07467): y = x / sqrt(mean(x^2) + eps) * gamma.

use super::ROWS;
use super::simd::{lane_sum, vectorized};
use rayon::prelude::*;

/// Normalizes rows of D = `gamma_d.len()`.
///
/// `x_nd` and `y_nd` are `[N, D]`; `rstd_n` is set to 1 / sqrt(mean(x^2) + eps) of each row, which the backward
/// pass needs.
pub fn rmsnorm(x_nd: &[f32], gamma_d: &[f32], eps: f32, y_nd: &mut [f32], rstd_n: &mut [f32]) {
    let d = gamma_d.len();
    let blocks = x_nd.par_chunks(ROWS * d);
    let blocks = blocks.zip(y_nd.par_chunks_mut(ROWS * d));
    blocks
        .zip(rstd_n.par_chunks_mut(ROWS))
        .for_each(|((x_rd, y_rd), rstd_r)| {
            for ((x, y), rstd) in rows(x_rd, y_rd, d).zip(rstd_r) {
                *rstd = vectorized(
                    #[inline(always)]
                    || normalize(x, gamma_d, eps, y),
                );
            }
        });
}

/// `x_nd += delta_nd`, then [`rmsnorm`] of the sum, in one pass.
pub fn add_rmsnorm(
    delta_nd: &[f32],
    x_nd: &mut [f32],
    gamma_d: &[f32],
    eps: f32,
    y_nd: &mut [f32],
    rstd_n: &mut [f32],
) {
    let d = gamma_d.len();
    let blocks = x_nd.par_chunks_mut(ROWS * d);
    let blocks = blocks.zip(y_nd.par_chunks_mut(ROWS * d));
    let blocks = blocks.zip(delta_nd.par_chunks(ROWS * d));
    blocks
        .zip(rstd_n.par_chunks_mut(ROWS))
        .for_each(|(((x_rd, y_rd), delta_rd), rstd_r)| {
            let rows = x_rd.chunks_exact_mut(d).zip(y_rd.chunks_exact_mut(d));
            for (((x, y), delta), rstd) in rows.zip(delta_rd.chunks_exact(d)).zip(rstd_r) {
                *rstd = vectorized(
                    #[inline(always)]
                    || {
                        for (x, delta) in x.iter_mut().zip(delta) {
                            *x += delta;
                        }
                        normalize(x, gamma_d, eps, y)
                    },
                );
            }
        });
}

/// Length of `partials` in [`rmsnorm_backward`].
pub fn rmsnorm_partials_len(n: usize, d: usize) -> usize {
    n.div_ceil(ROWS) * d
}

/// Backward of [`rmsnorm`]: adds the gradient of x to `dx_nd`, and that of gamma, summed over the rows, to
/// `dgamma_d` (`fresh`: overwrites it).
///
/// With xh = x rstd: dx += rstd (gamma dy - xh mean(gamma dy xh)); dgamma += sum_n dy xh. `partials` needs
/// [`rmsnorm_partials_len`] values.
#[allow(
    clippy::too_many_arguments,
    reason = "plain buffers, each with its shape"
)]
pub fn rmsnorm_backward(
    dy_nd: &[f32],
    x_nd: &[f32],
    rstd_n: &[f32],
    gamma_d: &[f32],
    dx_nd: &mut [f32],
    dgamma_d: &mut [f32],
    fresh: bool,
    partials: &mut [f32],
) {
    let d = gamma_d.len();
    let n_blocks = rstd_n.len().div_ceil(ROWS);
    let partials = &mut partials[..n_blocks * d];
    let blocks = dy_nd.par_chunks(ROWS * d).zip(x_nd.par_chunks(ROWS * d));
    let blocks = blocks.zip(dx_nd.par_chunks_mut(ROWS * d));
    let blocks = blocks.zip(partials.par_chunks_mut(d));
    blocks.zip(rstd_n.par_chunks(ROWS)).for_each(
        |((((dy_rd, x_rd), dx_rd), partial_d), rstd_r)| {
            partial_d.fill(0.0);
            let inputs = dy_rd.chunks_exact(d).zip(x_rd.chunks_exact(d));
            for (((dy, x), dx), &rstd) in inputs.zip(dx_rd.chunks_exact_mut(d)).zip(rstd_r) {
                vectorized(
                    #[inline(always)]
                    || row_backward(dy, x, rstd, gamma_d, dx, partial_d),
                );
            }
        },
    );
    if fresh {
        dgamma_d.fill(0.0);
    }
    for partial_d in partials.chunks_exact(d) {
        for (sum, partial) in dgamma_d.iter_mut().zip(partial_d) {
            *sum += partial;
        }
    }
}

fn rows<'a>(
    x_rd: &'a [f32],
    y_rd: &'a mut [f32],
    d: usize,
) -> impl Iterator<Item = (&'a [f32], &'a mut [f32])> {
    x_rd.chunks_exact(d).zip(y_rd.chunks_exact_mut(d))
}

#[inline(always)]
fn normalize(x: &[f32], gamma: &[f32], eps: f32, y: &mut [f32]) -> f32 {
    let d = y.len();
    let (x, gamma) = (&x[..d], &gamma[..d]);
    let mean = lane_sum(d, |i| x[i] * x[i]) / d as f64;
    // Above 1.8e19 a square is infinite in f32, and the row would silently become zeros.
    let rstd = if mean.is_finite() {
        (1.0 / (mean + f64::from(eps)).sqrt()) as f32
    } else {
        f32::NAN
    };
    for i in 0..d {
        y[i] = x[i] * rstd * gamma[i];
    }
    rstd
}

#[inline(always)]
fn row_backward(dy: &[f32], x: &[f32], rstd: f32, gamma: &[f32], dx: &mut [f32], dg: &mut [f32]) {
    let d = dx.len();
    let (dy, x, gamma, dg) = (&dy[..d], &x[..d], &gamma[..d], &mut dg[..d]);
    let dot = lane_sum(d, |i| dy[i] * gamma[i] * x[i]);
    let shared = (dot / d as f64) as f32 * rstd * rstd * rstd;
    for i in 0..d {
        dx[i] += dy[i] * gamma[i] * rstd - x[i] * shared;
        dg[i] += dy[i] * x[i] * rstd;
    }
}
