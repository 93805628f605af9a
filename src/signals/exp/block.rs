//! Shared by all variants: blocks, lanes, constants, and the result of a pass over a row.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

/// Logits per block: four values for each of the 16 lanes.
pub(in crate::signals) const BLOCK: usize = 64;
pub(super) const LANES: usize = 16;

/// Exponents below this count as probability 0: e^-87 is the last normal f32.
pub(super) const EXP_LOWEST: f32 = -87.0;

pub(super) const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// 1.5 * 2^23: adding it rounds to the nearest integer, which is then in the low bits.
pub(super) const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts, so that n * ln 2 keeps its digits.
pub(super) const LN_2_HIGH: f32 = std::f32::consts::LN_2;
pub(super) const LN_2_LOW: f32 = -1.904_654_3e-9;
/// (e^r - 1 - r) / r^2, highest power first.
pub(super) const POLYNOMIAL: [f32; 6] = [
    1.987_569_1e-4,
    1.398_2e-3,
    8.333_452e-3,
    4.166_579_6e-2,
    1.666_666_5e-1,
    0.5,
];

/// Half-precision values as bits.
#[derive(Debug, Clone, Copy)]
pub(in crate::signals) enum Halves<'a> {
    F16(&'a [u16]),
    Bf16(&'a [u16]),
}

impl Halves<'_> {
    /// Their number, and the logits that follow them.
    pub(in crate::signals) fn len_and_ahead(self) -> (usize, Ahead) {
        let (Self::F16(bits) | Self::Bf16(bits)) = self;
        (bits.len(), Ahead::behind(bits))
    }

    pub(super) fn widen(self, row: &mut [f32]) {
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

/// The result of one pass over a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::signals) struct RowScan {
    pub(in crate::signals) max: f32,
    /// Whether no value is NaN or +inf.
    pub(in crate::signals) usable: bool,
}

/// Logits that will be needed next: a row is followed by the next position's, which is in the
/// second-level cache in time if it is prefetched.
#[derive(Debug, Clone, Copy)]
pub(in crate::signals) struct Ahead {
    /// Address of the first. It may be beyond all logits: a prefetch never faults.
    address: usize,
    /// Bytes of a block's logits; 0 if nothing comes next.
    bytes_per_block: usize,
}

impl Ahead {
    pub(in crate::signals) const NOTHING: Self = Self {
        address: 0,
        bytes_per_block: 0,
    };

    /// The logits that follow `row`.
    pub(in crate::signals) fn behind<T>(row: &[T]) -> Self {
        Self {
            address: row.as_ptr_range().end.addr(),
            bytes_per_block: size_of::<T>() * BLOCK,
        }
    }

    /// Addresses of the cache lines of one block.
    #[inline(always)]
    pub(super) fn lines_of(self, block_idx: usize) -> impl Iterator<Item = usize> {
        const LINE_BYTES: usize = 64;
        let first = self.address.wrapping_add(block_idx * self.bytes_per_block);
        (0..self.bytes_per_block)
            .step_by(LINE_BYTES)
            .map(move |offset| first.wrapping_add(offset))
    }
}
