//! Loops over one row, using the machine's widest vectors.
//!
//! Each body is written over fixed-size blocks that the compiler turns into vectors, and run by [`vectorized`],
//! which picks the instruction set at run time. Sums use [`LANES`] partial sums in a fixed order, so the bits
//! are the same every time on one instruction set.

/// Partial sums of a reduction.
pub(super) const LANES: usize = 16;

/// Runs `body` compiled for AVX-512, AVX2 or NEON, whichever the machine has. This affects only inlined code,
/// so closures need `#[inline(always)]`.
#[inline]
pub(super) fn vectorized<R>(body: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(body)
}

/// e^x for x <= 0; 0 below -87.
pub(super) use crate::signals::exp_of_negative as exp;

/// Logistic function.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let small = e / (1.0 + e);
    if x >= 0.0 { 1.0 - small } else { small }
}

/// Sum of `f(i)` over `0..n` in lanes: blocks are summed in f32, then in f64.
#[inline(always)]
pub(super) fn lane_sum(n: usize, f: impl Fn(usize) -> f32) -> f64 {
    /// Vectors summed in f32 before adding to an f64.
    const RUN: usize = 32;
    let mut total = 0.0_f64;
    let n_whole = n / LANES * LANES;
    let mut start = 0;
    while start < n_whole {
        let end = n_whole.min(start + RUN * LANES);
        let mut lanes = [0.0_f32; LANES];
        for block in (start..end).step_by(LANES) {
            for (lane, sum) in lanes.iter_mut().enumerate() {
                *sum += f(block + lane);
            }
        }
        total += sum_of_lanes(&lanes);
        start = end;
    }
    for i in n_whole..n {
        total += f64::from(f(i));
    }
    total
}

#[inline(always)]
fn sum_of_lanes(lanes: &[f32; LANES]) -> f64 {
    lanes.iter().map(|&lane| f64::from(lane)).sum()
}

/// The largest value; -inf for an empty row, NaN if there is a NaN ([`exp`] would turn that into 0 and hide
/// it).
#[inline(always)]
pub(super) fn max(row: &[f32]) -> f32 {
    let (blocks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut nans = [0_u32; LANES];
    for block in blocks {
        for ((best, nan), &value) in lanes.iter_mut().zip(&mut nans).zip(block) {
            *best = if value > *best { value } else { *best };
            *nan |= u32::from(value.is_nan());
        }
    }
    let has_nan = nans.iter().any(|&nan| nan != 0) || rest.iter().any(|value| value.is_nan());
    if has_nan {
        return f32::NAN;
    }
    let tail = rest.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    lanes.iter().copied().fold(tail, f32::max)
}

/// Turns each value into e^(factor * (value - max)) and returns their sum.
#[inline(always)]
pub(super) fn exp_in_place(row: &mut [f32], max: f32, factor: f32) -> f64 {
    /// Vectors summed in f32 before adding to an f64.
    const RUN: usize = 32;
    let mut total = 0.0_f64;
    for run in row.chunks_mut(RUN * LANES) {
        let (blocks, rest) = run.as_chunks_mut::<LANES>();
        let mut lanes = [0.0_f32; LANES];
        for block in blocks {
            for (sum, value) in lanes.iter_mut().zip(block) {
                *value = exp((*value - max) * factor);
                *sum += *value;
            }
        }
        total += sum_of_lanes(&lanes);
        for value in rest {
            *value = exp((*value - max) * factor);
            total += f64::from(*value);
        }
    }
    total
}
