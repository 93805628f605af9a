//! Tensors by name in one file: 8 bytes of header length, a JSON header, the values.
//!
//! The format is that of the `safetensors` crate, which reads the header here. Files are mapped and
//! decoded tensor by tensor, and written in one pass with a running hash, so that neither keeps a
//! second copy of the weights. Values are finite on both sides of the file.

use super::ExportError;
use super::file::check_is_there;
use super::until::Until;
use crate::interrupt::Interrupt;
use crate::storage::{FileHash, Partial, Sealed};
use crate::train::model::{ParamLayout, Params};
use crate::train::tensor::TensorSlot;
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Without this, transformers takes a file for another framework's.
const METADATA: [(&str, &str); 1] = [("format", "pt")];
/// Values converted at a time.
const BLOCK: usize = 16 * 1024;
/// Bytes of the header's length.
const LENGTH_BYTES: usize = 8;
/// The data begins at a multiple of this, so that it can be used in place.
const ALIGNMENT: usize = 8;

/// A tensor to write.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tensor<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Its dims, row-major.
    pub shape: &'a [usize],
    /// Its values, as many as the dims say.
    pub values: &'a [f32],
}

/// A tensor to read, and where to.
#[derive(Debug, PartialEq)]
pub struct TensorMut<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Its dims, row-major.
    pub shape: &'a [usize],
    /// Room for its values, as many as the dims say.
    pub values: &'a mut [f32],
}

/// Writes f32 tensors in the given order, instead of whatever has the name `path`, with `metadata`
/// in the header. The bytes depend on nothing but the arguments.
///
/// # Errors
/// I/O; a value that is NaN or infinite ([`ExportError::Tensor`]), of which nothing is then written.
///
/// # Panics
/// If a shape and its number of values differ.
pub fn write_tensors(
    path: &Path,
    tensors: &[Tensor<'_>],
    metadata: &[(&str, &str)],
) -> Result<FileHash, ExportError> {
    let sealed = seal_tensors(path, tensors, metadata, &Interrupt::new())?;
    let hash = sealed.hash.clone();
    sealed.replace()?;
    Ok(hash)
}

/// As [`write_tensors`], up to the point where the file gets its name.
fn seal_tensors(
    path: &Path,
    tensors: &[Tensor<'_>],
    metadata: &[(&str, &str)],
    interrupt: &Interrupt,
) -> Result<Sealed, ExportError> {
    for tensor in tensors {
        let n_values: usize = tensor.shape.iter().product();
        assert_eq!(n_values, tensor.values.len(), "values of {}", tensor.name);
        check_finite(path, tensor.name, 0, tensor.values)?;
    }
    let mut out = Until {
        out: Partial::create(path)?,
        interrupt,
    };
    write_all(&mut out, tensors, metadata)
        .map_err(|source| ExportError::written(path, source, interrupt))?;
    Ok(out.out.seal()?)
}

/// Reads exactly these tensors from a file, which may hold them as f32, f16 or bf16.
///
/// # Errors
/// I/O, a damaged file, a tensor that is missing, foreign, of another shape or of another dtype, a
/// value that is NaN or infinite.
///
/// # Panics
/// If a shape and the room for its values differ.
pub fn read_tensors(path: &Path, into: &mut [TensorMut<'_>]) -> Result<(), ExportError> {
    let file = TensorFile::open(path)?;
    let wanted: BTreeSet<&str> = into.iter().map(|tensor| tensor.name).collect();
    if let Some(foreign) = file.names().iter().find(|name| !wanted.contains(&***name)) {
        return Err(file.foreign(foreign));
    }
    for tensor in into {
        file.read(tensor)?;
    }
    Ok(())
}

/// The file of all parameters, before it gets its name.
pub(super) fn seal_params(
    path: &Path,
    params: &Params,
    interrupt: &Interrupt,
) -> Result<Sealed, ExportError> {
    let tensors = tensors_of(&params.layout, &params.values);
    seal_tensors(path, &tensors, &METADATA, interrupt)
}

fn tensors_of<'a>(layout: &'a ParamLayout, values: &'a [f32]) -> Vec<Tensor<'a>> {
    assert_eq!(values.len(), layout.len, "values of the layout");
    let tensor = |slot: &'a TensorSlot| Tensor {
        name: &slot.name,
        shape: &slot.shape,
        values: &values[slot.range.clone()],
    };
    layout.tensors.iter().map(tensor).collect()
}

/// Reads all parameters of `params`' layout from one file of exactly these.
///
/// # Errors
/// As [`read_tensors`]; the parameters are then partly read.
pub fn read_params(path: &Path, params: &mut Params) -> Result<(), ExportError> {
    read_tensors(path, &mut slices_of(&params.layout, &mut params.values))
}

/// The flat buffer cut into its tensors.
pub(super) fn slices_of<'a>(layout: &'a ParamLayout, values: &'a mut [f32]) -> Vec<TensorMut<'a>> {
    assert_eq!(values.len(), layout.len, "values of the layout");
    let mut rest = values;
    let cut = |slot: &'a TensorSlot| {
        let (values, behind) = std::mem::take(&mut rest).split_at_mut(slot.range.len());
        rest = behind;
        TensorMut {
            name: &slot.name,
            shape: &slot.shape,
            values,
        }
    };
    layout.tensors.iter().map(cut).collect()
}

/// Appends the values of some little-endian bytes.
type Decode = fn(&[u8], &mut Vec<f32>);

/// A mapped file of tensors.
pub(super) struct TensorFile {
    pub(super) path: PathBuf,
    map: Mmap,
    metadata: Metadata,
    data_start: usize,
}

impl TensorFile {
    /// Maps the file and checks its header: every tensor lies inside, without gaps.
    pub(super) fn open(path: &Path) -> Result<Self, ExportError> {
        check_is_there(path)?;
        let open = || {
            let file = File::open(path)?;
            // SAFETY: the map is only read, and values are checked as they are decoded, so that
            // bytes which another process changes meanwhile are other values at worst. Truncating
            // a file under the map is fatal to the process (SIGBUS): that nobody does so while a
            // model is read is the condition of this room.
            unsafe { Mmap::map(&file) }
        };
        let map = open().map_err(|source| ExportError::io("read", path, source))?;
        let (header_len, metadata) =
            SafeTensors::read_metadata(&map).map_err(|error| ExportError::NotSafetensors {
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

    /// The tensors' names, in the order of their data.
    pub(super) fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// Values of all tensors.
    pub(super) fn n_values(&self) -> u128 {
        let infos = self.metadata.tensors().into_values();
        let n_values =
            infos.map(|info| info.shape.iter().map(|&dim| dim as u128).product::<u128>());
        n_values.sum()
    }

    /// Refuses tensors that are not of a dtype that is read, before their number is taken for that
    /// of a model's parameters.
    pub(super) fn check_dtypes(&self) -> Result<(), ExportError> {
        for name in self.names() {
            if let Some(info) = self.metadata.info(&name) {
                self.decoder_of(&name, info.dtype)?;
            }
        }
        Ok(())
    }

    /// Decodes one tensor into its place.
    pub(super) fn read(&self, into: &mut TensorMut<'_>) -> Result<(), ExportError> {
        let n_values: usize = into.shape.iter().product();
        assert_eq!(n_values, into.values.len(), "room for {}", into.name);
        self.for_each_block(into.name, into.shape, |offset, block| {
            into.values[offset..offset + block.len()].copy_from_slice(block);
            Ok(())
        })
    }

    /// Calls `visit` with the values of one tensor, a block at a time, and where each begins.
    pub(super) fn for_each_block(
        &self,
        name: &str,
        shape: &[usize],
        mut visit: impl FnMut(usize, &[f32]) -> Result<(), ExportError>,
    ) -> Result<(), ExportError> {
        let info = self.info(name, shape)?;
        let (start, end) = info.data_offsets;
        let bytes = &self.map[self.data_start + start..self.data_start + end];
        let decode = self.decoder_of(name, info.dtype)?;
        let value_bytes = info.dtype.bitsize() / 8;
        let mut values = Vec::with_capacity(BLOCK);
        for (block_idx, block) in bytes.chunks(BLOCK * value_bytes).enumerate() {
            values.clear();
            decode(block, &mut values);
            check_finite(&self.path, name, block_idx * BLOCK, &values)?;
            visit(block_idx * BLOCK, &values)?;
        }
        Ok(())
    }

    fn info(&self, name: &str, shape: &[usize]) -> Result<&TensorInfo, ExportError> {
        let expected = || format!("one of shape {shape:?}");
        let Some(info) = self.metadata.info(name) else {
            let remedy = match name {
                "lm_head.weight" => {
                    "set tie_word_embeddings to true if the embedding is also the output layer"
                }
                _ => "the file belongs to another model, or was not written completely",
            };
            return Err(self.refusal(name, expected(), "none".to_owned(), remedy));
        };
        if info.shape != shape {
            let remedy = "weights and configuration must belong to the same model";
            return Err(self.refusal(name, expected(), format!("{:?}", info.shape), remedy));
        }
        Ok(info)
    }

    fn decoder_of(&self, name: &str, dtype: Dtype) -> Result<Decode, ExportError> {
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

    /// A tensor that the model has no place for.
    pub(super) fn foreign(&self, name: &str) -> ExportError {
        let (expected, remedy) = if is_of_quantization(name) {
            (
                "weights that are not quantized",
                "use the model's unquantized weights",
            )
        } else if name.ends_with(".bias") {
            (
                "no biases",
                "the trainer has none: choose a model without them",
            )
        } else {
            (
                "only the tensors of a LlamaForCausalLM of this configuration",
                "the file belongs to another model, or to more layers than the configuration has",
            )
        };
        let shape = self.metadata.info(name).map(|info| &info.shape);
        let got = format!("one of shape {:?}", shape.unwrap_or(&Vec::new()));
        self.refusal(name, expected.to_owned(), got, remedy)
    }

    pub(super) fn refusal(
        &self,
        name: &str,
        expected: String,
        got: String,
        remedy: &'static str,
    ) -> ExportError {
        ExportError::Tensor {
            path: self.path.clone(),
            name: name.to_owned(),
            expected,
            got,
            remedy,
        }
    }
}

/// What GPTQ, AWQ, compressed-tensors, bitsandbytes and FP8 keep beside weights, or in their place.
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

fn decode<const N: usize>(bytes: &[u8], out: &mut Vec<f32>, value: impl Fn([u8; N]) -> f32) {
    let (values, rest) = bytes.as_chunks::<N>();
    debug_assert!(rest.is_empty(), "the header's offsets were checked");
    out.extend(values.iter().map(|&bytes| value(bytes)));
}

fn check_finite(path: &Path, name: &str, start: usize, values: &[f32]) -> Result<(), ExportError> {
    let Some(idx) = values.iter().position(|value| !value.is_finite()) else {
        return Ok(());
    };
    Err(ExportError::Tensor {
        path: path.to_owned(),
        name: name.to_owned(),
        expected: "finite values".to_owned(),
        got: format!("{} at value {}", values[idx], start + idx),
        remedy: "the training diverged, or the file is damaged: use an earlier one",
    })
}

fn write_all(
    out: &mut impl Write,
    tensors: &[Tensor<'_>],
    metadata: &[(&str, &str)],
) -> io::Result<()> {
    let header = header_of(tensors, metadata)?;
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let mut bytes = Vec::with_capacity(4 * BLOCK);
    for block in tensors
        .iter()
        .flat_map(|tensor| tensor.values.chunks(BLOCK))
    {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|value| value.to_le_bytes()));
        out.write_all(&bytes)?;
    }
    Ok(())
}

/// The JSON header, padded with spaces so that the data behind it is aligned.
fn header_of(tensors: &[Tensor<'_>], metadata: &[(&str, &str)]) -> io::Result<String> {
    let mut entries = Vec::new();
    if !metadata.is_empty() {
        let pairs: std::collections::BTreeMap<_, _> = metadata.iter().copied().collect();
        entries.push(format!(
            "\"__metadata__\":{}",
            serde_json::to_string(&pairs)?
        ));
    }
    let mut offset = 0;
    for tensor in tensors {
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.shape.to_vec(),
            data_offsets: (offset, offset + 4 * tensor.values.len()),
        };
        offset = info.data_offsets.1;
        let (name, info) = (
            serde_json::to_string(tensor.name)?,
            serde_json::to_string(&info)?,
        );
        entries.push(format!("{name}:{info}"));
    }
    let mut header = format!("{{{}}}", entries.join(","));
    let padded = header.len().next_multiple_of(ALIGNMENT);
    header.extend(std::iter::repeat_n(' ', padded - header.len()));
    Ok(header)
}

#[cfg(test)]
mod tests;
