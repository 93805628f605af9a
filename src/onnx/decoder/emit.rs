//! A graph under construction, with helpers for weights, products and constants.

use super::encode::{Encoded, Encoding, Float, INT8_BLOCK, n_int8_blocks};
use super::options::{Dialect, GraphOptions, WeightFormat};
use super::spec::DecoderSpec;
use super::weights::{Weight, weights_of};
use crate::onnx::build::{Attribute, Edge, ModelBuilder, TensorData};
use crate::onnx::types::DType;
use std::collections::BTreeMap;

/// ONNX Runtime's own operators.
pub(super) const MICROSOFT: &str = "com.microsoft";

/// A graph under construction.
pub(super) struct Emitter<'a> {
    pub(super) spec: &'a DecoderSpec,
    pub(super) options: GraphOptions,
    pub(super) model: ModelBuilder,
    /// By initializer.
    pub(super) encoded: BTreeMap<String, Encoded>,
    weights: BTreeMap<String, Weight>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(spec: &'a DecoderSpec, options: GraphOptions) -> Self {
        let by_name = |weight: Weight| (weight.name.clone(), weight);
        let mut model = ModelBuilder::new("decoder");
        if options.dialect == Dialect::Fused {
            model.opset(MICROSOFT, 1);
        }
        Self {
            spec,
            options,
            model,
            encoded: BTreeMap::new(),
            weights: weights_of(spec).into_iter().map(by_name).collect(),
        }
    }

    pub(super) fn is_fused(&self) -> bool {
        self.options.dialect == Dialect::Fused
    }

    /// A vector, f32.
    pub(super) fn vector(&mut self, name: &str) -> Edge {
        self.stored(name, name, Encoding::AsIs(Float::F32))
    }

    /// 1 + a vector, f32.
    pub(super) fn vector_plus_one(&mut self, name: &str) -> Edge {
        self.stored(name, name, Encoding::PlusOne)
    }

    /// A matrix in its stored layout, in the format of the weights, except that 8 bits are only for products.
    pub(super) fn table(&mut self, name: &str) -> Edge {
        self.stored(name, name, Encoding::AsIs(self.float()))
    }

    /// `edge` widened to f32 if it is narrower.
    pub(super) fn widened(&mut self, edge: &Edge) -> Edge {
        match self.float() {
            Float::F32 => edge.clone(),
            Float::F16 | Float::Bf16 => self.model.cast(edge, DType::F32),
        }
    }

    /// x times a weight `[out, in]`, plus its bias.
    pub(super) fn linear(&mut self, x: &Edge, name: &str, has_bias: bool) -> Edge {
        let weight = format!("{name}.weight");
        let product = match self.options.weights {
            WeightFormat::Int8 => self.int8_product(x, &weight),
            _ => {
                let weight = self.stored(&weight, &weight, Encoding::Transposed(self.float()));
                let weight = self.widened(&weight);
                self.model.matmul(x, &weight)
            }
        };
        match has_bias {
            true => self.add_vector(&product, &format!("{name}.bias")),
            false => product,
        }
    }

    /// x plus a vector.
    pub(super) fn add_vector(&mut self, x: &Edge, name: &str) -> Edge {
        let vector = self.vector(name);
        self.model.add(x, &vector)
    }

    /// x times a weight `[out, in]` in blocks of 8 bits. Inputs are also rounded to 8 bits, block by block.
    pub(super) fn int8_product(&mut self, x: &Edge, weight: &str) -> Edge {
        let shape = self.weights[weight].shape.clone();
        let values = self.stored(&format!("{weight}.int8"), weight, Encoding::Int8);
        let scales = self.stored(&format!("{weight}.scales"), weight, Encoding::Int8Scales);
        let attributes = [
            Attribute::int("K", shape[1] as i64),
            Attribute::int("N", shape[0] as i64),
            Attribute::int("bits", 8),
            Attribute::int("block_size", INT8_BLOCK as i64),
            Attribute::int("accuracy_level", 4),
        ];
        let inputs = [x, &values, &scales];
        let node = self
            .model
            .node_with_outputs(MICROSOFT, "MatMulNBits", &inputs, &attributes, 1);
        node[0].clone()
    }

    /// x times a number; x itself if that is 1.
    pub(super) fn scaled(&mut self, x: &Edge, by: f64) -> Edge {
        if by == 1.0 {
            return x.clone();
        }
        let by = self.model.scalar_f32(by as f32);
        self.model.mul(x, &by)
    }

    /// cap * tanh(x / cap), if there is a cap.
    pub(super) fn capped(&mut self, x: &Edge, cap: Option<f64>) -> Edge {
        let Some(cap) = cap else {
            return x.clone();
        };
        let cap = self.model.scalar_f32(cap as f32);
        let x = self.model.div(x, &cap);
        let x = self.model.node("Tanh", &[&x], &[]);
        self.model.mul(&x, &cap)
    }

    fn float(&self) -> Float {
        match self.options.weights {
            WeightFormat::F32 | WeightFormat::Int8 => Float::F32,
            WeightFormat::F16 => Float::F16,
            WeightFormat::Bf16 => Float::Bf16,
        }
    }

    /// An initializer whose bytes come from a weight when the model is written.
    fn stored(&mut self, initializer: &str, weight: &str, encoding: Encoding) -> Edge {
        if self.encoded.contains_key(initializer) {
            return Edge::named(initializer);
        }
        let weight = self.weights[weight].clone();
        let (dims, dtype) = dims_of(&weight, encoding);
        let encoded = Encoded { weight, encoding };
        self.encoded.insert(initializer.to_owned(), encoded);
        let data = TensorData::Later(dtype);
        self.model.initializer(initializer, &dims, data)
    }
}

fn dims_of(weight: &Weight, encoding: Encoding) -> (Vec<u64>, DType) {
    let shape: Vec<u64> = weight.shape.iter().map(|&dim| dim as u64).collect();
    let n_blocks = n_int8_blocks(weight.row_len()) as u64;
    match encoding {
        Encoding::AsIs(float) => (shape, dtype_of(float)),
        Encoding::PlusOne => (shape, DType::F32),
        Encoding::Transposed(float) => (shape.into_iter().rev().collect(), dtype_of(float)),
        Encoding::Int8 => (vec![shape[0], n_blocks, INT8_BLOCK as u64], DType::U8),
        Encoding::Int8Scales => (vec![shape[0] * n_blocks], DType::F32),
    }
}

fn dtype_of(float: Float) -> DType {
    match float {
        Float::F32 => DType::F32,
        Float::F16 => DType::F16,
        Float::Bf16 => DType::Bf16,
    }
}
