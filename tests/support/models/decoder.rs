//! A decoder-only transformer of the GPT-2 family with random weights.

use saltworks::onnx::OnnxError;
use saltworks::onnx::decoder::{
    Activation, Attention, AttentionBiases, DecoderLayer, DecoderModel, DecoderSpec as Description,
    Dialect, FeedForward, GraphOptions, Head, Norm, NormKind, NormPlacement, Residual, Weight,
    WeightFormat, Weights, WriteError, decoder_model, weights_of,
};
use std::convert::Infallible;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::Path;

/// Dimensions of a generated decoder. The default has about 50M parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoderSpec {
    /// V.
    pub vocab_size: u64,
    /// D.
    pub width: u64,
    /// Transformer blocks.
    pub n_layers: u64,
    /// H; divides the width.
    pub n_heads: u64,
    /// Longest T (rows of the position table).
    pub max_seq_len: u64,
    /// Of the weights.
    pub seed: u64,
    /// Weights in `<file name>.data` next to the model rather than inside it.
    pub external_data: bool,
}

impl Default for DecoderSpec {
    fn default() -> Self {
        Self {
            vocab_size: 50_257,
            width: 384,
            n_layers: 6,
            n_heads: 6,
            max_seq_len: 2048,
            seed: 1,
            external_data: false,
        }
    }
}

/// Writes a decoder with random weights: `input_ids` int64 `[B, T]` to `logits` f32 `[B, T, V]`, causal, B and
/// T dynamic. Returns its number of parameters.
///
/// # Panics
/// If the heads do not divide the width.
pub fn decoder(spec: &DecoderSpec, path: &Path) -> Result<u64, OnnxError> {
    assert_eq!(spec.width % spec.n_heads, 0, "n_heads must divide width");
    let description = description(spec);
    let options = GraphOptions {
        dialect: Dialect::Standard,
        weights: WeightFormat::F32,
    };
    let model = decoder_model(&description, options).expect("such a spec makes a decoder");
    write(&model, spec, path).map_err(|source| OnnxError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })?;
    let n_values = |weight: &Weight| weight.shape.iter().product::<usize>() as u64;
    Ok(weights_of(&description).iter().map(n_values).sum())
}

fn write(model: &DecoderModel, spec: &DecoderSpec, path: &Path) -> std::io::Result<()> {
    let weights = Random { seed: spec.seed };
    let create = |path: &Path| File::create(path).map(BufWriter::new);
    let mut out = create(path)?;
    if spec.external_data {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let data_name = format!("{name}.data");
        let mut data = create(&path.with_file_name(&data_name))?;
        model.write_data_to(&weights, &mut data).map_err(io)?;
        data.flush()?;
        model.write_external_to(&weights, &data_name, &mut out)
    } else {
        model.write_to(&weights, &mut out)
    }
    .map_err(io)?;
    out.flush()
}

fn io(error: WriteError<Infallible>) -> std::io::Error {
    match error {
        WriteError::Io(error) => error,
        WriteError::Weights(never) => match never {},
        WriteError::TooLarge { .. } => unreachable!("f32 holds every f32"),
    }
}

fn description(spec: &DecoderSpec) -> Description {
    let [vocab_size, d_model, n_heads, max_positions, n_layers] = [
        spec.vocab_size,
        spec.width,
        spec.n_heads,
        spec.max_seq_len,
        spec.n_layers,
    ]
    .map(|n| n as usize);
    let norm = Norm {
        kind: NormKind::Layer { has_bias: true },
        eps: 1e-5,
    };
    let layer = DecoderLayer {
        attention: attention(n_heads, d_model / n_heads),
        feed_forward: FeedForward {
            d_ff: 4 * d_model,
            is_gated: false,
            activation: Activation::Gelu,
            has_inner_bias: true,
            has_output_bias: true,
        },
        norm,
        placement: NormPlacement::Pre,
        residual: Residual::Serial,
        residual_multiplier: 1.0,
    };
    Description {
        vocab_size,
        d_model,
        max_positions,
        embedding_multiplier: 1.0,
        has_learned_positions: true,
        rotary: Vec::new(),
        layers: vec![layer; n_layers],
        final_norm: norm,
        head: Head {
            n_logits: vocab_size,
            is_tied: false,
            has_bias: false,
            logits_divisor: 1.0,
            soft_cap: None,
        },
    }
}

fn attention(n_heads: usize, head_dim: usize) -> Attention {
    Attention {
        n_heads,
        n_kv_heads: n_heads,
        head_dim,
        biases: AttentionBiases {
            query: true,
            key: true,
            value: true,
            output: true,
        },
        query_key_norm: None,
        window: None,
        scale: (head_dim as f64).powf(-0.5),
        soft_cap: None,
        rotary: None,
    }
}

/// Of the head's rows: after the final norm it gives logits of standard deviation 2.5, so that the
/// distributions are neither flat nor certain.
const LOGITS_STD: f32 = 2.5;

/// Uniform weights of mean 0: a pure function of seed, name and place. Norms are 1, biases 0.
struct Random {
    seed: u64,
}

impl Weights for Random {
    type Error = Infallible;

    fn read_rows(
        &self,
        weight: &Weight,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), Infallible> {
        let places = rows.start * weight.row_len()..rows.end * weight.row_len();
        if weight.shape.len() == 1 {
            let value = f32::from(u8::from(weight.name.ends_with(".weight")));
            values.extend(std::iter::repeat_n(value, places.len()));
            return Ok(());
        }
        let name = weight.name.bytes().fold(self.seed, |hash, byte| {
            mixed(hash.wrapping_add(u64::from(byte)))
        });
        // A uniform distribution on (-w, w) has the standard deviation w / sqrt 3.
        let width = std_dev(weight) * 3.0_f32.sqrt();
        values.extend(places.map(|idx| {
            let bits = mixed(name.wrapping_add(idx as u64));
            width * ((bits >> 40) as f32 / (1 << 23) as f32 - 1.0)
        }));
        Ok(())
    }
}

fn std_dev(weight: &Weight) -> f32 {
    let by_inputs = 1.0 / (weight.row_len() as f32).sqrt();
    match weight.name.as_str() {
        "embedding.weight" => 1.0,
        "positions.weight" => 0.5,
        "head.weight" => LOGITS_STD * by_inputs,
        _ => by_inputs,
    }
}

fn mixed(z: u64) -> u64 {
    let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
