//! Sums of exponentials over blocks of one row of logits, in 16 lanes.
//!
//! Each sum is written once, over fixed-size arrays that the compiler turns into vectors, and
//! compiled for several instruction sets; the best one is chosen when the process starts. Every
//! operation is a correctly rounded IEEE one in a fixed order (additions, fused multiply-adds,
//! comparisons), so all instruction sets give the same bits, and a shard does not depend on them.
//!
//! Range reduction and polynomial are those of Cephes' `expf` (relative error below 2e-7);
//! a block's 64 values are added in f32, pairwise, and blocks in f64.

mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
#[cfg(any(test, feature = "train"))]
pub(crate) use portable::exp_lane;
pub(super) use portable::padded;
use portable::{
    count_body, exp_sums_body, exp_values_body, greater, mask_body, one_zero, scan_body,
    tempered_sums_body, total_body,
};

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
            if x86::has_avx512() {
                found.push(Isa::Avx512);
            }
            if x86::has_avx2() {
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
