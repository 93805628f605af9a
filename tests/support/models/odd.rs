//! One attention with what decoders rarely have: scores biased by distance, products of 16 and 8 bits.

use saltworks::onnx::build::{Edge, ModelBuilder, TensorData};
use saltworks::onnx::{DType, Dim};

/// What is odd about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Odd {
    /// Attention biased by distance (ALiBi, arXiv 2108.12409) in place of positions.
    Alibi,
    /// Products in float16, the logits too.
    F16,
    /// Products in int8 by the range of the whole input, as dynamic quantisation does.
    DynamicInt8,
}

/// D.
const WIDTH: u64 = 32;
/// Of ALiBi.
const SLOPE: f32 = 0.25;
/// Large enough to leave nothing after the softmax, small enough for any float.
const MASKED: f32 = -30_000.0;

/// `input_ids` int64 `[B, T]` to `logits` `[B, T, V]`, causal, of any length.
pub fn odd(kind: Odd, vocab_size: u64) -> ModelBuilder {
    let mut graph = Graph {
        kind,
        model: ModelBuilder::new("odd"),
    };
    let dims_bt = [Dim::symbol("batch"), Dim::symbol("sequence")];
    let ids = graph.model.input("input_ids", DType::I64, &dims_bt);
    let embedding = graph.weight("embedding", [vocab_size, WIDTH], 1.0);
    let hidden = graph.model.gather(&embedding, &ids, 0);
    let mixed = graph.attention(&ids, &hidden);
    let hidden = graph.model.add(&hidden, &mixed);
    let logits = graph.linear("head", &hidden, vocab_size, 2.5);
    let (logits, dtype) = match kind {
        Odd::F16 => (graph.model.cast(&logits, DType::F16), DType::F16),
        _ => (logits, DType::F32),
    };
    let [b, t] = dims_bt;
    let dims = [b, t, Dim::Fixed(vocab_size)];
    graph.model.output("logits", &logits, dtype, &dims);
    graph.model
}

struct Graph {
    kind: Odd,
    model: ModelBuilder,
}

impl Graph {
    fn weight(&mut self, name: &str, dims: [u64; 2], std_dev: f32) -> Edge {
        let seed = self.model.n_initializers() as u64;
        let data = TensorData::Normal { seed, std_dev };
        self.model.initializer(name, &dims, data)
    }

    fn attention(&mut self, ids: &Edge, hidden: &Edge) -> Edge {
        let [q, k, v] = ["q", "k", "v"].map(|name| self.linear(name, hidden, WIDTH, 1.0));
        let k = self.model.transpose(&k, &[0, 2, 1]);
        let scores = self.model.matmul(&q, &k);
        let scale = self.model.scalar_f32(1.0 / (WIDTH as f32).sqrt());
        let scores = self.model.mul(&scores, &scale);
        let n_tokens = self.model.dim_size(ids, 1);
        let mut mask = self.model.causal_mask(&n_tokens, MASKED);
        if self.kind == Odd::Alibi {
            // By the key's position: what a query's would add is the same for all of its keys.
            let positions = self.model.positions(&n_tokens);
            let positions = self.model.cast(&positions, DType::F32);
            let slope = self.model.scalar_f32(SLOPE);
            let bias = self.model.mul(&positions, &slope);
            mask = self.model.add(&mask, &bias);
        }
        let scores = self.model.add(&scores, &mask);
        let weights = self.model.softmax(&scores);
        self.model.matmul(&weights, &v)
    }

    /// `[B, T, D]` to `[B, T, n_out]`, f32 in and out.
    fn linear(&mut self, name: &str, input: &Edge, n_out: u64, size: f32) -> Edge {
        let std_dev = size / (WIDTH as f32).sqrt();
        let weight = self.weight(name, [WIDTH, n_out], std_dev);
        match self.kind {
            Odd::Alibi => self.model.matmul(input, &weight),
            Odd::F16 => {
                let [input, weight] = [input, &weight].map(|x| self.model.cast(x, DType::F16));
                let product = self.model.matmul(&input, &weight);
                self.model.cast(&product, DType::F32)
            }
            Odd::DynamicInt8 => self.int8_product(input, &weight),
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
}
