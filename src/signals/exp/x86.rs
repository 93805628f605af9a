//! The same for AVX2 and AVX-512: the shared bodies compiled for them, or written with intrinsics.

use super::block::{
    Ahead, BLOCK, EXP_LOWEST, Halves, LN_2_HIGH, LN_2_LOW, LOG2_E, POLYNOMIAL, ROUND, RowScan,
};
use super::portable;
use std::arch::x86_64::*;
use std::is_x86_feature_detected as has;

/// Every feature that a function named `_avx2` enables.
pub(super) fn has_avx2() -> bool {
    has!("avx2") && has!("fma") && has!("popcnt")
}

/// Every feature that a function named `_avx512` enables. A hypervisor may hide some of them.
pub(super) fn has_avx512() -> bool {
    has_avx2() && has!("avx512f") && has!("avx512vl")
}

// Written with intrinsics, since compilers turn the sums over lanes into scalar code.
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
pub(super) fn exp_sums_avx512(
    row: &[f32],
    max: f32,
    ahead: Ahead,
    exp_b: &mut [f32],
    weighted_b: &mut [f32],
) {
    let (max, one) = (_mm512_set1_ps(max), _mm512_set1_ps(1.0));
    let (blocks, rest) = row.as_chunks::<BLOCK>();
    let last = portable::padded(rest);
    let all = blocks.iter().chain((!rest.is_empty()).then_some(&last));
    for (i, ((block, exp), weighted)) in all.zip(exp_b).zip(weighted_b).enumerate() {
        ahead.lines_of(i).for_each(|line| prefetch(line));
        let (d, e) = exp_block_avx512::<false>(block, max, one);
        let low = _mm512_fmadd_ps(d[1], e[1], _mm512_mul_ps(d[0], e[0]));
        let high = _mm512_fmadd_ps(d[3], e[3], _mm512_mul_ps(d[2], e[2]));
        *weighted = sum_lanes_avx512(_mm512_add_ps(low, high));
        *exp = sum_quarters_avx512(e);
    }
}

/// Prefetches into the second-level cache.
#[inline]
#[target_feature(enable = "sse")]
fn prefetch(address: usize) {
    _mm_prefetch::<_MM_HINT_T1>(std::ptr::without_provenance(address));
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
pub(super) fn tempered_sums_avx512(row: &[f32], max: f32, inv_tau: f32, exp_b: &mut [f32]) {
    let (max, inv_tau) = (_mm512_set1_ps(max), _mm512_set1_ps(inv_tau));
    let (blocks, rest) = row.as_chunks::<BLOCK>();
    let last = portable::padded(rest);
    let all = blocks.iter().chain((!rest.is_empty()).then_some(&last));
    for (block, exp) in all.zip(exp_b) {
        *exp = sum_quarters_avx512(exp_block_avx512::<true>(block, max, inv_tau).1);
    }
}

/// `d` and `e^d` of a block's quarters, with the same operations as `exp_block`.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
fn exp_block_avx512<const TEMPERED: bool>(
    block: &[f32; BLOCK],
    max: __m512,
    inv_tau: __m512,
) -> ([__m512; 4], [__m512; 4]) {
    let lowest = _mm512_set1_ps(EXP_LOWEST);
    let mut d = [lowest; 4];
    let mut e = [lowest; 4];
    for quarter in 0..4 {
        // SAFETY: the load is of sixteen of the block's 64 values.
        let z = unsafe { _mm512_loadu_ps(block.as_ptr().add(16 * quarter)) };
        let shifted = _mm512_sub_ps(z, max);
        let shifted = if TEMPERED {
            _mm512_mul_ps(shifted, inv_tau)
        } else {
            shifted
        };
        d[quarter] = _mm512_max_ps(shifted, lowest);
        e[quarter] = exp_avx512(d[quarter]);
    }
    (d, e)
}

/// e^d as in `exp_lane`, for d clamped to `EXP_LOWEST`. Scaling by 2^n is exact in both.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
fn exp_avx512(d: __m512) -> __m512 {
    let wide = |value| _mm512_set1_ps(value);
    let n = _mm512_sub_ps(_mm512_fmadd_ps(d, wide(LOG2_E), wide(ROUND)), wide(ROUND));
    let r = _mm512_fmadd_ps(n, wide(-LN_2_HIGH), d);
    let r = _mm512_fmadd_ps(n, wide(-LN_2_LOW), r);
    let mut p = wide(POLYNOMIAL[0]);
    for coefficient in &POLYNOMIAL[1..] {
        p = _mm512_fmadd_ps(p, r, wide(*coefficient));
    }
    let e = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), wide(1.0));
    let is_above = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(d, wide(EXP_LOWEST));
    _mm512_maskz_scalef_ps(is_above, e, n)
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
fn sum_quarters_avx512([a, b, c, d]: [__m512; 4]) -> f32 {
    sum_lanes_avx512(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)))
}

#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
fn sum_lanes_avx512(lanes: __m512) -> f32 {
    let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(lanes));
    let eight = _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm256_castpd_ps(high));
    let four = _mm_add_ps(
        _mm256_castps256_ps128(eight),
        _mm256_extractf128_ps::<1>(eight),
    );
    let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn exp_sums_avx2(
    row: &[f32],
    max: f32,
    ahead: Ahead,
    exp_b: &mut [f32],
    weighted_b: &mut [f32],
) {
    portable::exp_sums_body(row, max, ahead, exp_b, weighted_b, |line| prefetch(line));
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn tempered_sums_avx2(row: &[f32], max: f32, inv_tau: f32, exp_b: &mut [f32]) {
    portable::tempered_sums_body(row, max, inv_tau, exp_b);
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
pub(super) fn exp_values_avx512(block: &[f32; BLOCK], max: f32, inv_tau: f32) -> [f32; BLOCK] {
    portable::exp_values_body(block, max, inv_tau)
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn exp_values_avx2(block: &[f32; BLOCK], max: f32, inv_tau: f32) -> [f32; BLOCK] {
    portable::exp_values_body(block, max, inv_tau)
}

#[target_feature(enable = "avx512f,avx512vl,avx2,fma")]
pub(super) fn total_avx512(values: &[f32]) -> f64 {
    portable::total_body(values)
}

#[target_feature(enable = "avx2,fma")]
pub(super) fn total_avx2(values: &[f32]) -> f64 {
    portable::total_body(values)
}

#[target_feature(enable = "avx512f")]
pub(super) fn mask_avx512(values: &[f32; 16], threshold: f32) -> u32 {
    // SAFETY: the load is of these sixteen values.
    let values = unsafe { _mm512_loadu_ps(values.as_ptr()) };
    let mask = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(values, _mm512_set1_ps(threshold));
    u32::from(mask)
}

#[target_feature(enable = "avx2")]
pub(super) fn mask_avx2(values: &[f32; 16], threshold: f32) -> u32 {
    let wide = _mm256_set1_ps(threshold);
    let [low, high] = [0, 8].map(|first| {
        // SAFETY: each load is of eight of the sixteen values.
        let eight = unsafe { _mm256_loadu_ps(values.as_ptr().add(first)) };
        _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GE_OQ>(eight, wide)) as u32
    });
    low | high << 8
}

// Scan and count are written with intrinsics: compilers would vectorize their loop over blocks,
// with gathers.

#[target_feature(enable = "avx512f")]
pub(super) fn scan_avx512(row: &[f32], block_maxima: &mut [f32]) -> RowScan {
    let finite = _mm512_set1_ps(f32::MAX);
    let mut usable: __mmask16 = !0;
    let (blocks, rest) = row.as_chunks::<BLOCK>();
    let last = portable::padded(rest);
    let all = blocks.iter().chain((!rest.is_empty()).then_some(&last));
    let mut row_max = f32::NEG_INFINITY;
    for (block, block_max) in all.zip(block_maxima) {
        // SAFETY: the four loads are the block's 64 values.
        let quarters = unsafe {
            let start = block.as_ptr();
            [
                _mm512_loadu_ps(start),
                _mm512_loadu_ps(start.add(16)),
                _mm512_loadu_ps(start.add(32)),
                _mm512_loadu_ps(start.add(48)),
            ]
        };
        let [a, b, c, d] = quarters;
        for quarter in quarters {
            // An ordered comparison is false for NaN and for +inf alike.
            usable &= _mm512_cmp_ps_mask::<_CMP_LE_OQ>(quarter, finite);
        }
        let max = _mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, d));
        *block_max = portable::one_zero(_mm512_reduce_max_ps(max));
        row_max = portable::greater(*block_max, row_max);
    }
    RowScan {
        max: row_max,
        usable: usable == !0,
    }
}

/// Like `scan_avx512`, for values that it widens on the fly.
#[target_feature(enable = "avx512f")]
pub(super) fn widen_and_scan_avx512<const BF16: bool>(
    bits: &[u16],
    row: &mut [f32],
    block_maxima: &mut [f32],
) -> RowScan {
    let finite = _mm512_set1_ps(f32::MAX);
    let mut usable: __mmask16 = !0;
    let mut row_max = f32::NEG_INFINITY;
    let n_whole = bits.len() / BLOCK;
    let (whole, rest) = row.split_at_mut(n_whole * BLOCK);
    let blocks = bits.as_chunks::<BLOCK>().0.iter();
    let widened = whole.as_chunks_mut::<BLOCK>().0.iter_mut();
    for ((bits, widened), block_max) in blocks.zip(widened).zip(&mut *block_maxima) {
        let mut max = _mm512_set1_ps(f32::NEG_INFINITY);
        let sixteens = bits.as_chunks::<16>().0.iter();
        for (bits, widened) in sixteens.zip(widened.as_chunks_mut::<16>().0) {
            let values = widen_avx512::<BF16>(bits);
            usable &= _mm512_cmp_ps_mask::<_CMP_LE_OQ>(values, finite);
            max = _mm512_max_ps(max, values);
            // SAFETY: the store is to these sixteen values.
            unsafe { _mm512_storeu_ps(widened.as_mut_ptr(), values) };
        }
        *block_max = portable::one_zero(_mm512_reduce_max_ps(max));
        row_max = portable::greater(*block_max, row_max);
    }
    let bits = &bits[n_whole * BLOCK..];
    let halves = if BF16 {
        Halves::Bf16(bits)
    } else {
        Halves::F16(bits)
    };
    halves.widen(rest);
    let last = scan_avx512(rest, &mut block_maxima[n_whole..]);
    RowScan {
        max: portable::greater(last.max, row_max),
        usable: usable == !0 && last.usable,
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn widen_avx512<const BF16: bool>(bits: &[u16; 16]) -> __m512 {
    // SAFETY: the load is of these sixteen values.
    let bits = unsafe { _mm256_loadu_si256(bits.as_ptr().cast()) };
    if BF16 {
        _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(bits)))
    } else {
        _mm512_cvtph_ps(bits)
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn scan_avx2(row: &[f32], block_maxima: &mut [f32]) -> RowScan {
    let finite = _mm256_set1_ps(f32::MAX);
    let mut usable = _mm256_cmp_ps::<_CMP_EQ_OQ>(finite, finite);
    let (blocks, rest) = row.as_chunks::<BLOCK>();
    let last = portable::padded(rest);
    let all = blocks.iter().chain((!rest.is_empty()).then_some(&last));
    let mut row_max = f32::NEG_INFINITY;
    for (block, block_max) in all.zip(block_maxima) {
        let mut max = _mm256_set1_ps(f32::NEG_INFINITY);
        for eight in block.as_chunks::<8>().0 {
            // SAFETY: the load is of these eight values.
            let eight = unsafe { _mm256_loadu_ps(eight.as_ptr()) };
            max = _mm256_max_ps(max, eight);
            usable = _mm256_and_ps(usable, _mm256_cmp_ps::<_CMP_LE_OQ>(eight, finite));
        }
        let four = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps::<1>(max));
        let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
        let one = _mm_max_ss(two, _mm_shuffle_ps::<1>(two, two));
        *block_max = portable::one_zero(_mm_cvtss_f32(one));
        row_max = portable::greater(*block_max, row_max);
    }
    RowScan {
        max: row_max,
        usable: _mm256_movemask_ps(usable) == 0xff,
    }
}

#[target_feature(enable = "avx512f,popcnt")]
pub(super) fn count_avx512<const OR_EQUAL: bool>(
    row: &[[f32; BLOCK]],
    block_maxima: &[f32],
    threshold: f32,
) -> u32 {
    let wide = _mm512_set1_ps(threshold);
    let mut n = 0;
    for (block, &max) in row.iter().zip(block_maxima) {
        if max < threshold {
            continue;
        }
        for sixteen in block.as_chunks::<16>().0 {
            // SAFETY: the load is of these sixteen values.
            let sixteen = unsafe { _mm512_loadu_ps(sixteen.as_ptr()) };
            let mask = if OR_EQUAL {
                _mm512_cmp_ps_mask::<_CMP_GE_OQ>(sixteen, wide)
            } else {
                _mm512_cmp_ps_mask::<_CMP_GT_OQ>(sixteen, wide)
            };
            n += mask.count_ones();
        }
    }
    n
}

#[target_feature(enable = "avx2,popcnt")]
pub(super) fn count_avx2<const OR_EQUAL: bool>(
    row: &[[f32; BLOCK]],
    block_maxima: &[f32],
    threshold: f32,
) -> u32 {
    let wide = _mm256_set1_ps(threshold);
    let mut n = 0;
    for (block, &max) in row.iter().zip(block_maxima) {
        if max < threshold {
            continue;
        }
        for eight in block.as_chunks::<8>().0 {
            // SAFETY: the load is of these eight values.
            let eight = unsafe { _mm256_loadu_ps(eight.as_ptr()) };
            let mask = if OR_EQUAL {
                _mm256_cmp_ps::<_CMP_GE_OQ>(eight, wide)
            } else {
                _mm256_cmp_ps::<_CMP_GT_OQ>(eight, wide)
            };
            n += _mm256_movemask_ps(mask).count_ones();
        }
    }
    n
}
