//! Rotary position embedding (Su et al., arXiv 2104.09864) in Hugging Face's layout: component i of
//! a head is rotated with component i + head_dim / 2, by the angle position * theta^(-2i/head_dim).

use super::simd::vectorized;
use rayon::prelude::*;

/// Cosines and sines of every position: `[T, head_dim / 2]` each.
#[derive(Debug, Clone)]
pub struct RopeTable {
    half: usize,
    cos_th: Vec<f32>,
    sin_th: Vec<f32>,
}

impl RopeTable {
    /// For positions below `seq_len`; `frequencies` are radians per position, `[head_dim / 2]`.
    pub fn new(seq_len: usize, frequencies: &[f64]) -> Self {
        let half = frequencies.len();
        let angle = |t: usize, i: usize| t as f64 * frequencies[i];
        let table = |f: fn(f64) -> f64| {
            (0..seq_len)
                .flat_map(|t| (0..half).map(move |i| (t, i)))
                .map(|(t, i)| f(angle(t, i)) as f32)
                .collect()
        };
        Self {
            half,
            cos_th: table(f64::cos),
            sin_th: table(f64::sin),
        }
    }

    /// Number of values in both tables.
    pub fn len(seq_len: usize, head_dim: usize) -> usize {
        2 * seq_len * (head_dim / 2)
    }

    #[cfg(test)]
    pub(in crate::train) fn n_values(&self) -> usize {
        self.cos_th.len() + self.sin_th.len()
    }

    fn row(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.half..(position + 1) * self.half;
        (&self.cos_th[range.clone()], &self.sin_th[range])
    }
}

/// Direction of the rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Forward pass.
    Forward,
    /// Backward pass: the gradient of a rotation is the inverse rotation.
    Back,
}

/// Rotates the first `n_heads` heads of every row of `qkv_nw` (`[N, row_width]`) in place;
/// `positions_n` is each row's position in its sequence.
pub fn rope(
    qkv_nw: &mut [f32],
    row_width: usize,
    n_heads: usize,
    table: &RopeTable,
    positions_n: &[u32],
    direction: Direction,
) {
    let head_dim = 2 * table.half;
    let sign = if direction == Direction::Forward {
        1.0
    } else {
        -1.0
    };
    qkv_nw
        .par_chunks_mut(row_width)
        .zip(positions_n)
        .with_min_len(super::ROWS)
        .for_each(|(row, &position)| {
            let (cos, sin) = table.row(position as usize);
            vectorized(
                #[inline(always)]
                || {
                    for head in row[..n_heads * head_dim].chunks_exact_mut(head_dim) {
                        rotate(head, cos, sin, sign);
                    }
                },
            );
        });
}

#[inline(always)]
fn rotate(head: &mut [f32], cos: &[f32], sin: &[f32], sign: f32) {
    let (low, high) = head.split_at_mut(cos.len());
    for (((low, high), &cos), &sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
        let (a, b) = (*low, *high);
        let sin = sign * sin;
        *low = a * cos - b * sin;
        *high = b * cos + a * sin;
    }
}
