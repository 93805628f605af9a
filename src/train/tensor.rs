//! A tensor's place in the flat buffer of all parameters.

use std::ops::Range;

/// One named tensor inside the flat buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSlot {
    /// Hugging Face's name, such as `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// Its dims, row-major: `[out, in]` for weights, `[D]` for norms.
    pub shape: Vec<usize>,
    /// Its range in the buffer.
    pub range: Range<usize>,
}

impl TensorSlot {
    /// Whether weight decay applies: to matrices, not to the scales of norms.
    pub fn decays(&self) -> bool {
        self.shape.len() > 1
    }
}
