//! All parameters of a model in one flat buffer, so that the optimizer, norms and checkpoints just loop over
//! it. Order and names are Hugging Face's for `LlamaForCausalLM`, and weights are `[out, in]` as there;
//! queries, keys and values of a layer are contiguous, as are gate and up, so that each group is one matrix
//! product.

use super::spec::ModelSpec;
use crate::splitmix::splitmix64;
use crate::train::tensor::TensorSlot;
use std::ops::Range;

/// Standard deviation of initial weights.
const INIT_STD: f32 = 0.02;

/// Where each tensor is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamLayout {
    /// In the order of the buffer, without gaps.
    pub tensors: Vec<TensorSlot>,
    /// Length of the buffer.
    pub len: usize,
    /// `[V, D]`.
    pub embedding: Range<usize>,
    /// One per block.
    pub layers: Vec<LayerSlots>,
    /// `[D]`.
    pub final_norm: Range<usize>,
    /// `[V, D]`; the embedding itself if tied.
    pub head: Range<usize>,
}

/// Where the tensors of one block are, fused as they are used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerSlots {
    /// `[D]`.
    pub attention_norm: Range<usize>,
    /// `[(H + 2 H_kv) * head_dim, D]`: queries, keys, values.
    pub qkv: Range<usize>,
    /// `[D, H * head_dim]`.
    pub output: Range<usize>,
    /// `[D]`.
    pub mlp_norm: Range<usize>,
    /// `[2 F, D]`: gate, then up.
    pub gate_up: Range<usize>,
    /// `[D, F]`.
    pub down: Range<usize>,
}

impl ParamLayout {
    /// The layout of `spec`.
    pub fn new(spec: &ModelSpec) -> Self {
        let mut list = List::default();
        let (d, f) = (spec.d_model, spec.d_ff);
        let embedding = list.push("model.embed_tokens.weight", &[spec.vocab_size, d]);
        let layers = (0..spec.n_layers)
            .map(|layer| {
                let mut push = |name: &str, shape: &[usize]| {
                    list.push(&format!("model.layers.{layer}.{name}.weight"), shape)
                };
                let attention_norm = push("input_layernorm", &[d]);
                let q = push("self_attn.q_proj", &[spec.q_width(), d]);
                push("self_attn.k_proj", &[spec.kv_width(), d]);
                let v = push("self_attn.v_proj", &[spec.kv_width(), d]);
                let output = push("self_attn.o_proj", &[d, spec.q_width()]);
                let mlp_norm = push("post_attention_layernorm", &[d]);
                let gate = push("mlp.gate_proj", &[f, d]);
                let up = push("mlp.up_proj", &[f, d]);
                let down = push("mlp.down_proj", &[d, f]);
                LayerSlots {
                    attention_norm,
                    qkv: q.start..v.end,
                    output,
                    mlp_norm,
                    gate_up: gate.start..up.end,
                    down,
                }
            })
            .collect();
        let final_norm = list.push("model.norm.weight", &[d]);
        let head = if spec.tie_embeddings {
            embedding.clone()
        } else {
            list.push("lm_head.weight", &[spec.vocab_size, d])
        };
        Self {
            tensors: list.tensors,
            len: list.len,
            embedding,
            layers,
            final_norm,
            head,
        }
    }
}

#[derive(Default)]
struct List {
    tensors: Vec<TensorSlot>,
    len: usize,
}

impl List {
    fn push(&mut self, name: &str, shape: &[usize]) -> Range<usize> {
        let start = self.len;
        self.len += shape.iter().product::<usize>();
        let range = start..self.len;
        self.tensors.push(TensorSlot {
            name: name.to_owned(),
            shape: shape.to_vec(),
            range: range.clone(),
        });
        range
    }
}

/// The parameters of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Params {
    /// Its dimensions.
    pub spec: ModelSpec,
    /// Where each tensor is in `values`.
    pub layout: ParamLayout,
    /// The values of all parameters.
    pub values: Vec<f32>,
}

impl Params {
    /// All zero except norms, which are 1; to be filled in by the caller.
    pub fn blank(spec: &ModelSpec) -> Self {
        let layout = ParamLayout::new(spec);
        let mut values = vec![0.0; layout.len];
        for slot in layout.tensors.iter().filter(|slot| !slot.decays()) {
            values[slot.range.clone()].fill(1.0);
        }
        Self {
            spec: spec.clone(),
            layout,
            values,
        }
    }

    /// Initial parameters: normal with standard deviation 0.02, or 0.02 / sqrt(2 L) for the two matrices per
    /// layer that write to the residual stream (GPT-2's scaling). A pure function of spec and seed.
    pub fn init(spec: &ModelSpec, seed: u64) -> Self {
        let mut params = Self::blank(spec);
        let residual_std = INIT_STD / (2.0 * spec.n_layers as f32).sqrt();
        for slot in params.layout.tensors.iter().filter(|slot| slot.decays()) {
            let writes_residual =
                slot.name.ends_with("o_proj.weight") || slot.name.ends_with("down_proj.weight");
            let std = if writes_residual {
                residual_std
            } else {
                INIT_STD
            };
            for idx in slot.range.clone() {
                params.values[idx] = std * normal(seed, idx as u64);
            }
        }
        params
    }

    /// One tensor by its Hugging Face name.
    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        let slot = self.layout.tensors.iter().find(|slot| slot.name == name)?;
        Some(&self.values[slot.range.clone()])
    }
}

/// The `idx`-th standard normal value of a seed, by the Box-Muller transform over SplitMix64.
fn normal(seed: u64, idx: u64) -> f32 {
    let bits = splitmix64(seed.wrapping_add(splitmix64(idx)));
    let unit = |bits: u64| (bits as f64 + 0.5) / (1u64 << 32) as f64;
    let radius = (-2.0 * unit(bits >> 32).ln()).sqrt();
    (radius * (std::f64::consts::TAU * unit(bits & 0xffff_ffff)).cos()) as f32
}
