//! Short names for the operators that the project's own models use (opset 13 to 20 forms).

use super::graph::{Attribute, Edge, ModelBuilder};
use super::tensor::TensorData;
use crate::onnx::types::DType;

impl ModelBuilder {
    /// A constant vector of i64, shape `[values.len()]`.
    pub fn constant_i64(&mut self, values: &[i64]) -> Edge {
        let name = self.fresh_name("const_i64");
        self.initializer(&name, &[values.len() as u64], TensorData::i64(values))
    }

    /// A constant i64 scalar, shape `[]`.
    pub fn scalar_i64(&mut self, value: i64) -> Edge {
        let name = self.fresh_name("scalar_i64");
        self.initializer(&name, &[], TensorData::i64(&[value]))
    }

    /// A constant f32 scalar, shape `[]`.
    pub fn scalar_f32(&mut self, value: f32) -> Edge {
        let name = self.fresh_name("scalar_f32");
        self.initializer(&name, &[], TensorData::f32(&[value]))
    }

    /// `[T, T]` for a scalar `n_tokens`: 0 at and below the diagonal, `masked` above.
    pub fn causal_mask(&mut self, n_tokens: &Edge, masked: f32) -> Edge {
        let full = self.full_square(n_tokens, masked);
        let one = self.scalar_i64(1);
        self.node("Trilu", &[&full, &one], &[Attribute::int("upper", 1)])
    }

    /// `[T, T]` for a scalar `n_tokens`: `masked` at position i and key j where i - j >= `window`, else 0.
    pub fn mask_before(&mut self, n_tokens: &Edge, window: i64, masked: f32) -> Edge {
        let full = self.full_square(n_tokens, masked);
        let diagonal = self.scalar_i64(-window);
        let lower = [Attribute::int("upper", 0)];
        self.node("Trilu", &[&full, &diagonal], &lower)
    }

    fn full_square(&mut self, n_tokens: &Edge, value: f32) -> Edge {
        let length = self.unsqueeze(n_tokens, &[0]);
        let shape = self.concat(&[&length, &length], 0);
        let value = Attribute::f32_tensor("value", value);
        self.node("ConstantOfShape", &[&shape], &[value])
    }

    /// `[T]` for a scalar `n_tokens`: 0 to T - 1.
    pub fn positions(&mut self, n_tokens: &Edge) -> Edge {
        let (zero, one) = (self.scalar_i64(0), self.scalar_i64(1));
        self.node("Range", &[&zero, n_tokens, &one], &[])
    }

    /// `a + b`, broadcast.
    pub fn add(&mut self, a: &Edge, b: &Edge) -> Edge {
        self.node("Add", &[a, b], &[])
    }

    /// `a - b`, broadcast.
    pub fn sub(&mut self, a: &Edge, b: &Edge) -> Edge {
        self.node("Sub", &[a, b], &[])
    }

    /// `a * b`, broadcast.
    pub fn mul(&mut self, a: &Edge, b: &Edge) -> Edge {
        self.node("Mul", &[a, b], &[])
    }

    /// `a / b`, broadcast; integer division truncates towards zero.
    pub fn div(&mut self, a: &Edge, b: &Edge) -> Edge {
        self.node("Div", &[a, b], &[])
    }

    /// Matrix product over the last two dimensions.
    pub fn matmul(&mut self, a: &Edge, b: &Edge) -> Edge {
        self.node("MatMul", &[a, b], &[])
    }

    /// Slices of `data` along `axis` at `indices`: a table of `[R, D]` at `[B, T]` gives `[B, T, D]`.
    pub fn gather(&mut self, data: &Edge, indices: &Edge, axis: i64) -> Edge {
        self.node("Gather", &[data, indices], &[Attribute::int("axis", axis)])
    }

    /// `parts` joined along `axis`.
    pub fn concat(&mut self, parts: &[&Edge], axis: i64) -> Edge {
        self.node("Concat", parts, &[Attribute::int("axis", axis)])
    }

    /// `data[start..end]` along `axis`; negative bounds count from the end, and `i64::MAX` means the end.
    pub fn slice(&mut self, data: &Edge, axis: i64, start: i64, end: i64) -> Edge {
        let bounds = [start, end, axis].map(|value| self.constant_i64(&[value]));
        self.node("Slice", &[data, &bounds[0], &bounds[1], &bounds[2]], &[])
    }

    /// `data` padded with `value` (a scalar of its dtype); `pads` lists all starts, then all ends.
    pub fn pad(&mut self, data: &Edge, pads: &[i64], value: &Edge) -> Edge {
        let pads = self.constant_i64(pads);
        self.node("Pad", &[data, &pads, value], &[])
    }

    /// Ids `[B, T]` shifted right by `n`: position t gets the id at t - n, the first n get `fill`. An n-gram
    /// model sees the previous token with `n` = 1, and so on.
    pub fn shift_right(&mut self, ids_bt: &Edge, n: i64, fill: i64) -> Edge {
        let fill = self.scalar_i64(fill);
        let padded = self.pad(ids_bt, &[0, n, 0, 0], &fill);
        self.slice(&padded, 1, 0, -n)
    }

    /// New dimensions of size 1 at `axes` of the result.
    pub fn unsqueeze(&mut self, data: &Edge, axes: &[i64]) -> Edge {
        let axes = self.constant_i64(axes);
        self.node("Unsqueeze", &[data, &axes], &[])
    }

    /// The same elements in another shape; 0 keeps a dimension, -1 infers it.
    pub fn reshape(&mut self, data: &Edge, dims: &[i64]) -> Edge {
        let dims = self.constant_i64(dims);
        self.node("Reshape", &[data, &dims], &[])
    }

    /// `data` with permuted dimensions.
    pub fn transpose(&mut self, data: &Edge, permutation: &[i64]) -> Edge {
        self.node(
            "Transpose",
            &[data],
            &[Attribute::ints("perm", permutation)],
        )
    }

    /// `data` converted to `dtype`.
    pub fn cast(&mut self, data: &Edge, dtype: DType) -> Edge {
        self.node(
            "Cast",
            &[data],
            &[Attribute::int("to", i64::from(dtype.code()))],
        )
    }

    /// Softmax over the last dimension.
    pub fn softmax(&mut self, data: &Edge) -> Edge {
        self.node("Softmax", &[data], &[Attribute::int("axis", -1)])
    }

    /// Size of dimension `axis`, an i64 scalar.
    pub fn dim_size(&mut self, data: &Edge, axis: i64) -> Edge {
        let shape = self.node("Shape", &[data], &[]);
        let axis = self.scalar_i64(axis);
        self.gather(&shape, &axis, 0)
    }
}
