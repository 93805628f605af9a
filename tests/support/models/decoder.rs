//! A decoder-only transformer of the GPT-2 family with random weights.

use saltworks::onnx::build::{Attribute, Edge, ModelBuilder, TensorData};
use saltworks::onnx::{DType, Dim, OnnxError};
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
    /// What matrix products with weights are computed in.
    pub products: Products,
    /// Attention biased by distance (ALiBi, arXiv 2108.12409) instead of a position table.
    pub has_alibi: bool,
}

/// What matrix products with weights are computed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Products {
    /// float32.
    #[default]
    F32,
    /// float16, the logits too.
    F16,
    /// int8 by the range of the whole input, as dynamic quantisation does.
    DynamicInt8,
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
            products: Products::F32,
            has_alibi: false,
        }
    }
}

/// Writes a decoder with random weights: `input_ids` int64 `[B, T]` to `logits` `[B, T, V]`, f32 unless
/// its products are f16, causal, B and T dynamic. Returns its number of parameters.
///
/// # Panics
/// If the heads do not divide the width.
pub fn decoder(spec: &DecoderSpec, path: &Path) -> Result<u64, OnnxError> {
    assert_eq!(spec.width % spec.n_heads, 0, "n_heads must divide width");
    let model = Decoder::new(spec).build();
    match spec.external_data {
        true => model.write_external(path)?,
        false => model.write(path)?,
    }
    Ok(model.n_parameters())
}

/// Large enough to leave nothing after the softmax, small enough for any float.
const MASKED: f32 = -30_000.0;

/// Of the head's rows: after the final norm it gives logits of standard deviation 2.5, so that the
/// distributions are neither flat nor certain.
const LOGITS_STD: f32 = 2.5;

struct Decoder<'a> {
    spec: &'a DecoderSpec,
    model: ModelBuilder,
}

impl<'a> Decoder<'a> {
    fn new(spec: &'a DecoderSpec) -> Self {
        Self {
            spec,
            model: ModelBuilder::new("decoder"),
        }
    }

    fn build(mut self) -> ModelBuilder {
        let dims_bt = [Dim::symbol("batch_size"), Dim::symbol("sequence_length")];
        let ids = self.model.input("input_ids", DType::I64, &dims_bt);
        let n_tokens = self.model.dim_size(&ids, 1);
        let mut mask_tt = self.model.causal_mask(&n_tokens, MASKED);
        if self.spec.has_alibi {
            let bias = self.alibi(&n_tokens);
            mask_tt = self.model.add(&mask_tt, &bias);
        }
        let mut hidden = self.embed(&ids, &n_tokens);
        for layer in 0..self.spec.n_layers {
            hidden = self.attention(layer, &hidden, &mask_tt);
            hidden = self.feed_forward(layer, &hidden);
        }
        let hidden = self.norm("final_norm", &hidden);
        let DecoderSpec {
            width, vocab_size, ..
        } = *self.spec;
        let std_dev = LOGITS_STD / (width as f32).sqrt();
        let head = self.weight("lm_head", &[width, vocab_size], std_dev);
        let logits = self.product(&hidden, &head);
        let (logits, dtype) = match self.spec.products {
            Products::F16 => (self.model.cast(&logits, DType::F16), DType::F16),
            _ => (logits, DType::F32),
        };
        let [b, t] = dims_bt;
        let dims = [b, t, Dim::Fixed(vocab_size)];
        self.model.output("logits", &logits, dtype, &dims);
        self.model
    }

    /// Every weight has its own seed, from the model's and its place in the list.
    fn weight(&mut self, name: &str, dims: &[u64], std_dev: f32) -> Edge {
        let place = self.model.n_initializers() as u64;
        let seed = self
            .spec
            .seed
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .wrapping_add(place);
        self.model
            .initializer(name, dims, TensorData::Normal { seed, std_dev })
    }

    fn embed(&mut self, ids: &Edge, n_tokens: &Edge) -> Edge {
        let DecoderSpec {
            vocab_size,
            width,
            max_seq_len,
            ..
        } = *self.spec;
        let tokens = self.weight("token_embedding", &[vocab_size, width], 1.0);
        if self.spec.has_alibi {
            return self.model.gather(&tokens, ids, 0);
        }
        let places = self.weight("position_embedding", &[max_seq_len, width], 0.5);
        let positions_t = self.model.positions(n_tokens);
        let tokens_btd = self.model.gather(&tokens, ids, 0);
        let places_td = self.model.gather(&places, &positions_t, 0);
        self.model.add(&tokens_btd, &places_td)
    }

    /// `[B, T, n_in]` times a weight `[n_in, n_out]`, f32 in and out.
    fn product(&mut self, input: &Edge, weight: &Edge) -> Edge {
        match self.spec.products {
            Products::F32 => self.model.matmul(input, weight),
            Products::F16 => {
                let [input, weight] = [input, weight].map(|x| self.model.cast(x, DType::F16));
                let product = self.model.matmul(&input, &weight);
                self.model.cast(&product, DType::F32)
            }
            Products::DynamicInt8 => self.int8_product(input, weight),
        }
    }

    fn int8_product(&mut self, input: &Edge, weight: &Edge) -> Edge {
        let [input, weight] = [input, weight].map(|x| {
            self.model
                .node_with_outputs("", "DynamicQuantizeLinear", &[x], &[], 3)
        });
        let product = self.model.node(
            "MatMulInteger",
            &[&input[0], &weight[0], &input[2], &weight[2]],
            &[],
        );
        let product = self.model.cast(&product, DType::F32);
        let scale = self.model.mul(&input[1], &weight[1]);
        self.model.mul(&product, &scale)
    }

    /// `[H, 1, T]`: slope of the head times the key's position; what a query's position would add
    /// is the same for all of its keys.
    fn alibi(&mut self, n_tokens: &Edge) -> Edge {
        let n_heads = self.spec.n_heads;
        let slope = |head: u64| 2_f32.powf(-8.0 * (head + 1) as f32 / n_heads as f32);
        let slopes: Vec<f32> = (0..n_heads).map(slope).collect();
        let slopes =
            self.model
                .initializer("alibi_slopes", &[n_heads, 1, 1], TensorData::f32(&slopes));
        let positions = self.model.positions(n_tokens);
        let positions = self.model.cast(&positions, DType::F32);
        self.model.mul(&slopes, &positions)
    }

    fn norm(&mut self, name: &str, hidden: &Edge) -> Edge {
        let dims = [self.spec.width];
        let scale = self
            .model
            .initializer(&format!("{name}.weight"), &dims, TensorData::Fill(1.0));
        let bias = self
            .model
            .initializer(&format!("{name}.bias"), &dims, TensorData::Fill(0.0));
        let attributes = [
            Attribute::int("axis", -1),
            Attribute::float("epsilon", 1e-5),
        ];
        self.model
            .node("LayerNormalization", &[hidden, &scale, &bias], &attributes)
    }

    fn linear(&mut self, name: &str, input: &Edge, n_in: u64, n_out: u64) -> Edge {
        let std_dev = 1.0 / (n_in as f32).sqrt();
        let weight = self.weight(&format!("{name}.weight"), &[n_in, n_out], std_dev);
        let bias = self
            .model
            .initializer(&format!("{name}.bias"), &[n_out], TensorData::Fill(0.0));
        let product = self.product(input, &weight);
        self.model.add(&product, &bias)
    }

    fn attention(&mut self, layer: u64, hidden: &Edge, mask_tt: &Edge) -> Edge {
        let (width, n_heads) = (self.spec.width, self.spec.n_heads);
        let head_dim = width / n_heads;
        let normed = self.norm(&format!("layers.{layer}.attention_norm"), hidden);
        let qkv = self.linear(&format!("layers.{layer}.qkv"), &normed, width, 3 * width);
        let axis = [Attribute::int("axis", -1)];
        let parts = self.model.node_with_outputs("", "Split", &[&qkv], &axis, 3);
        let by_head = [0, 0, n_heads as i64, head_dim as i64];
        let permutations = [[0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]];
        let qkv: Vec<Edge> = std::iter::zip(&parts, permutations)
            .map(|(part, permutation)| {
                let part = self.model.reshape(part, &by_head);
                self.model.transpose(&part, &permutation)
            })
            .collect();
        let scores = self.model.matmul(&qkv[0], &qkv[1]);
        let scale = self.model.scalar_f32(1.0 / (head_dim as f32).sqrt());
        let scores = self.model.mul(&scores, &scale);
        let scores = self.model.add(&scores, mask_tt);
        let weights = self.model.softmax(&scores);
        let mixed = self.model.matmul(&weights, &qkv[2]);
        let mixed = self.model.transpose(&mixed, &[0, 2, 1, 3]);
        let mixed = self.model.reshape(&mixed, &[0, 0, width as i64]);
        let projected = self.linear(&format!("layers.{layer}.projection"), &mixed, width, width);
        self.model.add(hidden, &projected)
    }

    fn feed_forward(&mut self, layer: u64, hidden: &Edge) -> Edge {
        let width = self.spec.width;
        let normed = self.norm(&format!("layers.{layer}.mlp_norm"), hidden);
        let wide = self.linear(&format!("layers.{layer}.up"), &normed, width, 4 * width);
        let wide = self.gelu(&wide);
        let narrow = self.linear(&format!("layers.{layer}.down"), &wide, 4 * width, width);
        self.model.add(hidden, &narrow)
    }

    /// x / 2 * (1 + erf(x / sqrt 2)), the form that ONNX Runtime fuses into one kernel.
    fn gelu(&mut self, x: &Edge) -> Edge {
        let root_two = self.model.scalar_f32(std::f32::consts::SQRT_2);
        let (one, half) = (self.model.scalar_f32(1.0), self.model.scalar_f32(0.5));
        let scaled = self.model.div(x, &root_two);
        let erf = self.model.node("Erf", &[&scaled], &[]);
        let erf = self.model.add(&erf, &one);
        let product = self.model.mul(x, &erf);
        self.model.mul(&product, &half)
    }
}
