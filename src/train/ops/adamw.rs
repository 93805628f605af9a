//! AdamW (Loshchilov and Hutter, "Decoupled Weight Decay Regularization", arXiv 1711.05101).

use crate::train::model::ParamLayout;

/// Constants of the optimizer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled decay a unit of learning rate, of matrices only.
    pub weight_decay: f32,
}

/// First and second moments, one value a parameter.
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

    /// One update, number `step` from 1 on. `grad_scale` is multiplied to every gradient first
    /// (clipping).
    #[allow(clippy::too_many_arguments)]
    pub fn update(
        &mut self,
        config: &AdamWConfig,
        layout: &ParamLayout,
        params: &mut [f32],
        grads: &[f32],
        lr: f32,
        grad_scale: f32,
        step: u64,
    ) {
        let _ = (config, layout, params, grads, lr, grad_scale, step);
        unimplemented!()
    }
}
