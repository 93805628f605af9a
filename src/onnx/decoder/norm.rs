//! Norms, and the residual stream that they read.

use super::emit::{Emitter, MICROSOFT};
use super::spec::{Norm, NormKind};
use crate::onnx::build::{Attribute, Edge};

/// The residual stream, with an addition that may be pending.
pub(super) struct Stream {
    value: Edge,
    pending: Option<Edge>,
}

impl Stream {
    pub(super) fn new(value: Edge) -> Self {
        Self {
            value,
            pending: None,
        }
    }
}

impl Emitter<'_> {
    /// Adds to the stream, but only when it is next read, since one operator may do the addition and a norm.
    pub(super) fn add_to(&mut self, stream: &mut Stream, what: Edge) {
        self.settle(stream);
        stream.pending = Some(what);
    }

    /// The stream after any pending addition.
    pub(super) fn settle(&mut self, stream: &mut Stream) -> Edge {
        if let Some(pending) = stream.pending.take() {
            stream.value = self.model.add(&stream.value, &pending);
        }
        stream.value.clone()
    }

    /// A norm of the stream.
    pub(super) fn norm_of(&mut self, stream: &mut Stream, name: &str, norm: Norm) -> Edge {
        let is_rms = !matches!(norm.kind, NormKind::Layer { .. });
        match stream.pending.take() {
            Some(pending) if is_rms && self.is_fused() => {
                let (sum, normed) = self.skip_norm(&stream.value, &pending, name, norm);
                stream.value = sum;
                normed
            }
            pending => {
                stream.pending = pending;
                let value = self.settle(stream);
                self.norm(&value, name, norm)
            }
        }
    }

    /// A norm over the last dimension.
    pub(super) fn norm(&mut self, x: &Edge, name: &str, norm: Norm) -> Edge {
        match norm.kind {
            NormKind::Layer { has_bias } => self.layer_norm(x, name, norm.eps, has_bias),
            NormKind::Rms | NormKind::RmsPlusOne if self.is_fused() => {
                let scale = self.rms_scale(name, norm);
                let settings = [
                    Attribute::int("axis", -1),
                    Attribute::float("epsilon", norm.eps as f32),
                    Attribute::int("stash_type", 1),
                ];
                let inputs = [x, &scale];
                self.model
                    .node("SimplifiedLayerNormalization", &inputs, &settings)
            }
            NormKind::Rms | NormKind::RmsPlusOne => self.plain_rms_norm(x, name, norm),
        }
    }

    /// x / sqrt(mean(x^2) + eps) * scale, in the form that ONNX Runtime fuses into one kernel.
    fn plain_rms_norm(&mut self, x: &Edge, name: &str, norm: Norm) -> Edge {
        let two = self.model.scalar_f32(2.0);
        let squares = self.model.node("Pow", &[x, &two], &[]);
        let last = [
            Attribute::ints("axes", &[-1]),
            Attribute::int("keepdims", 1),
        ];
        let mean = self.model.node("ReduceMean", &[&squares], &last);
        let eps = self.model.scalar_f32(norm.eps as f32);
        let mean = self.model.add(&mean, &eps);
        let root = self.model.node("Sqrt", &[&mean], &[]);
        let normed = self.model.div(x, &root);
        let scale = self.rms_scale(name, norm);
        self.model.mul(&normed, &scale)
    }

    fn layer_norm(&mut self, x: &Edge, name: &str, eps: f64, has_bias: bool) -> Edge {
        let mut inputs = vec![x.clone(), self.vector(&format!("{name}.weight"))];
        if has_bias {
            inputs.push(self.vector(&format!("{name}.bias")));
        }
        let settings = [
            Attribute::int("axis", -1),
            Attribute::float("epsilon", eps as f32),
        ];
        let inputs: Vec<&Edge> = inputs.iter().collect();
        self.model.node("LayerNormalization", &inputs, &settings)
    }

    /// The sum of `x` and `skip`, and its norm.
    fn skip_norm(&mut self, x: &Edge, skip: &Edge, name: &str, norm: Norm) -> (Edge, Edge) {
        let scale = self.rms_scale(name, norm);
        let settings = [Attribute::float("epsilon", norm.eps as f32)];
        let inputs = [x, skip, &scale];
        let op = "SkipSimplifiedLayerNormalization";
        let kept = [true, false, false, true];
        let mut outputs = self
            .model
            .node_keeping(MICROSOFT, op, &inputs, &settings, &kept);
        let sum = outputs.swap_remove(3);
        (sum, outputs.swap_remove(0))
    }

    fn rms_scale(&mut self, name: &str, norm: Norm) -> Edge {
        let name = format!("{name}.weight");
        match norm.kind {
            NormKind::RmsPlusOne => self.vector_plus_one(&name),
            NormKind::Rms | NormKind::Layer { .. } => self.vector(&name),
        }
    }
}
