//! Dimensions of a model.

use crate::error::{Classified, Kind};
use crate::pretrained::{Llama3Scaling, RopeParameters, RopeScaling, plain_frequencies};

/// Larger than any dimension of a model that fits into memory; sizes computed from dimensions up to this do not
/// overflow a u128.
const MAX_DIMENSION: usize = 1 << 24;

/// Impossible dimensions of a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}, got {got}; {remedy}")]
pub struct SpecError {
    /// Which dimension or option, such as `model.n_heads`.
    pub what: &'static str,
    /// What it may be.
    pub expected: String,
    /// What it is.
    pub got: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Classified for SpecError {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

/// A decoder of the Llama family: RMSNorm, RoPE (half-split, as in Hugging Face), causal grouped-query
/// attention, SwiGLU, no biases.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSpec {
    /// V.
    pub vocab_size: usize,
    /// D.
    pub d_model: usize,
    /// Transformer blocks.
    pub n_layers: usize,
    /// H, query heads.
    pub n_heads: usize,
    /// Key and value heads; divides H.
    pub n_kv_heads: usize,
    /// Width of a head; even. H * head_dim may differ from D.
    pub head_dim: usize,
    /// F, width inside the feed-forward block.
    pub d_ff: usize,
    /// Longest sequence that the model supports.
    pub max_seq_len: usize,
    /// Base of the rotary angles.
    pub rope_theta: f64,
    /// How they are scaled, as in Llama 3.1 and later.
    pub rope_scaling: Option<Llama3Scaling>,
    /// Epsilon of RMSNorm.
    pub norm_eps: f64,
    /// Whether the head is the embedding.
    pub tie_embeddings: bool,
}

impl ModelSpec {
    /// Its integer dimensions, by key.
    pub fn dims(&self) -> [(&'static str, usize); 8] {
        [
            ("model.vocab_size", self.vocab_size),
            ("model.d_model", self.d_model),
            ("model.n_layers", self.n_layers),
            ("model.n_heads", self.n_heads),
            ("model.n_kv_heads", self.n_kv_heads),
            ("model.head_dim", self.head_dim),
            ("model.d_ff", self.d_ff),
            ("model.max_seq_len", self.max_seq_len),
        ]
    }

    /// Refuses impossible dimensions.
    ///
    /// # Errors
    /// [`SpecError`], naming the first.
    pub fn validate(&self) -> Result<(), SpecError> {
        for (what, value) in self.dims() {
            require(value > 0, what, "at least 1", value, "give a larger one")?;
            let expected = format!("at most {MAX_DIMENSION}");
            let is_sane = value <= MAX_DIMENSION;
            require(is_sane, what, &expected, value, "give a smaller one")?;
        }
        require(
            self.n_heads.is_multiple_of(self.n_kv_heads),
            "model.n_kv_heads",
            &format!("a divisor of the {} query heads", self.n_heads),
            self.n_kv_heads,
            "choose one that divides them",
        )?;
        require(
            self.head_dim.is_multiple_of(2),
            "model.head_dim",
            "an even width (RoPE rotates pairs)",
            self.head_dim,
            "choose an even one",
        )?;
        require(
            self.rope_theta.is_finite() && self.rope_theta > 0.0,
            "model.rope_theta",
            "a positive number",
            self.rope_theta,
            "10000 is usual",
        )?;
        require(
            self.norm_eps.is_finite() && self.norm_eps > 0.0,
            "model.norm_eps",
            "a positive number",
            self.norm_eps,
            "1e-5 is usual",
        )
    }

    /// Width of a token's queries: H * head_dim.
    pub fn q_width(&self) -> usize {
        self.n_heads * self.head_dim
    }

    /// Width of a token's keys, and of its values.
    pub fn kv_width(&self) -> usize {
        self.n_kv_heads * self.head_dim
    }

    /// Width of a token's queries, keys and values together.
    pub fn qkv_width(&self) -> usize {
        self.q_width() + 2 * self.kv_width()
    }

    /// The rotation of queries and keys, over whole heads.
    pub fn rope(&self) -> RopeParameters {
        RopeParameters {
            theta: self.rope_theta,
            partial: 1.0,
            scaling: match self.rope_scaling {
                None => RopeScaling::Default,
                Some(scaling) => RopeScaling::Llama3(scaling),
            },
        }
    }

    /// Rotation of each pair of a head, radians per position: `[head_dim / 2]`.
    pub fn inv_freq(&self) -> Vec<f64> {
        let plain = plain_frequencies(self.rope_theta, self.head_dim).into_iter();
        match self.rope_scaling {
            None => plain.collect(),
            Some(scaling) => plain.map(|freq| scaling.apply(freq)).collect(),
        }
    }

    /// Number of parameters; a tied head counts once. Saturates.
    pub fn n_parameters(&self) -> usize {
        let wide = |n: usize| n as u128;
        let (d, f) = (wide(self.d_model), wide(self.d_ff));
        let attention = d * (wide(self.qkv_width()) + wide(self.q_width()));
        let block = attention + 3 * d * f + 2 * d;
        let tables = if self.tie_embeddings { 1 } else { 2 };
        let all = wide(self.n_layers) * block + tables * wide(self.vocab_size) * d + d;
        usize::try_from(all).unwrap_or(usize::MAX)
    }

    /// Floating point operations of one token's forward and backward pass at sequence length `seq_len`: 6 per
    /// weight of every matrix product, and 12 * L * H * head_dim * T for attention (the convention of PaLM,
    /// appendix B, which also counts the masked half).
    pub fn flops_per_token(&self, seq_len: usize) -> f64 {
        let layer = self.d_model * (self.qkv_width() + self.q_width() + 3 * self.d_ff);
        let weights = self.n_layers * layer + self.d_model * self.vocab_size;
        let attention = 12 * self.n_layers * self.q_width() * seq_len;
        6.0 * weights as f64 + attention as f64
    }
}

fn require(
    holds: bool,
    what: &'static str,
    expected: &str,
    got: impl std::fmt::Display,
    remedy: &'static str,
) -> Result<(), SpecError> {
    if holds {
        return Ok(());
    }
    Err(SpecError {
        what,
        expected: expected.to_owned(),
        got: got.to_string(),
        remedy,
    })
}
