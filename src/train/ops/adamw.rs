//! AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101).

use super::simd::{lane_sum, vectorized};
use crate::train::tensor::TensorSlot;
use rayon::prelude::*;

/// Values that one task updates, or sums, at a time.
const CHUNK: usize = 1 << 14;

/// Constants of the optimizer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled decay per unit of learning rate, for matrices only.
    pub weight_decay: f32,
}

/// First and second moments, one value per parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct AdamW {
    /// First moments.
    pub m: Vec<f32>,
    /// Second moments.
    pub v: Vec<f32>,
}

impl AdamW {
    /// All zero.
    pub fn new(n_parameters: usize) -> Self {
        Self {
            m: vec![0.0; n_parameters],
            v: vec![0.0; n_parameters],
        }
    }

    /// Update number `step`, from 1, of the tensors of `params`. Every gradient is first multiplied by
    /// `grad_scale` (clipping).
    #[allow(
        clippy::too_many_arguments,
        reason = "plain buffers and this step's constants"
    )]
    pub fn update(
        &mut self,
        config: &AdamWConfig,
        tensors: &[TensorSlot],
        params: &mut [f32],
        grads: &[f32],
        lr: f32,
        grad_scale: f32,
        step: u64,
    ) {
        for slot in tensors {
            let decay = if slot.decays() {
                config.weight_decay
            } else {
                0.0
            };
            let constants = Constants::new(config, decay, lr, grad_scale, step);
            let range = slot.range.clone();
            let values = params[range.clone()].par_chunks_mut(CHUNK);
            let moments = self.m[range.clone()].par_chunks_mut(CHUNK);
            let moments = moments.zip(self.v[range.clone()].par_chunks_mut(CHUNK));
            let grads = grads[range].par_chunks(CHUNK);
            values
                .zip(moments)
                .zip(grads)
                .for_each(|((values, (m, v)), grads)| {
                    vectorized(
                        #[inline(always)]
                        || update_chunk(&constants, values, m, v, grads),
                    );
                });
        }
    }
}

/// Square root of the sum of all squares.
pub fn norm(values: &[f32]) -> f64 {
    // Collected before summing, so that the order does not depend on threads.
    let sums: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| {
            vectorized(
                #[inline(always)]
                || lane_sum(chunk.len(), |i| chunk[i] * chunk[i]),
            )
        })
        .collect();
    sums.iter().sum::<f64>().sqrt()
}

/// The constants of one update of one tensor.
struct Constants {
    beta1: f32,
    beta2: f32,
    eps: f32,
    /// 1 - lr * weight decay.
    keep: f32,
    /// lr / (1 - beta1^step).
    step_size: f32,
    /// 1 / sqrt(1 - beta2^step).
    root_correction: f32,
    grad_scale: f32,
}

impl Constants {
    fn new(config: &AdamWConfig, decay: f32, lr: f32, grad_scale: f32, step: u64) -> Self {
        let correction = |beta: f32| 1.0 - f64::from(beta).powf(step as f64);
        Self {
            beta1: config.beta1,
            beta2: config.beta2,
            eps: config.eps,
            keep: 1.0 - lr * decay,
            step_size: (f64::from(lr) / correction(config.beta1)) as f32,
            root_correction: (1.0 / correction(config.beta2).sqrt()) as f32,
            grad_scale,
        }
    }
}

#[inline(always)]
fn update_chunk(c: &Constants, values: &mut [f32], m: &mut [f32], v: &mut [f32], grads: &[f32]) {
    let moments = m.iter_mut().zip(v);
    for ((value, (m, v)), grad) in values.iter_mut().zip(moments).zip(grads) {
        let grad = grad * c.grad_scale;
        *m += (1.0 - c.beta1) * (grad - *m);
        *v += (1.0 - c.beta2) * (grad * grad - *v);
        let root = v.sqrt() * c.root_correction + c.eps;
        *value = *value * c.keep - c.step_size * *m / root;
    }
}
