//! Sums of exponentials over blocks of one row of logits, in 16 lanes.
//!
//! Each sum is written once, over fixed-size arrays that the compiler turns into vectors, and
//! compiled for several instruction sets; the best one is chosen when the process starts. Every
//! operation is a correctly rounded IEEE one in a fixed order (additions, fused multiply-adds,
//! comparisons), so all instruction sets give the same bits, and a shard does not depend on them.
//!
//! Range reduction and polynomial are those of Cephes' `expf` (relative error below 2e-7);
//! a block's 64 values are added in f32, pairwise, and blocks in f64.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Logits a block: four values for each of the 16 lanes.
pub(super) const BLOCK: usize = 64;
const LANES: usize = 16;

/// Exponents below this count as probability 0: e^-87 is the last normal f32.
const EXP_LOWEST: f32 = -87.0;

const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// 1.5 * 2^23: adding it rounds to the nearest integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts, so that n * ln 2 keeps its digits.
const LN_2_HIGH: f32 = std::f32::consts::LN_2;
const LN_2_LOW: f32 = -1.904_654_3e-9;
/// (e^r - 1 - r) / r^2, highest power first.
const POLYNOMIAL: [f32; 6] = [
    1.987_569_1e-4,
    1.398_2e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    0.5,
];

/// Half-precision values by their bits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Halves<'a> {
    F16(&'a [u16]),
    Bf16(&'a [u16]),
}

impl Halves<'_> {
    /// How many there are, and what lies behind them.
    pub(super) fn len_and_ahead(self) -> (usize, Ahead) {
        let (Self::F16(bits) | Self::Bf16(bits)) = self;
        (bits.len(), Ahead::behind(bits))
    }

    fn widen(self, row: &mut [f32]) {
        match self {
            Self::F16(bits) => bits
                .reinterpret_cast::<half::f16>()
                .convert_to_f32_slice(row),
            Self::Bf16(bits) => bits
                .reinterpret_cast::<half::bf16>()
                .convert_to_f32_slice(row),
        }
    }
}

/// What one look over a row finds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RowScan {
    pub(super) max: f32,
    /// No NaN and no +inf among the values.
    pub(super) usable: bool,
}

/// Logits that will be wanted next: what lies behind a row is the next position's row, which is in
/// the second-level cache when its turn comes if it was asked for in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    /// Address of the first. It may be past all logits: a prefetch never faults.
    address: usize,
    /// Bytes of as many logits as a block has; 0 where nothing comes next.
    bytes_a_block: usize,
}

impl Ahead {
    pub(super) const NOTHING: Self = Self {
        address: 0,
        bytes_a_block: 0,
    };

    /// What lies behind `row`.
    pub(super) fn behind<T>(row: &[T]) -> Self {
        Self {
            address: row.as_ptr_range().end.addr(),
            bytes_a_block: size_of::<T>() * BLOCK,
        }
    }

    /// Addresses of the cache lines of one block.
    #[inline(always)]
    fn lines_of(self, block_idx: usize) -> impl Iterator<Item = usize> {
        const LINE_BYTES: usize = 64;
        let first = self.address.wrapping_add(block_idx * self.bytes_a_block);
        (0..self.bytes_a_block)
            .step_by(LINE_BYTES)
            .map(move |offset| first.wrapping_add(offset))
    }
}

/// e^d for d <= 0 (NaN is excluded before).
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

/// `d` and `e^d` of one block, d = (logit - max) * inv_tau, at least `EXP_LOWEST`. One stage after
/// the other over whole arrays, since that is what compilers turn into vectors.
#[inline(always)]
fn exp_block<const TEMPERED: bool>(
    block: &[f32; BLOCK],
    max: f32,
    inv_tau: f32,
) -> ([f32; BLOCK], [f32; BLOCK]) {
    let mut d = [0.0_f32; BLOCK];
    for i in 0..BLOCK {
        let shifted = block[i] - max;
        // -inf stays out of the product d * e^d: its e^d is 0, but -inf * 0 is NaN.
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
fn block_sums(block: &[f32; BLOCK], max: f32) -> (f32, f32) {
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

/// The greater of two numbers; unlike `f32::max` it is one instruction, as NaN is excluded before.
#[inline(always)]
fn greater(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

#[inline(always)]
fn quarters(block: &[f32; BLOCK]) -> [&[f32; LANES]; 4] {
    let (quarters, _) = block.as_chunks::<LANES>();
    [&quarters[0], &quarters[1], &quarters[2], &quarters[3]]
}

#[inline(always)]
fn exp_sums_body(
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
fn tempered_sums_body(row: &[f32], max: f32, inv_tau: f32, exp_b: &mut [f32]) {
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
fn total_body(values: &[f32]) -> f64 {
    let (blocks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0_f64; LANES];
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] += f64::from(block[lane]);
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x)).sum::<f64>()
}

/// A last, short block filled up with -inf, which adds nothing to any sum.
#[inline(always)]
pub(super) fn padded(rest: &[f32]) -> [f32; BLOCK] {
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
    greater(greater(four[0], four[2]), greater(four[1], four[3]))
}

#[inline(always)]
fn scan_body(row: &[f32], block_maxima: &mut [f32]) -> RowScan {
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

/// How many values are above `threshold`, or equal to it where `OR_EQUAL`. Blocks whose maximum is
/// below it are not looked at.
#[inline(always)]
fn count_body<const OR_EQUAL: bool>(
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

/// A bit for each value that is `threshold` or above.
#[inline(always)]
fn mask_body(values: &[f32; LANES], threshold: f32) -> u32 {
    (0..LANES).fold(0, |mask, lane| {
        mask | u32::from(values[lane] >= threshold) << lane
    })
}

#[inline(always)]
fn exp_values_body(block: &[f32; BLOCK], max: f32, inv_tau: f32) -> [f32; BLOCK] {
    // A factor of 1 changes no bit, so these are the terms of both kinds of sums.
    exp_block::<true>(block, max, inv_tau).1
}

/// Instruction sets that the sums are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// The best one that this processor has.
    pub(super) fn detect() -> Self {
        Self::available()[0]
    }

    /// All that this processor has, best first; `Portable` is always the last.
    pub(super) fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if std::is_x86_feature_detected!("avx512f") && std::is_x86_feature_detected!("avx512vl")
            {
                found.push(Isa::Avx512);
            }
            if std::is_x86_feature_detected!("avx2")
                && std::is_x86_feature_detected!("fma")
                && std::is_x86_feature_detected!("popcnt")
            {
                found.push(Isa::Avx2);
            }
        }
        found.push(Isa::Portable);
        found
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => "avx2",
            Isa::Portable if cfg!(target_arch = "aarch64") => "neon",
            Isa::Portable => "portable",
        }
    }

    /// Sums of each block of `row`: `sum e^d` into `exp_b`, `sum d * e^d` into `weighted_b`, where
    /// d = logit - max. Both hold one value a block. Meanwhile asks for what is `ahead`.
    pub(super) fn exp_sums(
        self,
        row: &[f32],
        max: f32,
        ahead: Ahead,
        exp_b: &mut [f32],
        weighted_b: &mut [f32],
    ) {
        match self {
            // SAFETY: this value exists only where `available` saw the processor's features.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { x86::exp_sums_avx512(row, max, ahead, exp_b, weighted_b) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::exp_sums_avx2(row, max, ahead, exp_b, weighted_b) },
            Isa::Portable => exp_sums_body(row, max, ahead, exp_b, weighted_b, |_| ()),
        }
    }

    /// Sums of each block of `row`: `sum e^d` with d = (logit - max) * inv_tau.
    pub(super) fn tempered_sums(self, row: &[f32], max: f32, inv_tau: f32, exp_b: &mut [f32]) {
        match self {
            // SAFETY: this value exists only where `available` saw the processor's features.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { x86::tempered_sums_avx512(row, max, inv_tau, exp_b) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::tempered_sums_avx2(row, max, inv_tau, exp_b) },
            Isa::Portable => tempered_sums_body(row, max, inv_tau, exp_b),
        }
    }

    /// The terms that one block's sum adds: e^d, d = (logit - max) * inv_tau.
    pub(super) fn exp_values(self, block: &[f32; BLOCK], max: f32, inv_tau: f32) -> [f32; BLOCK] {
        match self {
            // SAFETY: this value exists only where `available` saw the processor's features.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { x86::exp_values_avx512(block, max, inv_tau) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::exp_values_avx2(block, max, inv_tau) },
            Isa::Portable => exp_values_body(block, max, inv_tau),
        }
    }

    /// The sum of block sums, in f64.
    pub(super) fn total(self, values: &[f32]) -> f64 {
        match self {
            // SAFETY: this value exists only where `available` saw the processor's features.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { x86::total_avx512(values) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::total_avx2(values) },
            Isa::Portable => total_body(values),
        }
    }

    /// Calls `found(i)` for each `values[i]` that is `threshold` or above, in rising order.
    #[inline]
    pub(super) fn each_at_least(
        self,
        values: &[f32],
        threshold: f32,
        mut found: impl FnMut(usize),
    ) {
        let (chunks, rest) = values.as_chunks::<LANES>();
        for (chunk_idx, chunk) in chunks.iter().enumerate() {
            let mut mask = match self {
                // SAFETY: this value exists only where `available` saw the processor's features.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx512 => unsafe { x86::mask_avx512(chunk, threshold) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => unsafe { x86::mask_avx2(chunk, threshold) },
                Isa::Portable => mask_body(chunk, threshold),
            };
            while mask != 0 {
                found(chunk_idx * LANES + mask.trailing_zeros() as usize);
                mask &= mask - 1;
            }
        }
        let first = values.len() - rest.len();
        let reached = rest.iter().enumerate().filter(|&(_, &x)| x >= threshold);
        reached.for_each(|(i, _)| found(first + i));
    }

    /// How many ids stand before `target` by (falling logit, rising id).
    pub(super) fn rank_of(self, row: &[f32], block_maxima: &[f32], target: usize) -> u32 {
        let z_target = row[target];
        let (blocks, rest) = row.as_chunks::<BLOCK>();
        let own = target / BLOCK;
        let before = self.count::<true>(&blocks[..own], block_maxima, z_target);
        let behind = match blocks.get(own + 1..) {
            Some(blocks) => self.count::<false>(blocks, &block_maxima[own + 1..], z_target),
            None => 0,
        };
        // The target's own block, and the last, short one, id by id.
        let stands_before = |id: usize| row[id] > z_target || (row[id] == z_target && id < target);
        let own_end = ((own + 1) * BLOCK).min(row.len());
        let rest_start = own_end.max(row.len() - rest.len());
        let singles = (own * BLOCK..own_end).chain(rest_start..row.len());
        before + behind + singles.filter(|&id| stands_before(id)).count() as u32
    }

    fn count<const OR_EQUAL: bool>(
        self,
        row: &[[f32; BLOCK]],
        block_maxima: &[f32],
        threshold: f32,
    ) -> u32 {
        match self {
            // SAFETY: this value exists only where `available` saw the processor's features.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { x86::count_avx512::<OR_EQUAL>(row, block_maxima, threshold) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::count_avx2::<OR_EQUAL>(row, block_maxima, threshold) },
            Isa::Portable => count_body::<OR_EQUAL>(row, block_maxima, threshold),
        }
    }

    /// Widens half-precision logits, given by their bits, into `row`, and scans it.
    pub(super) fn widen_and_scan(
        self,
        halves: Halves<'_>,
        row: &mut [f32],
        block_maxima: &mut [f32],
    ) -> RowScan {
        match (self, halves) {
            // SAFETY: this value exists only where `available` saw the processor's features.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Halves::F16(bits)) => unsafe {
                x86::widen_and_scan_avx512::<false>(bits, row, block_maxima)
            },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Halves::Bf16(bits)) => unsafe {
                x86::widen_and_scan_avx512::<true>(bits, row, block_maxima)
            },
            _ => {
                halves.widen(row);
                self.scan(row, block_maxima)
            }
        }
    }

    /// The maximum of each block and of the row; `block_maxima` holds one value a block.
    pub(super) fn scan(self, row: &[f32], block_maxima: &mut [f32]) -> RowScan {
        match self {
            // SAFETY: this value exists only where `available` saw the processor's features.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => unsafe { x86::scan_avx512(row, block_maxima) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => unsafe { x86::scan_avx2(row, block_maxima) },
            Isa::Portable => scan_body(row, block_maxima),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cephes' polynomial in f32 with fused operations: 2 units in the last place, and some room.
    const EXP_RELATIVE_TOLERANCE: f64 = 3e-7;

    #[test]
    fn exp_is_within_tolerance_of_f64_over_its_whole_range() {
        for i in 0..=870_000 {
            let d = -(i as f32) * 1e-4;
            let (got, want) = (f64::from(exp_lane(d)), f64::from(d).exp());
            if d > EXP_LOWEST {
                assert!(
                    (got / want - 1.0).abs() < EXP_RELATIVE_TOLERANCE,
                    "{d} {got} {want}"
                );
            } else {
                assert_eq!(got, 0.0);
            }
        }
        assert_eq!(exp_lane(0.0), 1.0);
        assert_eq!(exp_lane(f32::NEG_INFINITY), 0.0);
    }

    proptest! {
        #[test]
        fn every_instruction_set_gives_the_same_bits(
            row in prop::collection::vec(prop_oneof![8 => -30.0_f32..30.0, 1 => Just(f32::NEG_INFINITY)], 1..400),
            inv_tau in 0.25_f32..4.0,
        ) {
            let n_blocks = row.len().div_ceil(BLOCK);
            let outcome = |isa: Isa| {
                let mut maxima = vec![0.0; n_blocks];
                let scan = isa.scan(&row, &mut maxima);
                let half: Vec<u16> = row.iter().map(|z| half::f16::from_f32(*z).to_bits()).collect();
                let (mut widened, mut half_maxima) = (vec![0.0; row.len()], vec![0.0; n_blocks]);
                let half_scan = isa.widen_and_scan(Halves::F16(&half), &mut widened, &mut half_maxima);
                let halves = (half_scan, widened, half_maxima);
                let max = scan.max.max(-30.0);
                let (mut exp_b, mut weighted_b) = (vec![0.0; n_blocks], vec![0.0; n_blocks]);
                isa.exp_sums(&row, max, Ahead::NOTHING, &mut exp_b, &mut weighted_b);
                let mut tempered_b = vec![0.0; n_blocks];
                isa.tempered_sums(&row, max, inv_tau, &mut tempered_b);
                let sums = (isa.total(&exp_b), exp_b, weighted_b, tempered_b);
                let mut reached = Vec::new();
                isa.each_at_least(&row, row[0], |i| reached.push(i));
                let ranks = [0, row.len() / 2, row.len() - 1].map(|id| isa.rank_of(&row, &maxima, id));
                (maxima, scan, halves, sums, reached, ranks)
            };
            let portable = outcome(Isa::Portable);
            for isa in Isa::available() {
                prop_assert_eq!(&outcome(isa), &portable, "{}", isa.name());
            }
        }
    }
}
