//! Every sum, written once over fixed-size arrays, for the instruction set of the caller that
//! inlines it.

use super::block::{
    Ahead, BLOCK, EXP_LOWEST, LANES, LN_2_HIGH, LN_2_LOW, LOG2_E, POLYNOMIAL, ROUND, RowScan,
};

/// e^d for d <= 0 (NaN has been excluded).
#[inline(always)]
pub(crate) fn exp_lane(d: f32) -> f32 {
    let clamped = greater(d, EXP_LOWEST);
    let rounded = clamped.mul_add(LOG2_E, ROUND);
    let n = rounded - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, clamped));
    let mut p = POLYNOMIAL[0];
    for coefficient in &POLYNOMIAL[1..] {
        p = p.mul_add(r, *coefficient);
    }
    let e = p.mul_add(r * r, r) + 1.0;
    let power = f32::from_bits((rounded.to_bits().wrapping_sub(ROUND.to_bits() - 127)) << 23);
    if d > EXP_LOWEST { e * power } else { 0.0 }
}

/// `d` and `e^d` of one block, d = (logit - max) * inv_tau, at least `EXP_LOWEST`. Each stage runs
/// over whole arrays, since that is what compilers vectorize.
#[inline(always)]
pub(super) fn exp_block<const TEMPERED: bool>(
    block: &[f32; BLOCK],
    max: f32,
    inv_tau: f32,
) -> ([f32; BLOCK], [f32; BLOCK]) {
    let mut d = [0.0_f32; BLOCK];
    for i in 0..BLOCK {
        let shifted = block[i] - max;
        // Keeps -inf out of the product d * e^d: its e^d is 0, but -inf * 0 is NaN.
        d[i] = greater(
            if TEMPERED { shifted * inv_tau } else { shifted },
            EXP_LOWEST,
        );
    }
    let mut e = [0.0_f32; BLOCK];
    for i in 0..BLOCK {
        e[i] = exp_lane(d[i]);
    }
    (d, e)
}

/// `sum e^d` and `sum d * e^d` of one block.
#[inline(always)]
pub(super) fn block_sums(block: &[f32; BLOCK], max: f32) -> (f32, f32) {
    let (d, e) = exp_block::<false>(block, max, 1.0);
    let [d0, d1, d2, d3] = quarters(&d);
    let [e0, e1, e2, e3] = quarters(&e);
    let mut weighted = [0.0_f32; LANES];
    for lane in 0..LANES {
        let low = d1[lane].mul_add(e1[lane], d0[lane] * e0[lane]);
        let high = d3[lane].mul_add(e3[lane], d2[lane] * e2[lane]);
        weighted[lane] = low + high;
    }
    (sum_quarters(&e), sum_lanes(&weighted))
}

#[inline(always)]
fn sum_quarters(values: &[f32; BLOCK]) -> f32 {
    let [a, b, c, d] = quarters(values);
    let mut lanes = [0.0_f32; LANES];
    for lane in 0..LANES {
        lanes[lane] = (a[lane] + b[lane]) + (c[lane] + d[lane]);
    }
    sum_lanes(&lanes)
}

#[inline(always)]
fn sum_lanes(lanes: &[f32; LANES]) -> f32 {
    let mut eight = [0.0_f32; 8];
    for i in 0..8 {
        eight[i] = lanes[i] + lanes[i + 8];
    }
    let mut four = [0.0_f32; 4];
    for i in 0..4 {
        four[i] = eight[i] + eight[i + 4];
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// The greater of two numbers; unlike `f32::max` it is a single instruction, as NaN has been
/// excluded.
#[inline(always)]
pub(super) fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The same number, but +0 for both zeros: which of them a maximum is depends on the order of
/// comparisons, which differs between instruction sets.
#[inline(always)]
pub(super) fn one_zero(max: f32) -> f32 {
    max + 0.0
}

#[inline(always)]
pub(super) fn quarters(block: &[f32; BLOCK]) -> [&[f32; LANES]; 4] {
    let (quarters, _) = block.as_chunks::<LANES>();
    [&quarters[0], &quarters[1], &quarters[2], &quarters[3]]
}

#[inline(always)]
pub(super) fn exp_sums_body(
    row: &[f32],
    max: f32,
    ahead: Ahead,
    exp_b: &mut [f32],
    weighted_b: &mut [f32],
    prefetch: impl Fn(usize),
) {
    let (blocks, rest) = row.as_chunks::<BLOCK>();
    for (i, block) in blocks.iter().enumerate() {
        ahead.lines_of(i).for_each(&prefetch);
        (exp_b[i], weighted_b[i]) = block_sums(block, max);
    }
    if !rest.is_empty() {
        (exp_b[blocks.len()], weighted_b[blocks.len()]) = block_sums(&padded(rest), max);
    }
}

#[inline(always)]
pub(super) fn tempered_sums_body(row: &[f32], max: f32, inv_tau: f32, exp_b: &mut [f32]) {
    let sum = |block: &[f32; BLOCK]| sum_quarters(&exp_block::<true>(block, max, inv_tau).1);
    let (blocks, rest) = row.as_chunks::<BLOCK>();
    for (block, exp) in blocks.iter().zip(&mut *exp_b) {
        *exp = sum(block);
    }
    if !rest.is_empty() {
        exp_b[blocks.len()] = sum(&padded(rest));
    }
}

/// The sum in f64, in 16 lanes.
#[inline(always)]
pub(super) fn total_body(values: &[f32]) -> f64 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0_f64; LANES];
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] += f64::from(block[lane]);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x)).sum::<f64>()
}

/// A last, short block padded with -inf, which adds nothing to any sum.
#[inline(always)]
pub(in crate::signals) fn padded(rest: &[f32]) -> [f32; BLOCK] {
    let mut block = [f32::NEG_INFINITY; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    block
}

#[inline(always)]
fn scan_block(block: &[f32; BLOCK], unusable: &mut [u32; LANES]) -> f32 {
    let [a, b, c, d] = quarters(block);
    let mut max = [0.0_f32; LANES];
    for lane in 0..LANES {
        max[lane] = greater(greater(a[lane], b[lane]), greater(c[lane], d[lane]));
    }
    for lane in 0..LANES {
        // Ordered comparisons, which are false for NaN and for +inf alike.
        let is_usable = (a[lane] <= f32::MAX)
            & (b[lane] <= f32::MAX)
            & (c[lane] <= f32::MAX)
            & (d[lane] <= f32::MAX);
        unusable[lane] |= u32::from(!is_usable);
    }
    let eight: [f32; 8] = std::array::from_fn(|i| greater(max[i], max[i + 8]));
    let four: [f32; 4] = std::array::from_fn(|i| greater(eight[i], eight[i + 4]));
    let max = greater(greater(four[0], four[2]), greater(four[1], four[3]));
    one_zero(max)
}

#[inline(always)]
pub(super) fn scan_body(row: &[f32], block_maxima: &mut [f32]) -> RowScan {
    let mut unusable = [0_u32; LANES];
    let (blocks, rest) = row.as_chunks::<BLOCK>();
    for (block, max) in blocks.iter().zip(block_maxima.iter_mut()) {
        *max = scan_block(block, &mut unusable);
    }
    if !rest.is_empty() {
        block_maxima[blocks.len()] = scan_block(&padded(rest), &mut unusable);
    }
    RowScan {
        max: block_maxima
            .iter()
            .copied()
            .fold(f32::NEG_INFINITY, greater),
        usable: unusable.iter().all(|&lane| lane == 0),
    }
}

/// How many values are above `threshold`, or equal to it if `OR_EQUAL`. Blocks whose maximum is
/// lower are skipped.
#[inline(always)]
pub(super) fn count_body<const OR_EQUAL: bool>(
    row: &[[f32; BLOCK]],
    block_maxima: &[f32],
    threshold: f32,
) -> u32 {
    let mut lanes = [0_u32; BLOCK];
    let blocks = row.iter().zip(block_maxima);
    for (block, _) in blocks.filter(|&(_, &max)| max >= threshold) {
        for lane in 0..BLOCK {
            lanes[lane] += u32::from(if OR_EQUAL {
                block[lane] >= threshold
            } else {
                block[lane] > threshold
            });
        }
    }
    lanes.iter().sum()
}

/// A bit for each value of at least `threshold`.
#[inline(always)]
pub(super) fn mask_body(values: &[f32; LANES], threshold: f32) -> u32 {
    (0..LANES).fold(0, |mask, lane| {
        mask | u32::from(values[lane] >= threshold) << lane
    })
}

#[inline(always)]
pub(super) fn exp_values_body(block: &[f32; BLOCK], max: f32, inv_tau: f32) -> [f32; BLOCK] {
    // A factor of 1 changes no bits, so these are the terms of both kinds of sums.
    exp_block::<true>(block, max, inv_tau).1
}
