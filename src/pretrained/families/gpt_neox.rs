//! GPT-NeoX (Pythia): LayerNorm, attention and feed-forward in parallel, a part of each head rotated.

use super::dims::{DimDefaults, activation, dims};
use super::family::Family;
use super::llama::{LLAMA, decoder};
use crate::onnx::decoder::{Activation, AttentionBiases, DecoderSpec, Norm, NormKind, Residual};
use crate::pretrained::PretrainedError;
use crate::pretrained::cut::{Cut, Entry, Part};
use crate::pretrained::rope::{ROPE_DEFAULTS, RopeDefaults, rope_parameters};
use crate::pretrained::section::Section;

pub(super) const GPT_NEOX: Family = Family {
    model_type: "gpt_neox",
    name: "GPT-NeoX",
    architecture: "GPTNeoXForCausalLM",
    read: gpt_neox,
    layers: "gpt_neox.layers.",
    tensors: &[TENSORS],
    base: "gpt_neox.",
    computed: &[
        ".attention.bias",
        ".attention.masked_bias",
        ".rotary_emb.inv_freq",
    ],
    ..LLAMA
};

const QKV: &str = "attention.query_key_value";

const TENSORS: &[Entry] = &[
    ("embedding", "gpt_neox.embed_in", Cut::Whole),
    ("attention.norm", "input_layernorm", Cut::Whole),
    ("attention.query", QKV, Cut::ByHead(Part::Query)),
    ("attention.key", QKV, Cut::ByHead(Part::Key)),
    ("attention.value", QKV, Cut::ByHead(Part::Value)),
    ("attention.output", "attention.dense", Cut::Whole),
    ("feed_forward.norm", "post_attention_layernorm", Cut::Whole),
    ("feed_forward.up", "mlp.dense_h_to_4h", Cut::Whole),
    ("feed_forward.down", "mlp.dense_4h_to_h", Cut::Whole),
    ("final_norm", "gpt_neox.final_layer_norm", Cut::Whole),
    ("head", "embed_out", Cut::Whole),
];

fn gpt_neox(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let dims = dims(
        config,
        DimDefaults {
            n_kv_heads: None,
            head_dim: None,
            max_positions: 2048,
        },
    )?;
    let remedy = "this family has a key for each query";
    config.only("num_key_value_heads", &dims.n_heads.into(), remedy)?;
    let defaults = RopeDefaults {
        partial: 0.25,
        theta_key: "rotary_emb_base",
        partial_key: "rotary_pct",
        ..ROPE_DEFAULTS
    };
    let rope = rope_parameters(config, &defaults, dims.head_dim)?;
    // Later files repeat both.
    config.only(
        "rope_theta",
        &rope.theta.into(),
        "correct the configuration",
    )?;
    config.only(
        "partial_rotary_factor",
        &rope.partial.into(),
        "correct the configuration",
    )?;
    let norm = Norm {
        kind: NormKind::Layer { has_bias: true },
        eps: config.positive("layer_norm_eps", 1e-5)?,
    };
    let activation = activation(config, "hidden_act", Activation::Gelu)?;
    let is_tied = config.flag("tie_word_embeddings", false)?;
    let mut spec = decoder(&dims, &rope, norm, activation, is_tied);
    let has_bias = config.flag("attention_bias", true)?;
    let is_parallel = config.flag("use_parallel_residual", true)?;
    for layer in &mut spec.layers {
        layer.attention.biases = AttentionBiases::all(has_bias);
        layer.feed_forward.is_gated = false;
        layer.feed_forward.has_inner_bias = true;
        layer.feed_forward.has_output_bias = true;
        layer.residual = match is_parallel {
            true => Residual::Parallel,
            false => Residual::Serial,
        };
    }
    Ok(spec)
}
