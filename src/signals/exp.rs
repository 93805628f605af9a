//! Sums of exponentials over blocks of one row of logits, in 16 lanes.
//!
//! Each sum is written once, over fixed-size arrays that the compiler turns into vectors, and
//! compiled for several instruction sets; the best one is chosen when the process starts. Every
//! operation is a correctly rounded IEEE one in a fixed order (additions, fused multiply-adds,
//! comparisons), so all instruction sets give the same bits, and a shard does not depend on them.
//!
//! Range reduction and polynomial are those of Cephes' `expf` (relative error below 2e-7);
//! a block's 64 values are added in f32, pairwise, and blocks in f64.

mod block;
mod portable;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86;

use block::LANES;
pub(super) use block::{Ahead, BLOCK, Halves, RowScan};
#[cfg(any(test, feature = "train"))]
pub(crate) use portable::exp_lane;
pub(super) use portable::padded;
use portable::{
    count_body, exp_sums_body, exp_values_body, mask_body, scan_body, tempered_sums_body,
    total_body,
};

/// Instruction sets for which the sums are compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Isa {
    /// The best one available on this processor.
    pub(super) fn detect() -> Self {
        Self::available()[0]
    }

    /// All that are available on this processor, best first; `Portable` is always the last.
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
    /// d = logit - max. Both have one value per block. Also prefetches `ahead`.
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

    /// The terms of one block's sum: e^d, d = (logit - max) * inv_tau.
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

    /// Calls `found(i)` for each `values[i]` of at least `threshold`, in increasing order.
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

    /// How many ids come before `target` by (descending logit, ascending id).
    pub(super) fn rank_of(self, row: &[f32], block_maxima: &[f32], target: usize) -> u32 {
        let z_target = row[target];
        let (blocks, rest) = row.as_chunks::<BLOCK>();
        let own = target / BLOCK;
        let before = self.count::<true>(&blocks[..own], block_maxima, z_target);
        let behind = match blocks.get(own + 1..) {
            Some(blocks) => self.count::<false>(blocks, &block_maxima[own + 1..], z_target),
            None => 0,
        };
        // The target's own block, and the last, short one, are compared id by id.
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

    /// Widens half-precision logits, given as bits, into `row`, and scans it.
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

    /// The maximum of each block and of the row; `block_maxima` has one value per block.
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
