//! GPT-2: LayerNorm, learned positions, weights stored `[in, out]`.

use super::dims::{activation, n_layers};
use super::family::Family;
use super::llama::{LLAMA, head};
use crate::onnx::decoder::{
    Activation, Attention, AttentionBiases, DecoderLayer, DecoderSpec, FeedForward, Norm, NormKind,
    NormPlacement, Residual,
};
use crate::pretrained::PretrainedError;
use crate::pretrained::cut::{Cut, Entry, Part};
use crate::pretrained::section::Section;
use serde_json::Value;

pub(super) const GPT2: Family = Family {
    model_type: "gpt2",
    name: "GPT-2",
    architecture: "GPT2LMHeadModel",
    read: gpt2,
    layers: "transformer.h.",
    tensors: &[TENSORS],
    base: "transformer.",
    computed: &[".attn.bias", ".attn.masked_bias"],
    ..LLAMA
};

const QKV: &str = "attn.c_attn";

const TENSORS: &[Entry] = &[
    ("embedding", "transformer.wte", Cut::Whole),
    ("positions", "transformer.wpe", Cut::Whole),
    ("attention.norm", "ln_1", Cut::Whole),
    ("attention.query", QKV, Cut::TransposedStacked(Part::Query)),
    ("attention.key", QKV, Cut::TransposedStacked(Part::Key)),
    ("attention.value", QKV, Cut::TransposedStacked(Part::Value)),
    ("attention.output", "attn.c_proj", Cut::Transposed),
    ("feed_forward.norm", "ln_2", Cut::Whole),
    ("feed_forward.up", "mlp.c_fc", Cut::Transposed),
    ("feed_forward.down", "mlp.c_proj", Cut::Transposed),
    ("final_norm", "transformer.ln_f", Cut::Whole),
    ("head", "lm_head", Cut::Whole),
];

fn gpt2(config: &Section) -> Result<DecoderSpec, PretrainedError> {
    let d_model = config.count("n_embd", None)?;
    let n_heads = config.count("n_head", None)?;
    if !d_model.is_multiple_of(n_heads) {
        let expected = format!("a multiple of the {n_heads} heads");
        return Err(config.refusal("n_embd", &expected, "correct the configuration"));
    }
    let norm = Norm {
        kind: NormKind::Layer { has_bias: true },
        eps: config.positive("layer_norm_epsilon", 1e-5)?,
    };
    let layer = DecoderLayer {
        attention: attention(config, d_model, n_heads)?,
        feed_forward: FeedForward {
            d_ff: config.count("n_inner", Some(4 * d_model))?,
            is_gated: false,
            activation: activation(config, "activation_function", Activation::GeluTanh)?,
            has_inner_bias: true,
            has_output_bias: true,
        },
        norm,
        placement: NormPlacement::Pre,
        residual: Residual::Serial,
        residual_multiplier: 1.0,
    };
    let mut layers = vec![layer; n_layers(config, "n_layer")?];
    if config.flag("scale_attn_by_inverse_layer_idx", false)? {
        for (idx, layer) in layers.iter_mut().enumerate() {
            layer.attention.scale /= (idx + 1) as f64;
        }
    }
    let remedy = "only decoder-only models are supported";
    config.only("add_cross_attention", &Value::Bool(false), remedy)?;
    let vocab_size = config.count("vocab_size", None)?;
    let max_positions = config.count("n_positions", Some(1024))?;
    // An older name for the same.
    config.only("n_ctx", &max_positions.into(), "correct the configuration")?;
    Ok(DecoderSpec {
        vocab_size,
        d_model,
        max_positions,
        embedding_multiplier: 1.0,
        has_learned_positions: true,
        rotary: Vec::new(),
        layers,
        final_norm: norm,
        head: head(vocab_size, config.flag("tie_word_embeddings", true)?),
    })
}

fn attention(
    config: &Section,
    d_model: usize,
    n_heads: usize,
) -> Result<Attention, PretrainedError> {
    let head_dim = d_model / n_heads;
    let is_scaled = config.flag("scale_attn_weights", true)?;
    Ok(Attention {
        n_heads,
        n_kv_heads: n_heads,
        head_dim,
        biases: AttentionBiases::all(true),
        query_key_norm: None,
        window: None,
        scale: match is_scaled {
            true => (head_dim as f64).powf(-0.5),
            false => 1.0,
        },
        soft_cap: None,
        rotary: None,
    })
}
