//! Random decoders of every kind that a description can say, and a slow forward pass of them in f64 that
//! shares no code with the graphs.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part of it"
)]

use saltworks::onnx::decoder::{
    Activation, Attention, AttentionBiases, DecoderLayer, DecoderSpec, FeedForward, Frequencies,
    FrequencySet, Head, Norm, NormExtent, NormKind, NormPlacement, QueryKeyNorm, Residual,
    RotaryPairing, RotaryTable, Weight, Weights, weights_of,
};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;

/// Numbers from a seed.
pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    pub fn of<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())].clone()
    }

    pub fn is(&mut self) -> bool {
        self.below(2) == 1
    }

    pub fn ids(&mut self, n: usize, vocab_size: usize) -> Vec<i64> {
        (0..n).map(|_| self.below(vocab_size) as i64).collect()
    }
}

fn mixed(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Weights that are a pure function of seed, name and place.
pub struct RandomWeights {
    pub seed: u64,
}

impl RandomWeights {
    /// All values of a weight, row by row.
    pub fn values(&self, weight: &Weight) -> Vec<f32> {
        let mut values = Vec::new();
        let Ok(()) = self.read_rows(weight, 0..weight.n_rows(), &mut values);
        values
    }

    /// Between -1 and 1.
    fn unit(&self, weight: &Weight, idx: usize) -> f32 {
        let name = weight.name.bytes().fold(self.seed, |hash, byte| {
            mixed(hash.wrapping_add(u64::from(byte)))
        });
        let bits = mixed(name.wrapping_add(mixed(idx as u64)));
        (bits >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn value(&self, weight: &Weight, idx: usize) -> f32 {
        let unit = self.unit(weight, idx);
        match weight.shape.len() {
            // Uniform on 1.7: a standard deviation of 1 over the square root of the inputs.
            2 if weight.name.starts_with("embedding") => unit,
            2 => unit * 1.7 / (weight.row_len() as f32).sqrt(),
            _ if weight.name.ends_with(".bias") => 0.3 * unit,
            _ => 1.0 + 0.3 * unit,
        }
    }
}

impl Weights for RandomWeights {
    type Error = Infallible;

    fn read_rows(
        &self,
        weight: &Weight,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), Infallible> {
        let row_len = weight.row_len();
        let places = rows.start * row_len..rows.end * row_len;
        values.extend(places.map(|idx| self.value(weight, idx)));
        Ok(())
    }
}

/// A decoder of the Llama kind; others change parts of it.
pub fn plain_spec() -> DecoderSpec {
    let norm = Norm {
        kind: NormKind::Rms,
        eps: 1e-5,
    };
    let layer = DecoderLayer {
        attention: Attention {
            n_heads: 4,
            n_kv_heads: 2,
            head_dim: 16,
            biases: AttentionBiases::default(),
            query_key_norm: None,
            window: None,
            scale: 0.25,
            soft_cap: None,
            rotary: Some(0),
        },
        feed_forward: FeedForward {
            d_ff: 40,
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
        vocab_size: 61,
        d_model: 24,
        max_positions: 48,
        embedding_multiplier: 1.0,
        has_learned_positions: false,
        rotary: vec![RotaryTable {
            n_rotated: 16,
            pairing: RotaryPairing::Halves,
            frequencies: Frequencies::Fixed(set(16, 10_000.0, 1.0)),
        }],
        layers: vec![layer; 2],
        final_norm: norm,
        head: Head {
            n_logits: 61,
            is_tied: true,
            has_bias: false,
            logits_divisor: 1.0,
            soft_cap: None,
        },
    }
}

fn set(n_rotated: usize, theta: f64, attention_scaling: f64) -> FrequencySet {
    let frequency = |pair: usize| theta.powf(-((2 * pair) as f64) / n_rotated as f64);
    FrequencySet {
        inv_freq: (0..n_rotated / 2).map(frequency).collect(),
        attention_scaling,
    }
}

/// Any decoder that a description can say, small.
pub fn random_spec(draws: &mut Draws) -> DecoderSpec {
    let vocab_size = 40 + draws.below(40);
    let is_tied = draws.is();
    let head_dim = draws.of(&[8, 12, 16, 32, 48]);
    let norm = Norm {
        kind: draws.of(&[
            NormKind::Rms,
            NormKind::RmsPlusOne,
            NormKind::Layer { has_bias: true },
            NormKind::Layer { has_bias: false },
        ]),
        eps: draws.of(&[1e-6, 1e-5]),
    };
    let n_tables = 1 + draws.below(2);
    DecoderSpec {
        vocab_size,
        d_model: draws.of(&[24, 32, 40]),
        max_positions: 48,
        embedding_multiplier: draws.of(&[1.0, 6.0]),
        has_learned_positions: draws.below(4) == 0,
        rotary: (0..n_tables)
            .map(|_| random_table(draws, head_dim))
            .collect(),
        layers: random_layers(draws, head_dim, n_tables, norm),
        final_norm: norm,
        head: Head {
            n_logits: vocab_size + if is_tied { 0 } else { draws.below(5) },
            is_tied,
            has_bias: draws.below(4) == 0,
            logits_divisor: draws.of(&[1.0, 1.0, 3.0]),
            soft_cap: draws.of(&[None, None, Some(5.0)]),
        },
    }
}

fn random_table(draws: &mut Draws, head_dim: usize) -> RotaryTable {
    let n_rotated = draws.of(&[head_dim, head_dim, head_dim / 2, head_dim / 4 * 2]);
    let frequencies = match draws.below(4) {
        0 => Frequencies::ByLength {
            n_short: 12,
            short: set(n_rotated, 100.0, 1.1),
            long: set(n_rotated, 900.0, 1.3),
        },
        1 if n_rotated > 2 => Frequencies::Dynamic {
            theta: 1000.0,
            factor: 2.5,
            n_original: 12,
        },
        _ => {
            let (theta, scaling) = (draws.of(&[100.0, 1e4, 1e6]), draws.of(&[1.0, 1.2]));
            Frequencies::Fixed(set(n_rotated, theta, scaling))
        }
    };
    RotaryTable {
        n_rotated,
        pairing: draws.of(&[RotaryPairing::Halves, RotaryPairing::Interleaved]),
        frequencies,
    }
}

fn random_layers(
    draws: &mut Draws,
    head_dim: usize,
    n_tables: usize,
    norm: Norm,
) -> Vec<DecoderLayer> {
    let placement = draws.of(&[
        NormPlacement::Pre,
        NormPlacement::Pre,
        NormPlacement::Post,
        NormPlacement::PreAndPost,
    ]);
    let residual = match placement == NormPlacement::Pre && draws.below(3) == 0 {
        true => Residual::Parallel,
        false => Residual::Serial,
    };
    let residual_multiplier = draws.of(&[1.0, 1.0, 0.3]);
    let feed_forward = random_feed_forward(draws);
    let attention = random_attention(draws, head_dim);
    let layer = |draws: &mut Draws| DecoderLayer {
        attention: Attention {
            window: draws.of(&[None, Some(1), Some(3), Some(11)]),
            rotary: draws.of(&[None, Some(0), Some(n_tables - 1)]),
            ..attention.clone()
        },
        feed_forward,
        norm,
        placement,
        residual,
        residual_multiplier,
    };
    (0..1 + draws.below(3)).map(|_| layer(draws)).collect()
}

fn random_attention(draws: &mut Draws, head_dim: usize) -> Attention {
    let (n_heads, n_kv_heads) = draws.of(&[(4, 4), (4, 2), (4, 1), (3, 1), (1, 1)]);
    let kind = draws.of(&[NormKind::Rms, NormKind::RmsPlusOne]);
    let query_key_norm = QueryKeyNorm {
        norm: Norm { kind, eps: 1e-6 },
        extent: draws.of(&[NormExtent::Head, NormExtent::Projection]),
    };
    let has_qkv = draws.below(3) == 0;
    Attention {
        n_heads,
        n_kv_heads,
        head_dim,
        biases: AttentionBiases {
            query: has_qkv,
            key: has_qkv && draws.is(),
            value: has_qkv,
            output: draws.below(3) == 0,
        },
        query_key_norm: draws.is().then_some(query_key_norm),
        window: None,
        scale: draws.of(&[(head_dim as f64).powf(-0.5), 0.3]),
        soft_cap: draws.of(&[None, None, Some(2.0)]),
        rotary: None,
    }
}

fn random_feed_forward(draws: &mut Draws) -> FeedForward {
    FeedForward {
        d_ff: draws.of(&[16, 40, 64]),
        is_gated: draws.is(),
        activation: draws.of(&[
            Activation::Silu,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Relu,
            Activation::ReluSquared,
        ]),
        has_inner_bias: draws.below(3) == 0,
        has_output_bias: draws.below(3) == 0,
    }
}

/// Logits `[T, V]` of one sequence, flat, by the description's own words.
pub fn slow_logits(spec: &DecoderSpec, weights: &RandomWeights, ids: &[i64]) -> Vec<f64> {
    let named = |weight: Weight| {
        let values = weights.values(&weight).into_iter().map(f64::from).collect();
        (weight.name, values)
    };
    let weights = weights_of(spec).into_iter().map(named).collect();
    Slow { spec, weights }.logits(ids)
}

type Row = Vec<f64>;

struct Slow<'a> {
    spec: &'a DecoderSpec,
    weights: BTreeMap<String, Row>,
}

impl Slow<'_> {
    fn get(&self, name: &str) -> Option<&Row> {
        self.weights.get(name)
    }

    fn logits(&self, ids: &[i64]) -> Vec<f64> {
        let d_model = self.spec.d_model;
        let embedding = &self.weights["embedding.weight"];
        let mut hidden: Vec<Row> = ids
            .iter()
            .map(|&id| {
                let row = &embedding[id as usize * d_model..][..d_model];
                row.iter()
                    .map(|x| x * self.spec.embedding_multiplier)
                    .collect()
            })
            .collect();
        if let Some(positions) = self.get("positions.weight") {
            for (row, place) in hidden.iter_mut().zip(positions.chunks(d_model)) {
                add(row, place);
            }
        }
        for idx in 0..self.spec.layers.len() {
            self.layer(idx, &mut hidden);
        }
        let head = self.get("head.weight").unwrap_or(embedding);
        let hidden = hidden.iter();
        hidden.flat_map(|x| self.head_row(head, x)).collect()
    }

    fn head_row(&self, head: &[f64], x: &[f64]) -> Row {
        let mut logits = product(head, &self.norm("final_norm", self.spec.final_norm, x));
        if let Some(bias) = self.get("head.bias") {
            add(&mut logits, bias);
        }
        let divided = logits.iter().map(|z| z / self.spec.head.logits_divisor);
        divided
            .map(|z| capped(z, self.spec.head.soft_cap))
            .collect()
    }

    fn layer(&self, idx: usize, hidden: &mut [Row]) {
        let layer = &self.spec.layers[idx];
        if layer.residual == Residual::Parallel {
            let mixed = self.attention(idx, &self.inputs(idx, "attention", hidden));
            let narrow = self.feed_forward(idx, &self.inputs(idx, "feed_forward", hidden));
            self.add_outputs(idx, "attention", hidden, mixed);
            self.add_outputs(idx, "feed_forward", hidden, narrow);
            return;
        }
        let mixed = self.attention(idx, &self.inputs(idx, "attention", hidden));
        self.add_outputs(idx, "attention", hidden, mixed);
        let narrow = self.feed_forward(idx, &self.inputs(idx, "feed_forward", hidden));
        self.add_outputs(idx, "feed_forward", hidden, narrow);
    }

    fn inputs(&self, idx: usize, half: &str, hidden: &[Row]) -> Vec<Row> {
        let layer = &self.spec.layers[idx];
        let name = format!("layers.{idx}.{half}.norm");
        let row = |x: &Row| match layer.placement {
            NormPlacement::Post => x.clone(),
            _ => self.norm(&name, layer.norm, x),
        };
        hidden.iter().map(row).collect()
    }

    fn add_outputs(&self, idx: usize, half: &str, hidden: &mut [Row], outputs: Vec<Row>) {
        let layer = &self.spec.layers[idx];
        let name = format!("layers.{idx}.{half}.post_norm");
        for (x, output) in hidden.iter_mut().zip(outputs) {
            let output = match layer.placement {
                NormPlacement::Pre => output,
                _ => self.norm(&name, layer.norm, &output),
            };
            let scaled: Row = output
                .iter()
                .map(|y| y * layer.residual_multiplier)
                .collect();
            add(x, &scaled);
        }
    }

    fn norm(&self, name: &str, norm: Norm, x: &[f64]) -> Row {
        let weight = &self.weights[&format!("{name}.weight")];
        let bias = self.get(&format!("{name}.bias"));
        let n = x.len() as f64;
        let mean = match norm.kind {
            NormKind::Layer { .. } => x.iter().sum::<f64>() / n,
            _ => 0.0,
        };
        let plus = f64::from(u8::from(norm.kind == NormKind::RmsPlusOne));
        let square = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        let root = (square + norm.eps).sqrt();
        (0..x.len())
            .map(|i| {
                let bias = bias.map_or(0.0, |bias| bias[i]);
                (x[i] - mean) / root * (plus + weight[i]) + bias
            })
            .collect()
    }

    fn linear(&self, name: &str, x: &[f64]) -> Row {
        let mut out = product(&self.weights[&format!("{name}.weight")], x);
        if let Some(bias) = self.get(&format!("{name}.bias")) {
            add(&mut out, bias);
        }
        out
    }

    fn attention(&self, idx: usize, inputs: &[Row]) -> Vec<Row> {
        let attention = &self.spec.layers[idx].attention;
        let project = |part: &str| -> Vec<Row> {
            let name = format!("layers.{idx}.attention.{part}");
            let rows = inputs.iter().enumerate();
            let row = |(t, x): (usize, &Row)| {
                let x = self.linear(&name, x);
                match part {
                    "value" => x,
                    _ => self.placed(attention, &format!("{name}_norm"), x, t, inputs.len()),
                }
            };
            rows.map(row).collect()
        };
        let (q, k, v) = (project("query"), project("key"), project("value"));
        let output = format!("layers.{idx}.attention.output");
        let first = |t: usize| attention.window.map_or(0, |n| (t + 1).saturating_sub(n));
        (0..inputs.len())
            .map(|t| {
                let seen = first(t)..t + 1;
                let heads = 0..attention.n_heads;
                let mixed = heads.flat_map(|head| {
                    mix(attention, &q[t], &k[seen.clone()], &v[seen.clone()], head)
                });
                self.linear(&output, &mixed.collect::<Row>())
            })
            .collect()
    }

    /// Normed and rotated.
    fn placed(
        &self,
        attention: &Attention,
        norm: &str,
        x: Row,
        position: usize,
        length: usize,
    ) -> Row {
        let normed = match attention.query_key_norm {
            None => x,
            Some(kind) if kind.extent == NormExtent::Projection => self.norm(norm, kind.norm, &x),
            Some(kind) => {
                let heads = x.chunks(attention.head_dim);
                heads
                    .flat_map(|head| self.norm(norm, kind.norm, head))
                    .collect()
            }
        };
        let Some(table) = attention.rotary.map(|idx| &self.spec.rotary[idx]) else {
            return normed;
        };
        let heads = normed.chunks(attention.head_dim);
        heads
            .flat_map(|head| rotated(table, head, position, length))
            .collect()
    }

    fn feed_forward(&self, idx: usize, inputs: &[Row]) -> Vec<Row> {
        let block = self.spec.layers[idx].feed_forward;
        let name = |part: &str| format!("layers.{idx}.feed_forward.{part}");
        let active =
            |x: Row| -> Row { x.iter().map(|&x| activated(x, block.activation)).collect() };
        let row = |x: &Row| {
            let up = self.linear(&name("up"), x);
            let inner = match block.is_gated {
                false => active(up),
                true => {
                    let gate = active(self.linear(&name("gate"), x));
                    gate.iter().zip(&up).map(|(g, u)| g * u).collect()
                }
            };
            self.linear(&name("down"), &inner)
        };
        inputs.iter().map(row).collect()
    }
}

fn rotated(table: &RotaryTable, head: &[f64], position: usize, length: usize) -> Row {
    let (frequencies, scaling) = frequencies_at(table, length);
    let mut out = head.to_vec();
    for (pair, frequency) in frequencies.iter().enumerate() {
        let (i, j) = match table.pairing {
            RotaryPairing::Halves => (pair, pair + table.n_rotated / 2),
            RotaryPairing::Interleaved => (2 * pair, 2 * pair + 1),
        };
        let angle = position as f64 * frequency;
        let (cos, sin) = (angle.cos() * scaling, angle.sin() * scaling);
        out[i] = head[i] * cos - head[j] * sin;
        out[j] = head[j] * cos + head[i] * sin;
    }
    out
}

fn frequencies_at(table: &RotaryTable, length: usize) -> (Row, f64) {
    let of = |set: &FrequencySet| (set.inv_freq.clone(), set.attention_scaling);
    match &table.frequencies {
        Frequencies::Fixed(set) => of(set),
        Frequencies::ByLength { n_short, short, .. } if length <= *n_short => of(short),
        Frequencies::ByLength { long, .. } => of(long),
        Frequencies::Dynamic {
            theta,
            factor,
            n_original,
        } => {
            let n = table.n_rotated as f64;
            let ratio = length.max(*n_original) as f64 / *n_original as f64;
            let base = theta * (factor * ratio - (factor - 1.0)).powf(n / (n - 2.0));
            (set(table.n_rotated, base, 1.0).inv_freq, 1.0)
        }
    }
}

/// One head's mixture of the values that it sees.
fn mix(attention: &Attention, q: &[f64], k: &[Row], v: &[Row], head: usize) -> Row {
    let width = attention.head_dim;
    let kv_head = head / (attention.n_heads / attention.n_kv_heads);
    let q = &q[head * width..][..width];
    let score = |k: &Row| {
        let z: f64 = q
            .iter()
            .zip(&k[kv_head * width..][..width])
            .map(|(a, b)| a * b)
            .sum();
        capped(z * attention.scale, attention.soft_cap)
    };
    let scores: Row = k.iter().map(score).collect();
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|z| (z - max).exp()).sum();
    let mut mixed = vec![0.0; width];
    for (score, v) in scores.iter().zip(v) {
        let weight = (score - max).exp() / total;
        for (out, v) in mixed.iter_mut().zip(&v[kv_head * width..][..width]) {
            *out += weight * v;
        }
    }
    mixed
}

fn activated(x: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Gelu => x / 2.0 * (1.0 + erf(x / 2.0_f64.sqrt())),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            x / 2.0 * (1.0 + inner.tanh())
        }
        Activation::Relu => x.max(0.0),
        Activation::ReluSquared => x.max(0.0).powi(2),
    }
}

/// By its series up to 3, past which 1 - erf is below 3e-5 and its continued fraction converges fast.
fn erf(x: f64) -> f64 {
    if x.abs() < 3.0 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        return sum * 2.0 / std::f64::consts::PI.sqrt();
    }
    let mut fraction = 0.0;
    for n in (1..100).rev() {
        fraction = f64::from(n) / 2.0 / (x.abs() + fraction);
    }
    let rest = (-x * x).exp() / ((x.abs() + fraction) * std::f64::consts::PI.sqrt());
    x.signum() * (1.0 - rest)
}

fn capped(z: f64, cap: Option<f64>) -> f64 {
    cap.map_or(z, |cap| cap * (z / cap).tanh())
}

/// A weight `[out, in]` times x.
fn product(weight: &[f64], x: &[f64]) -> Row {
    let rows = weight.chunks(x.len());
    rows.map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum())
        .collect()
}

fn add(to: &mut [f64], what: &[f64]) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what;
    }
}
