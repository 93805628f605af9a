//! Tensors by name in one file: 8 bytes of header length, a JSON header, the values.
//!
//! The format is that of the `safetensors` crate, which reads the header here. Files are mapped, and values are
//! decoded to f32 a block at a time, so that no second copy of the weights is kept. Values must be finite.

use super::PretrainedError;
use super::file::check_usable_file;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Values converted at a time.
const BLOCK: usize = 16 * 1024;
/// Bytes of the header's length.
const LENGTH_BYTES: usize = 8;

/// Appends the values of some little-endian bytes.
type Decode = fn(&[u8], &mut Vec<f32>);

/// A mapped file of tensors.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    map: Mmap,
    metadata: Metadata,
    data_start: usize,
}

impl TensorFile {
    /// Maps the file and checks its header: every tensor lies inside, without gaps.
    ///
    /// # Errors
    /// I/O errors; anything but a complete file of this format.
    pub fn open(path: &Path) -> Result<Self, PretrainedError> {
        check_usable_file(path)?;
        let open = || {
            let file = File::open(path)?;
            // SAFETY: the map is only read, and values are checked as they are decoded, so if another process
            // changes the bytes meanwhile, they are at worst wrong values. Truncating the mapped file would
            // kill this process (SIGBUS): this room relies on no one doing so while a model is read.
            unsafe { Mmap::map(&file) }
        };
        let map = open().map_err(|source| PretrainedError::io("read", path, source))?;
        let (header_len, metadata) =
            SafeTensors::read_metadata(&map).map_err(|error| PretrainedError::NotSafetensors {
                path: path.to_owned(),
                reason: format!("{error}; the file has {} bytes", map.len()),
            })?;
        Ok(Self {
            path: path.to_owned(),
            data_start: LENGTH_BYTES + header_len,
            map,
            metadata,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The tensors' names, in the order of their data.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// The dims of a tensor.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.metadata.info(name).map(|info| &*info.shape)
    }

    /// Values of all tensors.
    pub fn n_values(&self) -> u128 {
        let infos = self.metadata.tensors().into_values();
        let n_values =
            infos.map(|info| info.shape.iter().map(|&dim| dim as u128).product::<u128>());
        n_values.sum()
    }

    /// Refuses tensors of unsupported dtypes, before the number of values is taken for the number of
    /// parameters.
    ///
    /// # Errors
    /// The first such tensor.
    pub fn check_dtypes(&self) -> Result<(), PretrainedError> {
        for name in self.names() {
            if let Some(info) = self.metadata.info(&name) {
                self.decoder_of(&name, info.dtype)?;
            }
        }
        Ok(())
    }

    /// Refuses a tensor that is missing or of another shape.
    ///
    /// # Errors
    /// Such a tensor, with a remedy.
    pub fn check_shape(&self, name: &str, shape: &[usize]) -> Result<(), PretrainedError> {
        self.info(name, shape).map(|_| ())
    }

    /// Appends the values in `range` of a tensor, in storage order, to `values`.
    ///
    /// # Errors
    /// A tensor that is missing or of another shape or dtype; a value that is not finite.
    ///
    /// # Panics
    /// If the range extends past the tensor.
    pub fn append(
        &self,
        name: &str,
        shape: &[usize],
        range: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), PretrainedError> {
        let info = self.info(name, shape)?;
        let (start, end) = info.data_offsets;
        let value_bytes = info.dtype.bitsize() / 8;
        let decode = self.decoder_of(name, info.dtype)?;
        let bytes = &self.map[self.data_start + start..self.data_start + end];
        let n_before = values.len();
        decode(
            &bytes[range.start * value_bytes..range.end * value_bytes],
            values,
        );
        self.check_finite(name, range.start, &values[n_before..])
    }

    /// Calls `visit` with the values of one tensor, a block at a time, and the index where each block begins.
    ///
    /// # Errors
    /// As [`append`](Self::append), and those of `visit`.
    pub fn for_each_block<E: From<PretrainedError>>(
        &self,
        name: &str,
        shape: &[usize],
        mut visit: impl FnMut(usize, &[f32]) -> Result<(), E>,
    ) -> Result<(), E> {
        let n_values: usize = self.info(name, shape)?.shape.iter().product();
        let mut values = Vec::with_capacity(BLOCK.min(n_values));
        for start in (0..n_values).step_by(BLOCK) {
            values.clear();
            self.append(name, shape, start..n_values.min(start + BLOCK), &mut values)?;
            visit(start, &values)?;
        }
        Ok(())
    }

    fn info(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo, PretrainedError> {
        let expected = || format!("one of shape {shape:?}");
        let Some(info) = self.metadata.info(name) else {
            let remedy = match name {
                "lm_head.weight" => "set tie_word_embeddings to true if the embedding is the head",
                _ => "the file belongs to another model, or was not written completely",
            };
            return Err(self.refusal(name, expected(), "none".to_owned(), remedy));
        };
        if info.shape != shape {
            let remedy = "weights and configuration must be of the same model";
            return Err(self.refusal(name, expected(), format!("{:?}", info.shape), remedy));
        }
        Ok(info)
    }

    fn decoder_of(&self, name: &str, dtype: Dtype) -> Result<Decode, PretrainedError> {
        match dtype {
            Dtype::F32 => Ok(|bytes, out| decode(bytes, out, f32::from_le_bytes)),
            Dtype::F16 => Ok(|bytes, out| decode(bytes, out, |b| f16::from_le_bytes(b).into())),
            Dtype::BF16 => Ok(|bytes, out| decode(bytes, out, |b| bf16::from_le_bytes(b).into())),
            other => {
                let expected = "dtype F32, F16 or BF16".to_owned();
                let remedy = "this dtype is not supported (a quantized model?): save the model in one of these";
                Err(self.refusal(name, expected, other.to_string(), remedy))
            }
        }
    }

    fn check_finite(
        &self,
        name: &str,
        start: usize,
        values: &[f32],
    ) -> Result<(), PretrainedError> {
        let Some(idx) = values.iter().position(|value| !value.is_finite()) else {
            return Ok(());
        };
        let got = format!("{} at value {}", values[idx], start + idx);
        let remedy =
            "the training that made it diverged, or the file is damaged: use an earlier one";
        Err(self.refusal(name, "finite values".to_owned(), got, remedy))
    }

    /// The error for a tensor that a model of `architecture` does not have.
    pub fn foreign(&self, name: &str, architecture: &str) -> PretrainedError {
        let (expected, remedy) = if is_of_quantization(name) {
            (
                "weights that are not quantized".to_owned(),
                "use the model's unquantized weights",
            )
        } else if is_of_adapter(name) {
            (
                "weights without adapters".to_owned(),
                "merge the adapter into its base model (PEFT: merge_and_unload), and save that",
            )
        } else if name.ends_with(".bias") {
            (
                format!("no such bias in a {architecture} of this configuration"),
                "weights and configuration must be of the same model",
            )
        } else {
            (
                format!("only the tensors of a {architecture} of this configuration"),
                "the file belongs to another model, or has more layers than the configuration",
            )
        };
        let got = format!("one of shape {:?}", self.shape(name).unwrap_or_default());
        self.refusal(name, expected, got, remedy)
    }

    /// The refusal of a tensor.
    pub fn refusal(
        &self,
        name: &str,
        expected: String,
        got: String,
        remedy: &'static str,
    ) -> PretrainedError {
        PretrainedError::Tensor {
            path: self.path.clone(),
            name: name.to_owned(),
            expected,
            got,
            remedy,
        }
    }
}

/// Tensors that GPTQ, AWQ, compressed-tensors, bitsandbytes and FP8 store with or instead of weights.
fn is_of_quantization(name: &str) -> bool {
    const LAST: [&str; 15] = [
        "qweight",
        "qzeros",
        "scales",
        "g_idx",
        "biases",
        "weight_packed",
        "weight_shape",
        "weight_zero_point",
        "weight_scale",
        "weight_scale_inv",
        "weight_scale_2",
        "input_scale",
        "SCB",
        "absmax",
        "quant_map",
    ];
    let is_nested = name.contains(".absmax") || name.contains(".quant_state");
    let last = name.rsplit('.').next().unwrap_or(name);
    is_nested || LAST.contains(&last)
}

/// Tensors that PEFT stores with weights.
fn is_of_adapter(name: &str) -> bool {
    name.contains(".lora_A.") || name.contains(".lora_B.") || name.contains(".base_layer.")
}

fn decode<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, value: impl Fn([u8; N]) -> f32) {
    let (values, rest) = bytes.as_chunks::<N>();
    debug_assert!(rest.is_empty(), "the header's offsets were checked");
    out.extend(values.iter().map(|&bytes| value(bytes)));
}
