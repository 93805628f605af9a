//! Llama, and what most families share with it: RMSNorm in front of both halves, RoPE, grouped queries, a
//! gated feed-forward block.

use super::dims::{DimDefaults, LlamaDims, activation, dims};
use super::family::Family;
use crate::onnx::decoder::{
    Activation, Attention, AttentionBiases, DecoderLayer, DecoderSpec, FeedForward, Head, Norm,
    NormKind, NormPlacement, Residual,
};
use crate::pretrained::PretrainedError;
use crate::pretrained::cut::{Cut, Entry, tensor_of};
use crate::pretrained::rope::{ROPE_DEFAULTS, RopeDefaults, RopeParameters, rope_parameters};
use crate::pretrained::section::Section;

pub(super) const LLAMA: Family = Family {
    model_type: "llama",
    name: "Llama",
    architecture: "LlamaForCausalLM",
    read: llama,
    layers: "model.layers.",
    tensors: &[STREAM, PRE_NORMS],
    base: "model.",
    computed: &[".rotary_emb.inv_freq"],
    may_bring_code: false,
};

pub(super) const STREAM: &[Entry] = &[
    ("embedding", "model.embed_tokens", Cut::Whole),
    ("attention.query", "self_attn.q_proj", Cut::Whole),
    ("attention.key", "self_attn.k_proj", Cut::Whole),
    ("attention.value", "self_attn.v_proj", Cut::Whole),
    ("attention.query_norm", "self_attn.q_norm", Cut::Whole),
    ("attention.key_norm", "self_attn.k_norm", Cut::Whole),
    ("attention.output", "self_attn.o_proj", Cut::Whole),
    ("feed_forward.gate", "mlp.gate_proj", Cut::Whole),
    ("feed_forward.up", "mlp.up_proj", Cut::Whole),
    ("feed_forward.down", "mlp.down_proj", Cut::Whole),
    ("final_norm", "model.norm", Cut::Whole),
    ("head", "lm_head", Cut::Whole),
];

pub(super) const PRE_NORMS: &[Entry] = &[
    ("attention.norm", "input_layernorm", Cut::Whole),
    ("feed_forward.norm", "post_attention_layernorm", Cut::Whole),
];

/// A family's defaults for missing keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct Defaults {
    pub(super) dims: DimDefaults,
    pub(super) rope: RopeDefaults,
    pub(super) norm_eps: f64,
    pub(super) is_tied: bool,
}

pub(super) const DEFAULTS: Defaults = Defaults {
    dims: DimDefaults {
        n_kv_heads: None,
        head_dim: None,
        max_positions: 2048,
    },
    rope: ROPE_DEFAULTS,
    norm_eps: 1e-6,
    is_tied: false,
};

/// The tensor of a Llama's weight; `None` if it has no such weight.
pub fn llama_tensor(weight: &str) -> Option<String> {
    tensor_of(LLAMA.layers, LLAMA.tensors, weight).map(|(tensor, ..)| tensor)
}

fn llama(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let mut spec = like_llama(config, &DEFAULTS)?;
    read_biases(config, &mut spec)?;
    Ok(spec)
}

/// A Llama-like decoder without biases and windows, from the keys that such families share.
pub(super) fn like_llama(
    config: &Section,
    defaults: &Defaults,
) -> Result<DecoderSpec, PretrainedError> {
    let dims = dims(config, defaults.dims)?;
    let rope = rope_parameters(config, &defaults.rope, dims.head_dim)?;
    let norm = Norm {
        kind: NormKind::Rms,
        eps: config.positive("rms_norm_eps", defaults.norm_eps)?,
    };
    let activation = activation(config, "hidden_act", Activation::Silu)?;
    let is_tied = config.flag("tie_word_embeddings", defaults.is_tied)?;
    Ok(decoder(&dims, &rope, norm, activation, is_tied))
}

/// A Llama without biases, with RMSNorm of epsilon `norm_eps`.
pub fn llama_decoder(
    dims: &LlamaDims,
    rope: &RopeParameters,
    norm_eps: f64,
    is_tied: bool,
) -> DecoderSpec {
    let norm = Norm {
        kind: NormKind::Rms,
        eps: norm_eps,
    };
    decoder(dims, rope, norm, Activation::Silu, is_tied)
}

/// The description of a decoder with identical layers.
pub(super) fn decoder(
    dims: &LlamaDims,
    rope: &RopeParameters,
    norm: Norm,
    activation: Activation,
    is_tied: bool,
) -> DecoderSpec {
    let layer = DecoderLayer {
        attention: Attention {
            n_heads: dims.n_heads,
            n_kv_heads: dims.n_kv_heads,
            head_dim: dims.head_dim,
            biases: AttentionBiases::default(),
            query_key_norm: None,
            window: None,
            scale: (dims.head_dim as f64).powf(-0.5),
            soft_cap: None,
            rotary: Some(0),
        },
        feed_forward: FeedForward {
            d_ff: dims.d_ff,
            is_gated: true,
            activation,
            has_inner_bias: false,
            has_output_bias: false,
        },
        norm,
        placement: NormPlacement::Pre,
        residual: Residual::Serial,
        residual_multiplier: 1.0,
    };
    DecoderSpec {
        vocab_size: dims.vocab_size,
        d_model: dims.d_model,
        max_positions: rope.max_positions(dims.max_positions),
        embedding_multiplier: 1.0,
        has_learned_positions: false,
        rotary: vec![rope.table(dims.head_dim)],
        layers: vec![layer; dims.n_layers],
        final_norm: norm,
        head: head(dims.vocab_size, is_tied),
    }
}

/// A plain head.
pub(super) fn head(vocab_size: usize, is_tied: bool) -> Head {
    Head {
        n_logits: vocab_size,
        is_tied,
        has_bias: false,
        logits_divisor: 1.0,
        soft_cap: None,
    }
}

/// `attention_bias` for all four projections, and `mlp_bias` for all three.
pub(super) fn read_biases(config: &Section, spec: &mut DecoderSpec) -> Result<(), PretrainedError> {
    let has_bias = config.flag("mlp_bias", false)?;
    for layer in &mut spec.layers {
        layer.feed_forward.has_inner_bias = has_bias;
        layer.feed_forward.has_output_bias = has_bias;
    }
    read_attention_bias(config, spec)
}

/// `attention_bias` for all four projections.
pub(super) fn read_attention_bias(
    config: &Section,
    spec: &mut DecoderSpec,
) -> Result<(), PretrainedError> {
    let has_bias = config.flag("attention_bias", false)?;
    for layer in &mut spec.layers {
        layer.attention.biases = AttentionBiases::all(has_bias);
    }
    Ok(())
}
