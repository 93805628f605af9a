//! A decoder-only transformer as plain data: everything that its logits depend on except the weights.
//!
//! ```text
//! x = embedding[ids] * embedding_multiplier + positions[0..T]
//! serial, pre:    x = x + m * attention(norm(x));            x = x + m * feed_forward(norm(x))
//! serial, post:   x = x + m * post_norm(attention(x));       x = x + m * post_norm(feed_forward(x))
//! serial, both:   x = x + m * post_norm(attention(norm(x))); the feed-forward block alike
//! parallel:       x = x + m * (attention(norm(x)) + feed_forward(norm'(x)))
//! logits = soft_cap(head(final_norm(x)) / logits_divisor)
//! soft_cap(z) = cap * tanh(z / cap)
//! ```

/// A decoder: `input_ids` i64 `[B, T]` to logits `[B, T, V_head]`.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderSpec {
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// D, width of the residual stream.
    pub d_model: usize,
    /// Longest T, and number of rows of every table by position. A longer sequence is an error when the graph
    /// runs.
    pub max_positions: usize,
    /// Multiplier of embeddings; 1 in most families (Gemma: sqrt(D); Granite: `embedding_multiplier`).
    pub embedding_multiplier: f64,
    /// Whether a learned vector is added at each position (GPT-2): `positions.weight` `[max_positions, D]`.
    pub has_learned_positions: bool,
    /// Tables, to which layers refer by index; empty if no layer rotates.
    pub rotary: Vec<RotaryTable>,
    /// From the embedding up.
    pub layers: Vec<DecoderLayer>,
    /// The norm before the head.
    pub final_norm: Norm,
    /// From the residual stream to logits.
    pub head: Head,
}

impl DecoderSpec {
    /// The longest T with the rotations of pre-training, if rotations depend on the length
    /// ([`Frequencies::ByLength`], [`Frequencies::Dynamic`]).
    pub fn original_positions(&self) -> Option<usize> {
        let of = |table: &RotaryTable| match table.frequencies {
            Frequencies::Fixed(_) => None,
            Frequencies::ByLength { n_short, .. } => Some(n_short),
            Frequencies::Dynamic { n_original, .. } => Some(n_original),
        };
        let original = self.rotary.iter().filter_map(of).min();
        original.filter(|&original| original < self.max_positions)
    }
}

/// From the residual stream to logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// V_head: number of logits; the embedding's rows if tied.
    pub n_logits: usize,
    /// Whether its weight is the embedding (there is no `head.weight` then).
    pub is_tied: bool,
    /// Whether `head.bias` is added.
    pub has_bias: bool,
    /// Divisor of logits, before the cap; 1 in most families (Granite: `logits_scaling`).
    pub logits_divisor: f64,
    /// cap in cap * tanh(z / cap), if any (Gemma 2: 30).
    pub soft_cap: Option<f64>,
}

/// One block.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderLayer {
    /// Mixes positions.
    pub attention: Attention,
    /// Applied to each position.
    pub feed_forward: FeedForward,
    /// Kind of all its norms over D.
    pub norm: Norm,
    /// Where they are.
    pub placement: NormPlacement,
    /// Whether both halves read the same stream; only with [`NormPlacement::Pre`].
    pub residual: Residual,
    /// m: multiplier of both halves before they are added; 1 in most families (Granite: `residual_multiplier`).
    pub residual_multiplier: f64,
}

/// A norm over the last dimension.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Which one.
    pub kind: NormKind,
    /// Added to the variance or the mean square, under the root.
    pub eps: f64,
}

/// The kind of norm, and its scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// (x - mean) / sqrt(var + eps) * w + b; without b where `has_bias` is not set.
    Layer {
        /// Whether there is a b.
        has_bias: bool,
    },
    /// x / sqrt(mean(x^2) + eps) * w.
    Rms,
    /// x / sqrt(mean(x^2) + eps) * (1 + w), as in Gemma.
    RmsPlusOne,
}

/// Where the norms of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormPlacement {
    /// Before attention and the feed-forward block (most families).
    Pre,
    /// After them, before the addition (OLMo 2).
    Post,
    /// Both (Gemma 2 and 3).
    PreAndPost,
}

/// The input of the feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// The stream with attention added.
    Serial,
    /// The stream that attention also reads, through its own norm (GPT-NeoX).
    Parallel,
}

/// Causal grouped-query attention: softmax(scale * q k^T) v over the keys that a position sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// H, query heads.
    pub n_heads: usize,
    /// Heads of keys and values; divides H.
    pub n_kv_heads: usize,
    /// Width of a head; H * head_dim may differ from D.
    pub head_dim: usize,
    /// Which projections have biases.
    pub biases: AttentionBiases,
    /// A norm of queries and keys before they are rotated.
    pub query_key_norm: Option<QueryKeyNorm>,
    /// Number of keys that a position sees, including its own: position i sees key j if i - j < window. `None`:
    /// all keys up to its own.
    pub window: Option<usize>,
    /// Multiplier of scores, before the cap; usually head_dim^-0.5.
    pub scale: f64,
    /// cap in cap * tanh(score / cap), before masking (Gemma 2: 50).
    pub soft_cap: Option<f64>,
    /// Index into [`DecoderSpec::rotary`]; `None` if queries and keys are not rotated.
    pub rotary: Option<usize>,
}

/// Which projections of an attention have biases.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttentionBiases {
    /// `attention.query.bias` `[H * head_dim]`.
    pub query: bool,
    /// `attention.key.bias` `[H_kv * head_dim]`.
    pub key: bool,
    /// `attention.value.bias` `[H_kv * head_dim]`.
    pub value: bool,
    /// `attention.output.bias` `[D]`.
    pub output: bool,
}

impl AttentionBiases {
    /// All of them, or none.
    pub fn all(has_bias: bool) -> Self {
        Self {
            query: has_bias,
            key: has_bias,
            value: has_bias,
            output: has_bias,
        }
    }
}

/// A norm of queries and keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryKeyNorm {
    /// [`NormKind::Rms`] or [`NormKind::RmsPlusOne`].
    pub norm: Norm,
    /// Which values it normalizes together.
    pub extent: NormExtent,
}

/// Which values a norm of queries or keys normalizes together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormExtent {
    /// Each head separately, with one weight `[head_dim]` for all (Qwen3, Gemma 3).
    Head,
    /// All heads together, with a weight `[H * head_dim]` and `[H_kv * head_dim]` (OLMo 2).
    Projection,
}

/// down(activation(gate(x)) * up(x)) if gated, else down(activation(up(x))).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedForward {
    /// F, its inner width.
    pub d_ff: usize,
    /// Whether there is a gate.
    pub is_gated: bool,
    /// Applied to the gate, or to the inner values if there is none.
    pub activation: Activation,
    /// Whether `feed_forward.up.bias` `[F]` and, if gated, `feed_forward.gate.bias` are added.
    pub has_inner_bias: bool,
    /// Whether `feed_forward.down.bias` `[D]` is added.
    pub has_output_bias: bool,
}

/// A function of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// x * sigmoid(x).
    Silu,
    /// x / 2 * (1 + erf(x / sqrt 2)).
    Gelu,
    /// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))): `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`.
    GeluTanh,
    /// max(x, 0).
    Relu,
    /// max(x, 0)^2.
    ReluSquared,
}

/// Angles by position: cos and sin of position * inv_freq, times an attention scaling.
#[derive(Debug, Clone, PartialEq)]
pub struct RotaryTable {
    /// Number of values at the start of each head that are rotated; even, at most head_dim (GPT-NeoX: fewer).
    pub n_rotated: usize,
    /// Which values form a pair.
    pub pairing: RotaryPairing,
    /// Rotation per position of each pair.
    pub frequencies: Frequencies,
}

/// Which of the first `n_rotated` values of a head form a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotaryPairing {
    /// i and i + n_rotated / 2, as in Hugging Face.
    Halves,
    /// 2 i and 2 i + 1.
    Interleaved,
}

/// Rotation per position of all pairs.
#[derive(Debug, Clone, PartialEq)]
pub enum Frequencies {
    /// The same at every length (default, linear, llama3, yarn).
    Fixed(FrequencySet),
    /// One set up to a length, another for every position of longer sequences (longrope).
    ByLength {
        /// Longest T that uses `short`.
        n_short: usize,
        /// For T <= `n_short`.
        short: FrequencySet,
        /// For T > `n_short`.
        long: FrequencySet,
    },
    /// With L = `n_original` and R = `n_rotated`: theta^(-2i / R) for T <= L; for longer sequences theta grows
    /// to theta * (factor * T / L - (factor - 1))^(R / (R - 2)) (dynamic NTK).
    Dynamic {
        /// theta.
        theta: f64,
        /// factor.
        factor: f64,
        /// L.
        n_original: usize,
    },
}

/// Frequencies of all pairs.
#[derive(Debug, Clone, PartialEq)]
pub struct FrequencySet {
    /// `[n_rotated / 2]`, radians per position.
    pub inv_freq: Vec<f64>,
    /// Multiplier of cos and sin: 1, or the attention factor of yarn or longrope.
    pub attention_scaling: f64,
}
