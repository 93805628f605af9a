//! Tensors by name in one file: 8 bytes of header length, a JSON header, the values.
//!
//! [`TensorFile`] reads it. It is written in one pass with a running hash, so that neither side keeps a second
//! copy of the weights. Values are checked to be finite both when written and when read.

use super::ExportError;
use super::config::ARCHITECTURE;
use crate::interrupt::{Interrupt, InterruptibleWriter};
use crate::pretrained::{PretrainedError, TensorFile};
use crate::storage::{FileHash, Partial, Sealed};
use crate::train::model::{ParamLayout, Params};
use safetensors::tensor::{Dtype, TensorInfo};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

/// Without this, transformers assumes that the file is another framework's.
const METADATA: [(&str, &str); 1] = [("format", "pt")];
/// Values converted at a time.
const BLOCK: usize = 16 * 1024;
/// Alignment of the data, so that it can be used in place.
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

/// A tensor to read, and its destination.
#[derive(Debug, PartialEq)]
pub struct TensorMut<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Its dims, row-major.
    pub shape: &'a [usize],
    /// Destination of its values, as many as the dims say.
    pub values: &'a mut [f32],
}

/// Writes f32 tensors in the given order, replacing any file at `path`, with `metadata` in the header. The
/// bytes depend only on the arguments.
///
/// # Errors
/// I/O errors; a value that is not finite ([`PretrainedError::Tensor`]), in which case nothing is written.
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

/// As [`write_tensors`], but without renaming the file into place.
fn seal_tensors(
    path: &Path,
    tensors: &[Tensor<'_>],
    metadata: &[(&str, &str)],
    interrupt: &Interrupt,
) -> Result<Sealed, ExportError> {
    for tensor in tensors {
        let n_values: usize = tensor.shape.iter().product();
        assert_eq!(n_values, tensor.values.len(), "values of {}", tensor.name);
        check_finite(path, tensor.name, tensor.values)?;
    }
    let mut out = InterruptibleWriter {
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
/// I/O errors, a damaged file, a tensor that is missing, foreign, of another shape or of another dtype, a value
/// that is not finite.
///
/// # Panics
/// If a shape and the room for its values differ.
pub fn read_tensors(path: &Path, into: &mut [TensorMut<'_>]) -> Result<(), ExportError> {
    let file = TensorFile::open(path)?;
    let wanted: BTreeSet<&str> = into.iter().map(|tensor| tensor.name).collect();
    if let Some(foreign) = file.names().iter().find(|name| !wanted.contains(&***name)) {
        return Err(file.foreign(foreign, ARCHITECTURE).into());
    }
    for tensor in into {
        read_into(&file, tensor)?;
    }
    Ok(())
}

/// The file of all parameters, not yet renamed into place.
pub(super) fn seal_params(
    path: &Path,
    params: &Params,
    interrupt: &Interrupt,
) -> Result<Sealed, ExportError> {
    let names = names_of(&params.layout);
    let tensors: Vec<_> = tensors_of(&params.layout, &names, &params.values).collect();
    seal_tensors(path, &tensors, &METADATA, interrupt)
}

/// The flat buffer split into tensors, each with the name at its index in the layout.
pub(in crate::train) fn tensors_of<'a>(
    layout: &'a ParamLayout,
    names: &'a [String],
    values: &'a [f32],
) -> impl Iterator<Item = Tensor<'a>> {
    assert_eq!(values.len(), layout.len, "values of the layout");
    let slots = std::iter::zip(&layout.tensors, names);
    slots.map(|(slot, name)| Tensor {
        name,
        shape: &slot.shape,
        values: &values[slot.range.clone()],
    })
}

/// Reads all parameters of `params`' layout from one file with exactly these tensors.
///
/// # Errors
/// As [`read_tensors`]; the parameters are then partly read.
pub fn read_params(path: &Path, params: &mut Params) -> Result<(), ExportError> {
    let names = names_of(&params.layout);
    let mut slices: Vec<_> = slices_of(&params.layout, &names, &mut params.values).collect();
    read_tensors(path, &mut slices)
}

/// [`tensors_of`] as destinations.
pub(in crate::train) fn slices_of<'a>(
    layout: &'a ParamLayout,
    names: &'a [String],
    values: &'a mut [f32],
) -> impl Iterator<Item = TensorMut<'a>> {
    assert_eq!(values.len(), layout.len, "values of the layout");
    let mut rest = values;
    std::iter::zip(&layout.tensors, names).map(move |(slot, name)| {
        let (values, behind) = std::mem::take(&mut rest).split_at_mut(slot.range.len());
        rest = behind;
        TensorMut {
            name,
            shape: &slot.shape,
            values,
        }
    })
}

fn names_of(layout: &ParamLayout) -> Vec<String> {
    layout
        .tensors
        .iter()
        .map(|slot| slot.name.clone())
        .collect()
}

/// Decodes one tensor into its destination.
fn read_into(file: &TensorFile, into: &mut TensorMut<'_>) -> Result<(), PretrainedError> {
    let n_values: usize = into.shape.iter().product();
    assert_eq!(n_values, into.values.len(), "room for {}", into.name);
    file.for_each_block(into.name, into.shape, |start, block| {
        into.values[start..start + block.len()].copy_from_slice(block);
        Ok(())
    })
}

fn check_finite(path: &Path, name: &str, values: &[f32]) -> Result<(), PretrainedError> {
    let Some(idx) = values.iter().position(|value| !value.is_finite()) else {
        return Ok(());
    };
    Err(PretrainedError::Tensor {
        path: path.to_owned(),
        name: name.to_owned(),
        expected: "finite values".to_owned(),
        got: format!("{} at value {}", values[idx], idx),
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

/// The JSON header, padded with spaces so that the data after it is aligned.
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
