//! Rotary positions: cos and sin for the positions of a call, and the rotation.

use super::emit::Emitter;
use super::spec::{Frequencies, RotaryPairing, RotaryTable};
use super::tables::{CosSin, cos_sin};
use crate::onnx::build::{Attribute, Edge, TensorData};
use crate::onnx::types::DType;

/// cos and sin for the positions of a call.
#[derive(Clone)]
pub(super) struct Rotation {
    /// `[T, n_rotated / 2]`.
    pub(super) cos: Edge,
    /// `[T, n_rotated / 2]`.
    pub(super) sin: Edge,
    pub(super) n_rotated: usize,
    pub(super) pairing: RotaryPairing,
}

impl Emitter<'_> {
    /// The rotation by table `idx` for T positions from 0. More than the decoder supports are an error when the
    /// graph runs.
    pub(super) fn rotation(&mut self, idx: usize, n_tokens: &Edge, positions_t: &Edge) -> Rotation {
        let table = self.spec.rotary[idx].clone();
        let (cos, sin) = match cos_sin(&table, self.spec.max_positions) {
            Some(values) => self.gathered(idx, &table, values, n_tokens, positions_t),
            None => self.computed(idx, &table, n_tokens, positions_t),
        };
        Rotation {
            cos,
            sin,
            n_rotated: table.n_rotated,
            pairing: table.pairing,
        }
    }

    fn gathered(
        &mut self,
        idx: usize,
        table: &RotaryTable,
        values: CosSin,
        n_tokens: &Edge,
        positions_t: &Edge,
    ) -> (Edge, Edge) {
        let dims = [values.n_rows as u64, (table.n_rotated / 2) as u64];
        let mut initializer = |wave: &str, values: &[f32]| {
            let name = format!("rotary.{idx}.{wave}");
            self.model
                .initializer(&name, &dims, TensorData::f32(values))
        };
        let (cos, sin) = (
            initializer("cos", &values.cos),
            initializer("sin", &values.sin),
        );
        let rows = match &table.frequencies {
            Frequencies::ByLength { n_short, .. } if *n_short < self.spec.max_positions => {
                self.rows_by_length(*n_short, n_tokens, positions_t)
            }
            _ => positions_t.clone(),
        };
        (
            self.model.gather(&cos, &rows, 0),
            self.model.gather(&sin, &rows, 0),
        )
    }

    /// Positions, plus `n_short` if T is larger than that: rows of the long set follow those of the short one.
    fn rows_by_length(&mut self, n_short: usize, n_tokens: &Edge, positions_t: &Edge) -> Edge {
        let n_short = self.model.scalar_i64(n_short as i64);
        let is_long = self.model.node("Greater", &[n_tokens, &n_short], &[]);
        let is_long = self.model.cast(&is_long, DType::I64);
        let offset = self.model.mul(&is_long, &n_short);
        self.model.add(positions_t, &offset)
    }

    /// Angles with frequencies that depend on the length, in f64 until the last step.
    fn computed(
        &mut self,
        idx: usize,
        table: &RotaryTable,
        n_tokens: &Edge,
        positions_t: &Edge,
    ) -> (Edge, Edge) {
        let inv_freq = self.dynamic_frequencies(idx, table, n_tokens);
        // From a table, so that a sequence longer than the decoder supports is an error.
        let n_positions = self.spec.max_positions;
        let positions: Vec<f64> = (0..n_positions).map(|at| at as f64).collect();
        let positions = self.f64_table(&format!("rotary.{idx}.positions"), &positions);
        let positions = self.model.gather(&positions, positions_t, 0);
        let positions = self.model.unsqueeze(&positions, &[1]);
        let angles = self.model.mul(&positions, &inv_freq);
        // Reduced modulo one turn first: few runtimes have cos and sin for f64, and f32 loses precision over
        // many turns.
        let turn = self.f64_table(&format!("rotary.{idx}.turn"), &[std::f64::consts::TAU]);
        let fmod = [Attribute::int("fmod", 1)];
        let angles = self.model.node("Mod", &[&angles, &turn], &fmod);
        let angles = self.model.cast(&angles, DType::F32);
        (
            self.model.node("Cos", &[&angles], &[]),
            self.model.node("Sin", &[&angles], &[]),
        )
    }

    /// `[n_rotated / 2]`, f64: (theta * (factor * max(T, L) / L - (factor - 1))^(R / (R - 2)))^(-2i / R).
    fn dynamic_frequencies(&mut self, idx: usize, table: &RotaryTable, n_tokens: &Edge) -> Edge {
        let Frequencies::Dynamic {
            theta,
            factor,
            n_original,
        } = table.frequencies
        else {
            unreachable!("every other kind has a table");
        };
        let n_rotated = table.n_rotated as f64;
        let name = |part: &str| format!("rotary.{idx}.{part}");
        let n_original_edge = self.model.scalar_i64(n_original as i64);
        let length = self.model.node("Max", &[n_tokens, &n_original_edge], &[]);
        let length = self.model.cast(&length, DType::F64);
        let slope = self.f64_table(&name("slope"), &[factor / n_original as f64]);
        let less = self.f64_table(&name("less"), &[factor - 1.0]);
        let power = self.f64_table(&name("power"), &[n_rotated / (n_rotated - 2.0)]);
        let theta = self.f64_table(&name("theta"), &[theta]);
        let growth = self.model.mul(&length, &slope);
        let growth = self.model.sub(&growth, &less);
        let growth = self.model.node("Pow", &[&growth, &power], &[]);
        let base = self.model.mul(&theta, &growth);
        let exponent = |pair: usize| -((2 * pair) as f64) / n_rotated;
        let exponents: Vec<f64> = (0..table.n_rotated / 2).map(exponent).collect();
        let exponents = self.f64_table(&name("exponents"), &exponents);
        self.model.node("Pow", &[&base, &exponents], &[])
    }

    fn f64_table(&mut self, name: &str, values: &[f64]) -> Edge {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        let data = TensorData::Bytes(DType::F64, bytes.collect());
        self.model.initializer(name, &[values.len() as u64], data)
    }

    /// `[B, H, T, head_dim]` with the first `n_rotated` values of each head rotated.
    pub(super) fn rotate(&mut self, x: &Edge, head_dim: usize, rotation: &Rotation) -> Edge {
        if rotation.n_rotated == head_dim {
            return self.rotate_all(x, rotation);
        }
        let n_rotated = rotation.n_rotated as i64;
        let rotated = self.model.slice(x, 3, 0, n_rotated);
        let rest = self.model.slice(x, 3, n_rotated, i64::MAX);
        let rotated = self.rotate_all(&rotated, rotation);
        self.model.concat(&[&rotated, &rest], -1)
    }

    /// (x1, x2) to (x1 cos - x2 sin, x2 cos + x1 sin) for every pair.
    fn rotate_all(&mut self, x: &Edge, rotation: &Rotation) -> Edge {
        let axis = [Attribute::int("axis", -1)];
        let half = (rotation.n_rotated / 2) as i64;
        if rotation.pairing == RotaryPairing::Halves {
            let halves = self.model.node_with_outputs("", "Split", &[x], &axis, 2);
            let (first, second) = self.rotated_halves(&halves[0], &halves[1], rotation);
            return self.model.concat(&[&first, &second], -1);
        }
        let pairs = self.model.reshape(x, &[0, 0, -1, half, 2]);
        let pairs = self
            .model
            .node_with_outputs("", "Split", &[&pairs], &axis, 2);
        let mut flat = |x: &Edge| self.model.reshape(x, &[0, 0, -1, half]);
        let (x1, x2) = (flat(&pairs[0]), flat(&pairs[1]));
        let (first, second) = self.rotated_halves(&x1, &x2, rotation);
        let mut column = |x: &Edge| self.model.unsqueeze(x, &[4]);
        let (first, second) = (column(&first), column(&second));
        let pairs = self.model.concat(&[&first, &second], -1);
        self.model.reshape(&pairs, &[0, 0, -1, 2 * half])
    }

    fn rotated_halves(&mut self, x1: &Edge, x2: &Edge, rotation: &Rotation) -> (Edge, Edge) {
        let (a, b) = (
            self.model.mul(x1, &rotation.cos),
            self.model.mul(x2, &rotation.sin),
        );
        let (c, d) = (
            self.model.mul(x2, &rotation.cos),
            self.model.mul(x1, &rotation.sin),
        );
        (self.model.sub(&a, &b), self.model.add(&c, &d))
    }
}
