//! The weights of a decoder: names, shapes and order, and the trait that provides them.

use super::spec::{
    Attention, DecoderLayer, DecoderSpec, Norm, NormExtent, NormKind, NormPlacement,
};
use std::ops::Range;

/// One weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    /// Such as `layers.3.attention.query.weight`.
    pub name: String,
    /// `[out, in]` of a matrix, `[n]` of a vector.
    pub shape: Vec<usize>,
}

impl Weight {
    /// Rows as [`Weights::read_rows`] counts them: the first dimension.
    pub fn n_rows(&self) -> usize {
        self.shape[0]
    }

    /// Values per row.
    pub fn row_len(&self) -> usize {
        self.shape[1..].iter().product()
    }
}

/// Provides a decoder's weights, a few rows at a time, so that a checkpoint larger than memory can be read.
pub trait Weights {
    /// What can go wrong.
    type Error;

    /// Appends rows `rows` of `weight`, as f32, to `values`: `rows.len() * weight.row_len()` finite values.
    /// Each weight that [`weights_of`] lists may be requested more than once, in any order.
    ///
    /// # Errors
    /// Errors of the source; `values` must not be used then.
    fn read_rows(
        &self,
        weight: &Weight,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), Self::Error>;
}

/// All weights of a decoder, in the order of the graph.
///
/// ```text
/// embedding.weight                         [V, D]
/// positions.weight                         [max_positions, D]      learned positions only
/// layers.N.attention.norm.{weight,bias}    [D]                     Pre, PreAndPost
/// layers.N.attention.query.{weight,bias}   [H * head_dim, D], [H * head_dim]
/// layers.N.attention.key.{weight,bias}     [H_kv * head_dim, D], [H_kv * head_dim]
/// layers.N.attention.value.{weight,bias}   [H_kv * head_dim, D], [H_kv * head_dim]
/// layers.N.attention.query_norm.weight     [head_dim] or [H * head_dim]
/// layers.N.attention.key_norm.weight       [head_dim] or [H_kv * head_dim]
/// layers.N.attention.output.{weight,bias}  [D, H * head_dim], [D]
/// layers.N.attention.post_norm.{weight,bias}     [D]               Post, PreAndPost
/// layers.N.feed_forward.norm.{weight,bias}       [D]               Pre, PreAndPost
/// layers.N.feed_forward.gate.{weight,bias}       [F, D], [F]       gated only
/// layers.N.feed_forward.up.{weight,bias}         [F, D], [F]
/// layers.N.feed_forward.down.{weight,bias}       [D, F], [D]
/// layers.N.feed_forward.post_norm.{weight,bias}  [D]               Post, PreAndPost
/// final_norm.{weight,bias}                 [D]
/// head.weight                              [V_head, D]             untied only
/// head.bias                                [V_head]
/// ```
pub fn weights_of(spec: &DecoderSpec) -> Vec<Weight> {
    let mut list = List(Vec::new());
    let d_model = spec.d_model;
    list.push("embedding.weight", &[spec.vocab_size, d_model]);
    if spec.has_learned_positions {
        list.push("positions.weight", &[spec.max_positions, d_model]);
    }
    for (idx, layer) in spec.layers.iter().enumerate() {
        list.layer(idx, layer, d_model);
    }
    list.norm("final_norm", spec.final_norm, d_model);
    if !spec.head.is_tied {
        list.push("head.weight", &[spec.head.n_logits, d_model]);
    }
    if spec.head.has_bias {
        list.push("head.bias", &[spec.head.n_logits]);
    }
    list.0
}

/// Name of a weight of a layer: `layers.IDX.PART`.
pub(super) fn in_layer(idx: usize, part: &str) -> String {
    format!("layers.{idx}.{part}")
}

struct List(Vec<Weight>);

impl List {
    fn push(&mut self, name: &str, shape: &[usize]) {
        self.0.push(Weight {
            name: name.to_owned(),
            shape: shape.to_vec(),
        });
    }

    fn norm(&mut self, name: &str, norm: Norm, width: usize) {
        self.push(&format!("{name}.weight"), &[width]);
        if norm.kind == (NormKind::Layer { has_bias: true }) {
            self.push(&format!("{name}.bias"), &[width]);
        }
    }

    fn linear(&mut self, name: &str, n_out: usize, n_in: usize, has_bias: bool) {
        self.push(&format!("{name}.weight"), &[n_out, n_in]);
        if has_bias {
            self.push(&format!("{name}.bias"), &[n_out]);
        }
    }

    fn layer(&mut self, idx: usize, layer: &DecoderLayer, d_model: usize) {
        let name = |part: &str| in_layer(idx, part);
        let is_pre = layer.placement != NormPlacement::Post;
        let is_post = layer.placement != NormPlacement::Pre;
        if is_pre {
            self.norm(&name("attention.norm"), layer.norm, d_model);
        }
        self.attention(idx, &layer.attention, d_model);
        if is_post {
            self.norm(&name("attention.post_norm"), layer.norm, d_model);
        }
        if is_pre {
            self.norm(&name("feed_forward.norm"), layer.norm, d_model);
        }
        let feed_forward = layer.feed_forward;
        let (d_ff, has_bias) = (feed_forward.d_ff, feed_forward.has_inner_bias);
        if feed_forward.is_gated {
            self.linear(&name("feed_forward.gate"), d_ff, d_model, has_bias);
        }
        self.linear(&name("feed_forward.up"), d_ff, d_model, has_bias);
        let has_bias = feed_forward.has_output_bias;
        self.linear(&name("feed_forward.down"), d_model, d_ff, has_bias);
        if is_post {
            self.norm(&name("feed_forward.post_norm"), layer.norm, d_model);
        }
    }

    fn attention(&mut self, idx: usize, attention: &Attention, d_model: usize) {
        let name = |part: &str| in_layer(idx, &format!("attention.{part}"));
        let (q_width, kv_width) = (attention.q_width(), attention.kv_width());
        let biases = attention.biases;
        self.linear(&name("query"), q_width, d_model, biases.query);
        self.linear(&name("key"), kv_width, d_model, biases.key);
        self.linear(&name("value"), kv_width, d_model, biases.value);
        if let Some(query_key) = attention.query_key_norm {
            let (q_norm, k_norm) = match query_key.extent {
                NormExtent::Head => (attention.head_dim, attention.head_dim),
                NormExtent::Projection => (q_width, kv_width),
            };
            self.norm(&name("query_norm"), query_key.norm, q_norm);
            self.norm(&name("key_norm"), query_key.norm, k_norm);
        }
        self.linear(&name("output"), d_model, q_width, biases.output);
    }
}

impl Attention {
    /// Width of a token's queries: H * head_dim.
    pub fn q_width(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Width of a token's keys, and of its values.
    pub fn kv_width(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }
}
