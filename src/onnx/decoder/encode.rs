//! From a weight to the bytes of an initializer, part by part.

use super::error::WriteError;
use super::weights::{Weight, Weights};
use half::{bf16, f16};
use std::io::Write;
use std::ops::Range;

/// Weights per block of [`Encoding::Int8`], which share a scale; the last block of a row is padded.
pub(super) const INT8_BLOCK: usize = 32;
/// The code for 0 there.
const INT8_ZERO: f32 = 128.0;
/// The largest distance of a code from it.
const INT8_MAX: f32 = 127.0;

/// Values read at a time.
const BLOCK_VALUES: usize = 1 << 16;
/// Values of a transposed part, held in memory; a larger matrix is read once per part.
const PART_VALUES: usize = 1 << 26;

/// A float type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Float {
    F32,
    F16,
    Bf16,
}

impl Float {
    fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    fn put(self, value: f32, to: &mut [u8]) {
        match self {
            Self::F32 => to.copy_from_slice(&value.to_le_bytes()),
            Self::F16 => to.copy_from_slice(&f16::from_f32(value).to_le_bytes()),
            Self::Bf16 => to.copy_from_slice(&bf16::from_f32(value).to_le_bytes()),
        }
    }

    /// Whether a finite value stays finite.
    fn holds(self, value: f32) -> bool {
        match self {
            Self::F32 => true,
            Self::F16 => f16::from_f32(value).is_finite(),
            Self::Bf16 => bf16::from_f32(value).is_finite(),
        }
    }
}

/// How a weight is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Row by row.
    AsIs(Float),
    /// 1 + w, f32.
    PlusOne,
    /// `[out, in]` as `[in, out]`.
    Transposed(Float),
    /// `[out, n_blocks, 32]` of u8: round(w / scale) + 128.
    Int8,
    /// `[out * n_blocks]`, f32: max |w| / 127 of the block.
    Int8Scales,
}

/// A weight and how it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encoded {
    pub(super) weight: Weight,
    pub(super) encoding: Encoding,
}

impl Encoded {
    /// Writes all bytes of the initializer.
    pub(super) fn write<W: Weights>(
        &self,
        weights: &W,
        out: &mut dyn Write,
    ) -> Result<(), WriteError<W::Error>> {
        match self.encoding {
            Encoding::Transposed(float) => self.write_transposed(weights, float, out),
            encoding => self.write_rows(weights, encoding, out),
        }
    }

    fn write_rows<W: Weights>(
        &self,
        weights: &W,
        encoding: Encoding,
        out: &mut dyn Write,
    ) -> Result<(), WriteError<W::Error>> {
        let mut values = Vec::new();
        let mut bytes = Vec::new();
        for rows in self.row_blocks() {
            self.read(weights, rows, &mut values)?;
            bytes.clear();
            match encoding {
                Encoding::AsIs(float) | Encoding::Transposed(float) => {
                    self.check(float, &values)?;
                    put_all(&mut bytes, float, values.iter().copied());
                }
                Encoding::PlusOne => {
                    put_all(&mut bytes, Float::F32, values.iter().map(|w| 1.0 + w));
                }
                Encoding::Int8 => put_int8(&mut bytes, &values, self.weight.row_len()),
                Encoding::Int8Scales => put_scales(&mut bytes, &values, self.weight.row_len()),
            }
            out.write_all(&bytes)?;
        }
        Ok(())
    }

    /// In parts of some columns: for each part all rows are read and their values transposed.
    fn write_transposed<W: Weights>(
        &self,
        weights: &W,
        float: Float,
        out: &mut dyn Write,
    ) -> Result<(), WriteError<W::Error>> {
        let (n_rows, n_columns) = (self.weight.n_rows(), self.weight.row_len());
        let per_part = (PART_VALUES / n_rows.max(1)).clamp(1, n_columns.max(1));
        let size = float.size();
        let mut values = Vec::new();
        for start in (0..n_columns).step_by(per_part) {
            let columns = start..n_columns.min(start + per_part);
            let mut part = vec![0; columns.len() * n_rows * size];
            for rows in self.row_blocks() {
                self.read(weights, rows.clone(), &mut values)?;
                self.check(float, &values)?;
                for (place, column) in columns.clone().enumerate() {
                    for (idx, row) in rows.clone().enumerate() {
                        let at = (place * n_rows + row) * size;
                        let value = values[idx * n_columns + column];
                        float.put(value, &mut part[at..at + size]);
                    }
                }
            }
            out.write_all(&part)?;
        }
        Ok(())
    }

    fn row_blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let n_rows = self.weight.n_rows();
        let per_block = (BLOCK_VALUES / self.weight.row_len().max(1)).max(1);
        let blocks = (0..n_rows).step_by(per_block);
        blocks.map(move |start| start..n_rows.min(start + per_block))
    }

    fn read<W: Weights>(
        &self,
        weights: &W,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), WriteError<W::Error>> {
        values.clear();
        let n_values = rows.len() * self.weight.row_len();
        let read = weights.read_rows(&self.weight, rows, values);
        read.map_err(WriteError::Weights)?;
        assert_eq!(values.len(), n_values, "values of {}", self.weight.name);
        Ok(())
    }

    fn check<E>(&self, float: Float, values: &[f32]) -> Result<(), WriteError<E>> {
        match values.iter().find(|value| !float.holds(**value)) {
            None => Ok(()),
            Some(&value) => Err(WriteError::TooLarge {
                name: self.weight.name.clone(),
                value,
            }),
        }
    }
}

/// Number of blocks of a row of this length.
pub(super) fn n_int8_blocks(row_len: usize) -> usize {
    row_len.div_ceil(INT8_BLOCK)
}

fn put_all(bytes: &mut Vec<u8>, float: Float, values: impl Iterator<Item = f32>) {
    let size = float.size();
    for value in values {
        let start = bytes.len();
        bytes.resize(start + size, 0);
        float.put(value, &mut bytes[start..]);
    }
}

fn put_int8(bytes: &mut Vec<u8>, values: &[f32], row_len: usize) {
    for block in values
        .chunks_exact(row_len)
        .flat_map(|row| row.chunks(INT8_BLOCK))
    {
        let scale = int8_scale(block);
        let code = |value: &f32| match scale > 0.0 {
            // Clamped, since a scale that was rounded down may give a little more than the maximum.
            true => (value / scale).round().clamp(-INT8_MAX, INT8_MAX) + INT8_ZERO,
            false => INT8_ZERO,
        };
        bytes.extend(block.iter().map(|value| code(value) as u8));
        let n_missing = INT8_BLOCK - block.len();
        bytes.extend(std::iter::repeat_n(INT8_ZERO as u8, n_missing));
    }
}

fn put_scales(bytes: &mut Vec<u8>, values: &[f32], row_len: usize) {
    let blocks = values.chunks_exact(row_len);
    let scales = blocks.flat_map(|row| row.chunks(INT8_BLOCK).map(int8_scale));
    put_all(bytes, Float::F32, scales);
}

fn int8_scale(block: &[f32]) -> f32 {
    let largest = block
        .iter()
        .fold(0.0_f32, |max, value| max.max(value.abs()));
    largest / INT8_MAX
}
