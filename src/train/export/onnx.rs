//! A model as an ONNX graph of standard operators: see [`crate::onnx::decoder`]. A sequence longer than the model
//! is for ends in an error of the runtime.

use super::ExportError;
use crate::decoder_file::{self, DecoderFileError, MAX_INLINE_BYTES, WeightsPlace};
use crate::interrupt::Interrupt;
use crate::onnx::decoder::{
    Activation, Attention, AttentionBiases, DecoderLayer, DecoderModel, DecoderSpec, Dialect,
    FeedForward, Frequencies, FrequencySet, GraphOptions, Head, Norm, NormKind, NormPlacement,
    Residual, RotaryPairing, RotaryTable, Weight, WeightFormat, Weights, decoder_model,
};
use crate::storage::FileHash;
use crate::train::model::{ModelSpec, Params};
use std::convert::Infallible;
use std::ops::Range;
use std::path::Path;

pub use crate::decoder_file::{WeightsPlace as OnnxWeights, data_path as onnx_data_path};

/// Writes the model as ONNX, in place of whatever has the name `path`, until a stop is asked for, by which
/// nothing of what was there is lost. The graph gets its name last: without it nothing is there yet.
/// What a killed write of the same name left is swept. Tells what has which hash.
///
/// # Errors
/// I/O; weights inline that are more than a protobuf message may hold; [`ExportError::Interrupted`].
pub fn write_onnx(
    path: &Path,
    params: &Params,
    weights: WeightsPlace,
    interrupt: &Interrupt,
) -> Result<Vec<(String, FileHash)>, ExportError> {
    let model = onnx_model(&params.spec);
    let written = decoder_file::write_decoder(path, &model, &ByName(params), weights, interrupt);
    written.map_err(|error| match error {
        DecoderFileError::Storage(error) => error.into(),
        DecoderFileError::Interrupted { path } => ExportError::Interrupted { path },
        DecoderFileError::TooLarge { path, n_bytes } => ExportError::Config {
            path,
            key: "weights".to_owned(),
            expected: format!("at most {MAX_INLINE_BYTES} bytes in one file"),
            got: format!("{n_bytes}"),
            remedy: "put them beside it with --external-data",
        },
        DecoderFileError::OutOfRange { .. } => unreachable!("f32 holds every f32"),
        DecoderFileError::Weights(never) => match never {},
    })
}

/// Whether the file of weights beside the model at `path` is what [`write_onnx`] would write there, as a
/// kill before the graph got its name leaves it.
///
/// # Errors
/// A file that cannot be read.
pub fn has_onnx_data_of(path: &Path, params: &Params) -> Result<bool, ExportError> {
    let model = onnx_model(&params.spec);
    Ok(decoder_file::has_data_of(path, &model, &ByName(params))?)
}

/// The graph of a model of the trainer.
pub fn onnx_model(spec: &ModelSpec) -> DecoderModel {
    let options = GraphOptions {
        dialect: Dialect::Standard,
        weights: WeightFormat::F32,
    };
    decoder_model(&decoder_spec(spec), options).expect("a model of the trainer is a decoder")
}

/// A model of the trainer as a decoder among all others.
pub fn decoder_spec(spec: &ModelSpec) -> DecoderSpec {
    let norm = Norm {
        kind: NormKind::Rms,
        eps: spec.norm_eps,
    };
    let layer = DecoderLayer {
        attention: attention(spec),
        feed_forward: FeedForward {
            d_ff: spec.d_ff,
            is_gated: true,
            activation: Activation::Silu,
            has_inner_bias: false,
            has_output_bias: false,
        },
        norm,
        placement: NormPlacement::Pre,
        residual: Residual::Serial,
        residual_multiplier: 1.0,
    };
    DecoderSpec {
        vocab_size: spec.vocab_size,
        d_model: spec.d_model,
        max_positions: spec.max_seq_len,
        embedding_multiplier: 1.0,
        has_learned_positions: false,
        rotary: vec![rotary(spec)],
        layers: vec![layer; spec.n_layers],
        final_norm: norm,
        head: Head {
            n_logits: spec.vocab_size,
            is_tied: spec.tie_embeddings,
            has_bias: false,
            logits_divisor: 1.0,
            soft_cap: None,
        },
    }
}

fn attention(spec: &ModelSpec) -> Attention {
    Attention {
        n_heads: spec.n_heads,
        n_kv_heads: spec.n_kv_heads,
        head_dim: spec.head_dim,
        biases: AttentionBiases::default(),
        query_key_norm: None,
        window: None,
        scale: (spec.head_dim as f64).powf(-0.5),
        soft_cap: None,
        rotary: Some(0),
    }
}

/// theta^(-2i / head_dim).
fn rotary(spec: &ModelSpec) -> RotaryTable {
    let exponent = |pair: usize| -((2 * pair) as f64) / spec.head_dim as f64;
    let inv_freq = (0..spec.head_dim / 2).map(|pair| spec.rope_theta.powf(exponent(pair)));
    RotaryTable {
        n_rotated: spec.head_dim,
        pairing: RotaryPairing::Halves,
        frequencies: Frequencies::Fixed(FrequencySet {
            inv_freq: inv_freq.collect(),
            attention_scaling: 1.0,
        }),
    }
}

/// Parameters by the names of a decoder.
struct ByName<'a>(&'a Params);

impl Weights for ByName<'_> {
    type Error = Infallible;

    fn read_rows(
        &self,
        weight: &Weight,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), Infallible> {
        let tensor = self.0.tensor(&trainers_name(&weight.name));
        let tensor = tensor.expect("the layout has every tensor of its model");
        let row_len = weight.row_len();
        values.extend_from_slice(&tensor[rows.start * row_len..rows.end * row_len]);
        Ok(())
    }
}

/// The trainer's, and Hugging Face's, name of a weight of a decoder.
fn trainers_name(name: &str) -> String {
    const PARTS: [(&str, &str); 9] = [
        ("attention.norm.", "input_layernorm."),
        ("attention.query.", "self_attn.q_proj."),
        ("attention.key.", "self_attn.k_proj."),
        ("attention.value.", "self_attn.v_proj."),
        ("attention.output.", "self_attn.o_proj."),
        ("feed_forward.norm.", "post_attention_layernorm."),
        ("feed_forward.gate.", "mlp.gate_proj."),
        ("feed_forward.up.", "mlp.up_proj."),
        ("feed_forward.down.", "mlp.down_proj."),
    ];
    match name {
        "embedding.weight" => "model.embed_tokens.weight".to_owned(),
        "final_norm.weight" => "model.norm.weight".to_owned(),
        "head.weight" => "lm_head.weight".to_owned(),
        _ => {
            let part = PARTS.iter().find(|(ours, _)| name.contains(ours));
            let (ours, theirs) = part.expect("every weight of such a decoder has a name");
            format!("model.{}", name.replace(ours, theirs))
        }
    }
}
