//! Settings of a head, and the names of its inputs and outputs.

use crate::onnx::types::TensorInfo;

/// Settings of a head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeadSpec<'a> {
    /// The model's logits `[B, T, n_logits]`, f32, f16 or bf16.
    pub logits: &'a TensorInfo,
    /// Logits per position, including padding.
    pub n_logits: u64,
    /// V: logits past it are omitted.
    pub vocab_size: u64,
    /// M: ids ranked per position, 1 to V.
    pub n_ranked: u64,
    /// 1 / tau of each extra temperature.
    pub inv_taus: &'a [f32],
}

/// Names of a head's input and outputs, none of which the model had before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReductionHead {
    /// Input i64 `[B, T, 1]`: the target of each position.
    pub targets: String,
    /// f32 `[B, T, M]`: the top logits in decreasing order.
    pub ranked_logits: String,
    /// i64 `[B, T, M]`: their ids. For equal logits ONNX requires the lower id first, also at the boundary of
    /// M, but not every device does that.
    pub ranked_ids: String,
    /// f32 `[B, T, 1]`: the target's logit.
    pub target_logits: String,
    /// f32 `[B, T]`: sum of e^d over the unranked ids, d = logit - max.
    pub other_sum: String,
    /// f32 `[B, T]`: sum of d e^d over them.
    pub other_weighted_sum: String,
    /// f32 `[B, T]` for each extra temperature: sum of e^(d / tau) over them.
    pub other_tempered_sums: Vec<String>,
}

impl ReductionHead {
    /// All outputs, in the order of the fields.
    pub fn outputs(&self) -> Vec<&str> {
        let fixed = [
            &self.ranked_logits,
            &self.ranked_ids,
            &self.target_logits,
            &self.other_sum,
            &self.other_weighted_sum,
        ];
        fixed
            .into_iter()
            .chain(&self.other_tempered_sums)
            .map(String::as_str)
            .collect()
    }
}
