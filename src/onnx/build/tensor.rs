//! Weights, given or generated while they are written.

use crate::onnx::types::DType;
use crate::splitmix::splitmix64;
use std::io::{self, Write};

/// Values generated at a time.
const BLOCK: u64 = 16 * 1024;

/// The elements of an initializer.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// Little-endian bytes of this dtype.
    Bytes(DType, Vec<u8>),
    /// f32 values of a normal distribution with mean 0; a pure function of the seed and the index.
    Normal {
        /// The seed.
        seed: u64,
        /// Standard deviation.
        std_dev: f32,
    },
    /// The same f32 in every element.
    Fill(f32),
    /// Bytes of this dtype, provided when the model is written: see [`DecoderModel`].
    ///
    /// [`DecoderModel`]: crate::onnx::decoder::DecoderModel
    Later(DType),
}

impl TensorData {
    /// f32 values.
    pub fn f32(values: &[f32]) -> Self {
        Self::Bytes(
            DType::F32,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    /// i32 values.
    pub fn i32(values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        Self::Bytes(DType::I32, bytes.collect())
    }

    /// i64 values.
    pub fn i64(values: &[i64]) -> Self {
        Self::Bytes(
            DType::I64,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    pub(super) fn dtype(&self) -> DType {
        match self {
            Self::Bytes(dtype, _) | Self::Later(dtype) => *dtype,
            Self::Normal { .. } | Self::Fill(_) => DType::F32,
        }
    }
}

/// Provides the bytes of initializers that are [`TensorData::Later`], by name.
pub(crate) type DataSource<'a> = &'a dyn Fn(&str, &mut dyn Write) -> io::Result<()>;

/// The source for a model without [`TensorData::Later`].
pub(super) fn no_source(name: &str, _: &mut dyn Write) -> io::Result<()> {
    Err(io::Error::other(format!(
        "nothing gives initializer {name}"
    )))
}

/// Counts the bytes that pass through.
struct Counted<'a> {
    out: &'a mut dyn Write,
    n_bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.n_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A named tensor of weights.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Initializer {
    pub(super) name: String,
    pub(super) dims: Vec<u64>,
    pub(super) data: TensorData,
}

impl Initializer {
    pub(super) fn new(name: &str, dims: &[u64], data: TensorData) -> Self {
        let tensor = Self {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data,
        };
        if let TensorData::Bytes(_, bytes) = &tensor.data {
            let expected = tensor.n_bytes();
            assert_eq!(
                bytes.len() as u64,
                expected,
                "bytes of initializer {name} {dims:?}"
            );
        }
        tensor
    }

    pub(super) fn n_elements(&self) -> u64 {
        self.dims.iter().product()
    }

    pub(super) fn n_bytes(&self) -> u64 {
        let size = self
            .data
            .dtype()
            .size()
            .expect("the builder makes no dtype without a size");
        self.n_elements() * size
    }

    /// Writes exactly `n_bytes` bytes, taking [`TensorData::Later`] from `source`.
    pub(super) fn write_data(&self, source: DataSource<'_>, out: &mut dyn Write) -> io::Result<()> {
        match &self.data {
            TensorData::Bytes(_, bytes) => out.write_all(bytes),
            TensorData::Later(_) => self.write_later(source, out),
            TensorData::Fill(value) => self.write_values(out, |_| *value),
            TensorData::Normal { seed, std_dev } => {
                self.write_values(out, |idx| normal(*seed, idx) * std_dev)
            }
        }
    }

    fn write_later(&self, source: DataSource<'_>, out: &mut dyn Write) -> io::Result<()> {
        let mut counted = Counted { out, n_bytes: 0 };
        source(&self.name, &mut counted)?;
        match counted.n_bytes == self.n_bytes() {
            true => Ok(()),
            false => Err(io::Error::other(format!(
                "{} bytes of initializer {} {:?}, which has {}",
                counted.n_bytes,
                self.name,
                self.dims,
                self.n_bytes()
            ))),
        }
    }

    fn write_values(&self, out: &mut dyn Write, value: impl Fn(u64) -> f32) -> io::Result<()> {
        let n = self.n_elements();
        let mut bytes = Vec::with_capacity(4 * BLOCK.min(n) as usize);
        for start in (0..n).step_by(BLOCK as usize) {
            bytes.clear();
            let block = start..n.min(start + BLOCK);
            bytes.extend(block.flat_map(|idx| value(idx).to_le_bytes()));
            out.write_all(&bytes)?;
        }
        Ok(())
    }
}

/// The `idx`-th standard normal value of a seed, by the Box-Muller transform.
fn normal(seed: u64, idx: u64) -> f32 {
    let bits = splitmix64(seed ^ splitmix64(idx));
    let unit = |bits: u64| (bits as f32 + 0.5) / (1u64 << 32) as f32;
    let radius = (-2.0 * unit(bits >> 32).ln()).sqrt();
    radius * (std::f32::consts::TAU * unit(bits & 0xffff_ffff)).cos()
}
