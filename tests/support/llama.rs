//! A slow forward pass of the Llama family in f64, written from Hugging Face's `modeling_llama.py`
//! and sharing no code with the library's: the second opinion on exports and on the trainer's core.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part of it"
)]

use saltworks::pretrained::Llama3Scaling;
use saltworks::train::model::{ModelSpec, Params};

/// Logits `[T, V]` of one sequence, flat.
pub fn logits(params: &Params, ids: &[u32]) -> Vec<f64> {
    let spec = &params.spec;
    let embedding = params.tensor("model.embed_tokens.weight").unwrap();
    let rows = embedding.chunks_exact(spec.d_model);
    let rows: Vec<&[f32]> = rows.collect();
    let mut hidden: Vec<Vec<f64>> = ids
        .iter()
        .map(|&id| rows[id as usize].iter().copied().map(f64::from).collect())
        .collect();
    for layer in 0..spec.n_layers {
        let block = Block { params, layer };
        block.attention(&mut hidden);
        block.feed_forward(&mut hidden);
    }
    let norm = params.tensor("model.norm.weight").unwrap();
    let head = params.tensor("lm_head.weight").unwrap_or(embedding);
    hidden
        .iter()
        .flat_map(|x| product(head, &rms_norm(x, norm, spec.norm_eps)))
        .collect()
}

/// log q_y of each target `ids[t + 1]`, nats.
pub fn target_logprobs(params: &Params, ids: &[u32]) -> Vec<f64> {
    let logits = logits(params, &ids[..ids.len() - 1]);
    let rows = logits.chunks_exact(params.spec.vocab_size);
    std::iter::zip(rows, &ids[1..])
        .map(|(row, &target)| row[target as usize] - logsumexp(row))
        .collect()
}

fn logsumexp(row: &[f64]) -> f64 {
    let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + row.iter().map(|z| (z - max).exp()).sum::<f64>().ln()
}

struct Block<'a> {
    params: &'a Params,
    layer: usize,
}

impl Block<'_> {
    fn weight(&self, name: &str) -> &[f32] {
        let name = format!("model.layers.{}.{name}.weight", self.layer);
        self.params.tensor(&name).unwrap()
    }

    fn normed(&self, name: &str, hidden: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let (scale, eps) = (self.weight(name), self.params.spec.norm_eps);
        hidden.iter().map(|x| rms_norm(x, scale, eps)).collect()
    }

    fn attention(&self, hidden: &mut [Vec<f64>]) {
        let spec = &self.params.spec;
        let normed = self.normed("input_layernorm", hidden);
        let project = |name: &str| -> Vec<Vec<f64>> {
            let weight = self.weight(name);
            normed.iter().map(|x| product(weight, x)).collect()
        };
        let (mut q, mut k) = (project("self_attn.q_proj"), project("self_attn.k_proj"));
        let v = project("self_attn.v_proj");
        for t in 0..hidden.len() {
            rotate(spec, &mut q[t], t);
            rotate(spec, &mut k[t], t);
        }
        let output = self.weight("self_attn.o_proj");
        for t in 0..hidden.len() {
            let mixed: Vec<f64> = (0..spec.n_heads)
                .flat_map(|head| mix(spec, &q[t], &k[..=t], &v[..=t], head))
                .collect();
            add(&mut hidden[t], &product(output, &mixed));
        }
    }

    fn feed_forward(&self, hidden: &mut [Vec<f64>]) {
        let normed = self.normed("post_attention_layernorm", hidden);
        let [gate, up, down] =
            ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"].map(|name| self.weight(name));
        for (out, x) in std::iter::zip(hidden, &normed) {
            let silu = |z: &f64| z / (1.0 + (-z).exp());
            let gated = product(gate, x);
            let wide: Vec<f64> = std::iter::zip(&gated, product(up, x))
                .map(|(g, u)| silu(g) * u)
                .collect();
            add(out, &product(down, &wide));
        }
    }
}

/// One head's mixture of the values up to its position.
fn mix(spec: &ModelSpec, q: &[f64], k: &[Vec<f64>], v: &[Vec<f64>], head: usize) -> Vec<f64> {
    let width = spec.head_dim;
    let kv_head = head / (spec.n_heads / spec.n_kv_heads);
    let of = |x: &[f64], head: usize| x[head * width..(head + 1) * width].to_vec();
    let q = of(q, head);
    let scores: Vec<f64> = k
        .iter()
        .map(|k| dot(&q, &of(k, kv_head)) / (width as f64).sqrt())
        .collect();
    let norm = logsumexp(&scores);
    let mut mixed = vec![0.0; width];
    for (score, v) in std::iter::zip(&scores, v) {
        let weight = (score - norm).exp();
        for (out, v) in std::iter::zip(&mut mixed, of(v, kv_head)) {
            *out += weight * v;
        }
    }
    mixed
}

/// x * cos + rotate_half(x) * sin, with cos and sin of each angle in both halves.
fn rotate(spec: &ModelSpec, x: &mut [f64], position: usize) {
    let width = spec.head_dim;
    for head in x.chunks_exact_mut(width) {
        let before = head.to_vec();
        for i in 0..width {
            let pair = i % (width / 2);
            let frequency = 1.0 / spec.rope_theta.powf((2 * pair) as f64 / width as f64);
            let frequency = scaled(spec, frequency);
            let angle = position as f64 * frequency;
            let half_turned = if i < width / 2 {
                -before[i + width / 2]
            } else {
                before[i - width / 2]
            };
            head[i] = before[i] * angle.cos() + half_turned * angle.sin();
        }
    }
}

/// `_compute_llama3_parameters` of `modeling_rope_utils.py`.
fn scaled(spec: &ModelSpec, frequency: f64) -> f64 {
    let Some(scaling) = spec.rope_scaling else {
        return frequency;
    };
    let n_turns = frequency * scaling.n_original as f64 / std::f64::consts::TAU;
    if n_turns > scaling.high_freq_factor {
        frequency
    } else if n_turns < scaling.low_freq_factor {
        frequency / scaling.factor
    } else {
        let span = scaling.high_freq_factor - scaling.low_freq_factor;
        let share = (n_turns - scaling.low_freq_factor) / span;
        frequency * (share + (1.0 - share) / scaling.factor)
    }
}

fn rms_norm(x: &[f64], scale: &[f32], eps: f64) -> Vec<f64> {
    let mean_square = dot(x, x) / x.len() as f64;
    let root = (mean_square + eps).sqrt();
    std::iter::zip(x, scale)
        .map(|(x, &scale)| x / root * f64::from(scale))
        .collect()
}

/// A weight `[out, in]` times x.
fn product(weight: &[f32], x: &[f64]) -> Vec<f64> {
    weight
        .chunks_exact(x.len())
        .map(|row| std::iter::zip(row, x).map(|(&w, x)| f64::from(w) * x).sum())
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    std::iter::zip(a, b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], what: &[f64]) {
    for (to, what) in std::iter::zip(to, what) {
        *to += what;
    }
}

/// A small model of grouped queries.
pub fn spec() -> ModelSpec {
    ModelSpec {
        vocab_size: 50,
        d_model: 24,
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 6,
        d_ff: 40,
        max_seq_len: 64,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tie_embeddings: false,
    }
}

/// The shapes that take different ways through the graph.
pub fn specs() -> Vec<(&'static str, ModelSpec)> {
    let tied = |tie_embeddings| ModelSpec {
        tie_embeddings,
        ..spec()
    };
    vec![
        ("grouped queries, untied", tied(false)),
        ("grouped queries, tied", tied(true)),
        (
            "a head for each query",
            ModelSpec {
                n_kv_heads: 4,
                ..tied(true)
            },
        ),
        (
            "one key for all queries",
            ModelSpec {
                n_kv_heads: 1,
                ..tied(false)
            },
        ),
        (
            "heads wider than the model",
            ModelSpec {
                head_dim: 10,
                ..tied(false)
            },
        ),
        (
            "angles scaled as those of Llama 3.1 are",
            ModelSpec {
                rope_scaling: Some(Llama3Scaling {
                    factor: 8.0,
                    low_freq_factor: 1.0,
                    high_freq_factor: 4.0,
                    n_original: 32,
                }),
                ..tied(false)
            },
        ),
        (
            "heads narrower than the model",
            ModelSpec {
                head_dim: 2,
                rope_theta: 77.0,
                ..tied(true)
            },
        ),
    ]
}

/// Fresh parameters are near zero, and so are their logits: these are larger, and norms differ.
pub fn params_of(spec: &ModelSpec) -> Params {
    let mut params = Params::init(spec, 11);
    let slots = params.layout.tensors.clone();
    for slot in slots {
        for (idx, value) in params.values[slot.range.clone()].iter_mut().enumerate() {
            *value = match slot.decays() {
                true => *value * 15.0,
                false => 1.0 + 0.1 * (idx as f32).sin(),
            };
        }
    }
    params
}

/// Ids below `vocab_size` from a fixed linear congruence.
pub fn ids(n: usize, vocab_size: usize, seed: u32) -> Vec<u32> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % vocab_size as u32
        })
        .collect()
}

/// A byte-level tokenizer.json without merges over printable ASCII: a character is a token. `<s>`,
/// which goes in front of a text, is 0; `</s>` is 1. 97 ids.
pub fn tokenizer_json() -> String {
    use serde_json::{Map, Value, json};
    let mut vocab = Map::new();
    vocab.insert("<s>".to_owned(), json!(0));
    vocab.insert("</s>".to_owned(), json!(1));
    for (idx, c) in ('!'..='~').chain(['Ġ']).enumerate() {
        vocab.insert(c.to_string(), json!(idx + 2));
    }
    let added: Vec<Value> = [(0, "<s>"), (1, "</s>")]
        .map(|(id, content)| {
            json!({ "id": id, "content": content, "special": true, "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false })
        })
        .into();
    let bos = json!({ "SpecialToken": { "id": "<s>", "type_id": 0 } });
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    let second = json!({ "Sequence": { "id": "B", "type_id": 1 } });
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                             "use_regex": true });
    json!({
        "version": "1.0",
        "added_tokens": added,
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [bos, text],
            "pair": [bos, text, second],
            "special_tokens": { "<s>": { "id": "<s>", "ids": [0], "tokens": ["<s>"] } },
        },
        "model": { "type": "BPE", "vocab": vocab, "merges": [] },
    })
    .to_string()
}
