//! Blocks: attention and feed-forward between their norms.

use super::attention::Shared;
use super::emit::Emitter;
use super::norm::Stream;
use super::spec::{Activation, DecoderLayer, NormPlacement, Residual};
use super::weights::in_layer;
use crate::onnx::build::Edge;
use std::f32::consts::SQRT_2;

impl Emitter<'_> {
    pub(super) fn layer(&mut self, idx: usize, stream: &mut Stream, shared: &Shared) {
        let layer = self.spec.layers[idx].clone();
        if layer.residual == Residual::Parallel {
            return self.parallel_layer(idx, &layer, stream, shared);
        }
        let normed = self.input_of(idx, "attention", &layer, stream);
        let mixed = self.attention(idx, &normed, shared);
        let mixed = self.output_of(idx, "attention", &layer, &mixed);
        self.add_to(stream, mixed);
        let normed = self.input_of(idx, "feed_forward", &layer, stream);
        let narrow = self.feed_forward(idx, &layer, &normed);
        let narrow = self.output_of(idx, "feed_forward", &layer, &narrow);
        self.add_to(stream, narrow);
    }

    fn parallel_layer(
        &mut self,
        idx: usize,
        layer: &DecoderLayer,
        stream: &mut Stream,
        shared: &Shared,
    ) {
        let [for_attention, for_feed_forward] =
            ["attention", "feed_forward"].map(|half| self.input_of(idx, half, layer, stream));
        let mixed = self.attention(idx, &for_attention, shared);
        let narrow = self.feed_forward(idx, layer, &for_feed_forward);
        let both = self.model.add(&mixed, &narrow);
        let both = self.scaled(&both, layer.residual_multiplier);
        self.add_to(stream, both);
    }

    /// Input of one half of the layer: the stream, normed if norms come first.
    fn input_of(
        &mut self,
        idx: usize,
        half: &str,
        layer: &DecoderLayer,
        stream: &mut Stream,
    ) -> Edge {
        match layer.placement {
            NormPlacement::Post => self.settle(stream),
            NormPlacement::Pre | NormPlacement::PreAndPost => {
                let name = in_layer(idx, &format!("{half}.norm"));
                self.norm_of(stream, &name, layer.norm)
            }
        }
    }

    /// What one half of the layer adds to the stream.
    fn output_of(&mut self, idx: usize, half: &str, layer: &DecoderLayer, x: &Edge) -> Edge {
        let x = match layer.placement {
            NormPlacement::Pre => x.clone(),
            NormPlacement::Post | NormPlacement::PreAndPost => {
                let name = in_layer(idx, &format!("{half}.post_norm"));
                self.norm(x, &name, layer.norm)
            }
        };
        self.scaled(&x, layer.residual_multiplier)
    }

    fn feed_forward(&mut self, idx: usize, layer: &DecoderLayer, normed: &Edge) -> Edge {
        let name = |part: &str| in_layer(idx, &format!("feed_forward.{part}"));
        let block = layer.feed_forward;
        let inner = match block.is_gated {
            true => {
                let gate = self.linear(normed, &name("gate"), block.has_inner_bias);
                let up = self.linear(normed, &name("up"), block.has_inner_bias);
                let gate = self.activated(&gate, block.activation);
                self.model.mul(&gate, &up)
            }
            false => {
                let up = self.linear(normed, &name("up"), block.has_inner_bias);
                self.activated(&up, block.activation)
            }
        };
        self.linear(&inner, &name("down"), block.has_output_bias)
    }

    fn activated(&mut self, x: &Edge, activation: Activation) -> Edge {
        match activation {
            Activation::Silu => {
                let sigmoid = self.model.node("Sigmoid", &[x], &[]);
                self.model.mul(x, &sigmoid)
            }
            Activation::Gelu => self.gelu(x),
            Activation::GeluTanh => self.gelu_tanh(x),
            Activation::Relu => self.model.node("Relu", &[x], &[]),
            Activation::ReluSquared => {
                let x = self.model.node("Relu", &[x], &[]);
                self.model.mul(&x, &x)
            }
        }
    }

    /// x * (1 + erf(x / sqrt 2)) / 2, in the form that ONNX Runtime fuses into one kernel.
    fn gelu(&mut self, x: &Edge) -> Edge {
        let root_two = self.model.scalar_f32(SQRT_2);
        let (one, half) = (self.model.scalar_f32(1.0), self.model.scalar_f32(0.5));
        let scaled = self.model.div(x, &root_two);
        let erf = self.model.node("Erf", &[&scaled], &[]);
        let erf = self.model.add(&erf, &one);
        let product = self.model.mul(x, &erf);
        self.model.mul(&product, &half)
    }

    /// x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))).
    fn gelu_tanh(&mut self, x: &Edge) -> Edge {
        let three = self.model.scalar_f32(3.0);
        let cube = self.model.node("Pow", &[x, &three], &[]);
        let cube = self.scaled(&cube, 0.044_715);
        let sum = self.model.add(x, &cube);
        let sum = self.scaled(&sum, (2.0 / std::f64::consts::PI).sqrt());
        let tanh = self.model.node("Tanh", &[&sum], &[]);
        let one = self.model.scalar_f32(1.0);
        let tanh = self.model.add(&tanh, &one);
        let half = self.scaled(x, 0.5);
        self.model.mul(&half, &tanh)
    }
}
