//! Attention, from plain operators or as one fused operator.

use super::emit::{Emitter, MICROSOFT};
use super::rotary::Rotation;
use super::spec::{Attention, NormExtent, QueryKeyNorm, RotaryPairing};
use super::weights::in_layer;
use crate::onnx::build::{Attribute, Edge};
use crate::onnx::types::DType;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// Added to scores of masked positions, whose probability is then 0.
const MASKED: f32 = -1e30;

/// `GroupQueryAttention` needs a head width that is a multiple of this.
const FUSED_HEAD_STEP: usize = 8;

/// `GroupQueryAttention` rotates a multiple of this many values per head.
const FUSED_ROTARY_STEP: usize = 16;

/// Edges that the attentions of all layers share.
pub(super) struct Shared {
    /// By table; only tables that some layer uses.
    rotations: BTreeMap<usize, Rotation>,
    /// By window, `[T, T]`: 0 where a key is seen, [`MASKED`] elsewhere. Only for plain operators.
    masks: BTreeMap<Option<usize>, Edge>,
    /// Only for `GroupQueryAttention`.
    lengths: Option<Lengths>,
}

/// Inputs of `GroupQueryAttention` that depend on the call.
struct Lengths {
    /// T - 1 of each row, i32 `[B]`.
    last_b: Edge,
    /// T, i32 scalar.
    total: Edge,
    /// f32 `[B, H_kv, 0, head_dim]` by the number of heads and their width.
    empty_past: BTreeMap<(usize, usize), Edge>,
    /// By window, f32 `[1, 1, T, T]`: 0 or [`MASKED`]. Used since `local_window_size` counts one more key in
    /// older versions.
    windows: BTreeMap<usize, Edge>,
}

impl Emitter<'_> {
    /// Builds what the attentions of all layers share. `positions_t`: 0 to T - 1.
    pub(super) fn shared(&mut self, ids: &Edge, n_tokens: &Edge, positions_t: &Edge) -> Shared {
        let layers = self.spec.layers.iter();
        let tables: Vec<usize> = layers.filter_map(|layer| layer.attention.rotary).collect();
        let mut shared = Shared {
            rotations: BTreeMap::new(),
            masks: BTreeMap::new(),
            lengths: None,
        };
        for idx in tables {
            if let Entry::Vacant(place) = shared.rotations.entry(idx) {
                place.insert(self.rotation(idx, n_tokens, positions_t));
            }
        }
        let mut layers = self.spec.layers.iter();
        if layers.any(|layer| !self.is_one_operator(&layer.attention)) {
            shared.masks = self.masks(n_tokens);
        }
        let mut layers = self.spec.layers.iter();
        if layers.any(|layer| self.is_one_operator(&layer.attention)) {
            shared.lengths = Some(self.lengths(ids, n_tokens));
        }
        shared
    }

    /// Whether this attention uses `GroupQueryAttention`.
    fn is_one_operator(&self, attention: &Attention) -> bool {
        self.is_fused() && attention.head_dim.is_multiple_of(FUSED_HEAD_STEP)
    }

    fn masks(&mut self, n_tokens: &Edge) -> BTreeMap<Option<usize>, Edge> {
        let causal = self.model.causal_mask(n_tokens, MASKED);
        let mut masks = BTreeMap::from([(None, causal.clone())]);
        for layer in &self.spec.layers {
            let window = layer.attention.window;
            if let (Some(n), false) = (window, masks.contains_key(&window)) {
                let far = self.model.mask_before(n_tokens, n as i64, MASKED);
                masks.insert(window, self.model.add(&causal, &far));
            }
        }
        masks
    }

    fn lengths(&mut self, ids: &Edge, n_tokens: &Edge) -> Lengths {
        let total = self.model.cast(n_tokens, DType::I32);
        let one = self.model.scalar_i64(1);
        let last = self.model.sub(n_tokens, &one);
        let last = self.model.cast(&last, DType::I32);
        let shape = self.model.node("Shape", &[ids], &[]);
        let n_rows = self.model.slice(&shape, 0, 0, 1);
        let mut lengths = Lengths {
            last_b: self.model.node("Expand", &[&last, &n_rows], &[]),
            total,
            empty_past: BTreeMap::new(),
            windows: BTreeMap::new(),
        };
        for layer in &self.spec.layers {
            let attention = &layer.attention;
            if let Some(window) = attention.window {
                lengths.windows.entry(window).or_insert_with(|| {
                    let far = self.model.mask_before(n_tokens, window as i64, MASKED);
                    self.model.unsqueeze(&far, &[0, 1])
                });
            }
            let heads = (attention.n_kv_heads, attention.head_dim);
            if let Entry::Vacant(place) = lengths.empty_past.entry(heads) {
                let rest = [heads.0 as i64, 0, heads.1 as i64];
                let rest = self.model.constant_i64(&rest);
                let shape = self.model.concat(&[&n_rows, &rest], 0);
                let zero = [Attribute::f32_tensor("value", 0.0)];
                place.insert(self.model.node("ConstantOfShape", &[&shape], &zero));
            }
        }
        lengths
    }

    /// From the normed stream `[B, T, D]` to the attention's output `[B, T, D]`.
    pub(super) fn attention(&mut self, layer: usize, normed: &Edge, shared: &Shared) -> Edge {
        let attention = self.spec.layers[layer].attention.clone();
        let lengths = shared.lengths.as_ref();
        let mixed = match lengths.filter(|_| self.is_one_operator(&attention)) {
            Some(lengths) => self.fused_mix(layer, &attention, normed, shared, lengths),
            None => self.plain_mix(layer, &attention, normed, shared),
        };
        let output = in_layer(layer, "attention.output");
        self.linear(&mixed, &output, attention.biases.output)
    }

    /// The mixed values `[B, T, H * head_dim]`, from plain operators.
    fn plain_mix(
        &mut self,
        layer: usize,
        attention: &Attention,
        normed: &Edge,
        shared: &Shared,
    ) -> Edge {
        let [q, k, v] = [Part::Query, Part::Key, Part::Value].map(|part| {
            let by_head = self.heads(layer, attention, part, normed);
            self.model.transpose(&by_head, &[0, 2, 1, 3])
        });
        let [q, k] = [q, k].map(|x| self.rotated(&x, attention, shared));
        let (k, v) = (
            self.repeat_heads(&k, attention),
            self.repeat_heads(&v, attention),
        );
        let k = self.model.transpose(&k, &[0, 1, 3, 2]);
        let scores = self.model.matmul(&q, &k);
        let scores = self.scaled(&scores, attention.scale);
        let scores = self.capped(&scores, attention.soft_cap);
        let scores = self.model.add(&scores, &shared.masks[&attention.window]);
        let weights = self.model.softmax(&scores);
        let mixed = self.model.matmul(&weights, &v);
        let mixed = self.model.transpose(&mixed, &[0, 2, 1, 3]);
        self.model
            .reshape(&mixed, &[0, 0, attention.q_width() as i64])
    }

    /// As [`Self::plain_mix`], by `GroupQueryAttention`; rotations that it cannot do are done before it.
    fn fused_mix(
        &mut self,
        layer: usize,
        attention: &Attention,
        normed: &Edge,
        shared: &Shared,
        lengths: &Lengths,
    ) -> Edge {
        let inside = rotation_of(attention, shared).filter(|rotation| can_rotate(rotation));
        let [q, k, v] = [Part::Query, Part::Key, Part::Value].map(|part| {
            let is_rotated = inside.is_none() && part != Part::Value;
            self.flat_heads(layer, attention, part, normed, is_rotated.then_some(shared))
        });
        let past = &lengths.empty_past[&(attention.n_kv_heads, attention.head_dim)];
        let none = Edge::named("");
        let (cos, sin) = inside.map_or((&none, &none), |rotation| (&rotation.cos, &rotation.sin));
        let mut inputs = vec![&q, &k, &v, past, past, &lengths.last_b, &lengths.total];
        if let Some(window) = attention.window {
            // No position ids: they count from 0, since the cache is empty.
            inputs.extend([cos, sin, &none, &lengths.windows[&window]]);
        } else if inside.is_some() {
            inputs.extend([cos, sin]);
        }
        let settings = fused_settings(attention, inside);
        let outputs =
            self.model
                .node_with_outputs(MICROSOFT, "GroupQueryAttention", &inputs, &settings, 3);
        outputs[0].clone()
    }

    /// `[B, T, heads * head_dim]`, normed, and rotated if `shared` is given.
    fn flat_heads(
        &mut self,
        layer: usize,
        attention: &Attention,
        part: Part,
        normed: &Edge,
        shared: Option<&Shared>,
    ) -> Edge {
        let rotation = shared.filter(|shared| rotation_of(attention, shared).is_some());
        let is_normed = part != Part::Value && attention.query_key_norm.is_some_and(by_head);
        if rotation.is_none() && !is_normed {
            return self.projected(layer, attention, part, normed);
        }
        let mut x = self.heads(layer, attention, part, normed);
        if let Some(shared) = rotation {
            x = self.model.transpose(&x, &[0, 2, 1, 3]);
            x = self.rotated(&x, attention, shared);
            x = self.model.transpose(&x, &[0, 2, 1, 3]);
        }
        let width = part.n_heads(attention) * attention.head_dim;
        self.model.reshape(&x, &[0, 0, width as i64])
    }

    /// `[B, T, heads, head_dim]`, normed.
    fn heads(&mut self, layer: usize, attention: &Attention, part: Part, normed: &Edge) -> Edge {
        let flat = self.projected(layer, attention, part, normed);
        let n_heads = part.n_heads(attention) as i64;
        let dims = [0, 0, n_heads, attention.head_dim as i64];
        let x = self.model.reshape(&flat, &dims);
        match attention.query_key_norm.filter(|&norm| by_head(norm)) {
            Some(norm) if part != Part::Value => {
                let name = in_layer(layer, &format!("attention.{}_norm", part.word()));
                self.norm(&x, &name, norm.norm)
            }
            _ => x,
        }
    }

    /// `[B, T, heads * head_dim]`, normed if the norm is over all heads.
    fn projected(&mut self, layer: usize, attention: &Attention, part: Part, x: &Edge) -> Edge {
        let name = in_layer(layer, &format!("attention.{}", part.word()));
        let x = self.linear(x, &name, part.has_bias(attention));
        match attention.query_key_norm {
            Some(norm) if part != Part::Value && !by_head(norm) => {
                self.norm(&x, &format!("{name}_norm"), norm.norm)
            }
            _ => x,
        }
    }

    fn rotated(&mut self, x: &Edge, attention: &Attention, shared: &Shared) -> Edge {
        match rotation_of(attention, shared) {
            Some(rotation) => self.rotate(x, attention.head_dim, rotation),
            None => x.clone(),
        }
    }

    /// `[B, H_kv, T, head_dim]` to `[B, H, T, head_dim]`: each head repeated for the queries that share it.
    fn repeat_heads(&mut self, x: &Edge, attention: &Attention) -> Edge {
        let (n_heads, n_kv_heads) = (attention.n_heads as i64, attention.n_kv_heads as i64);
        if n_heads == n_kv_heads {
            return x.clone();
        }
        let x = self.model.unsqueeze(x, &[2]);
        let shape = self.model.constant_i64(&[1, 1, n_heads / n_kv_heads, 1, 1]);
        let x = self.model.node("Expand", &[&x, &shape], &[]);
        let dims = [0, n_heads, -1, attention.head_dim as i64];
        self.model.reshape(&x, &dims)
    }
}

/// One of the three projections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Query,
    Key,
    Value,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Key => "key",
            Self::Value => "value",
        }
    }

    fn n_heads(self, attention: &Attention) -> usize {
        match self {
            Self::Query => attention.n_heads,
            Self::Key | Self::Value => attention.n_kv_heads,
        }
    }

    fn has_bias(self, attention: &Attention) -> bool {
        match self {
            Self::Query => attention.biases.query,
            Self::Key => attention.biases.key,
            Self::Value => attention.biases.value,
        }
    }
}

fn by_head(norm: QueryKeyNorm) -> bool {
    norm.extent == NormExtent::Head
}

fn rotation_of<'a>(attention: &Attention, shared: &'a Shared) -> Option<&'a Rotation> {
    attention.rotary.map(|idx| &shared.rotations[&idx])
}

/// Whether `GroupQueryAttention` can do this rotation.
fn can_rotate(rotation: &Rotation) -> bool {
    rotation.n_rotated.is_multiple_of(FUSED_ROTARY_STEP)
}

fn fused_settings(attention: &Attention, inside: Option<&Rotation>) -> Vec<Attribute> {
    let mut settings = vec![
        Attribute::int("num_heads", attention.n_heads as i64),
        Attribute::int("kv_num_heads", attention.n_kv_heads as i64),
        Attribute::float("scale", attention.scale as f32),
    ];
    if let Some(rotation) = inside {
        let is_interleaved = rotation.pairing == RotaryPairing::Interleaved;
        settings.push(Attribute::int("do_rotary", 1));
        settings.push(Attribute::int(
            "rotary_interleaved",
            i64::from(is_interleaved),
        ));
    }
    if let Some(cap) = attention.soft_cap {
        settings.push(Attribute::float("softcap", cap as f32));
    }
    settings
}
