//! From a builder to bytes: small parts in memory, weights streamed.

use super::graph::ModelBuilder;
use super::tensor::{DataSource, Initializer, no_source};
use crate::onnx::error::OnnxError;
use crate::onnx::proto::{OperatorSetIdProto, StringEntryProto, ValueInfoProto};
use crate::onnx::wire::{put_bytes, put_length_prefix, put_message, put_varint, varint_len};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

/// IR version 8 goes with opset 17.
const IR_VERSION: u64 = 8;

/// Tensors of at least this size go to the external file; smaller ones may be shape constants, which ONNX
/// Runtime needs inline.
const EXTERNAL_MIN_BYTES: u64 = 1024;

/// External tensors are page-aligned, so that they can be mapped.
const EXTERNAL_ALIGNMENT: u64 = 4096;

impl ModelBuilder {
    /// Writes the model as one file.
    pub fn write(&self, path: &Path) -> Result<(), OnnxError> {
        write_file(path, |out| self.write_to(out))
    }

    /// Writes the model to `out`, weights inline.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.write_from(&no_source, out)
    }

    /// As [`write_to`](Self::write_to), taking [`TensorData::Later`](super::TensorData::Later) from `source`.
    pub(crate) fn write_from(
        &self,
        source: DataSource<'_>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let tensors = self.initializers.iter().map(inline).collect();
        self.write_model(tensors, source, out)
    }

    /// Writes the model without its larger tensors, which [`write_data_from`](Self::write_data_from) writes to
    /// a file `data_name` next to it. `source` provides weights that the builder does not hold.
    pub(crate) fn write_external_from(
        &self,
        source: DataSource<'_>,
        data_name: &str,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let mut offsets = self.placed().into_iter().map(|(offset, _)| offset);
        let mut encode = |tensor| match is_external(tensor) {
            true => offsets
                .next()
                .map(|offset| external(tensor, data_name, offset)),
            false => Some(inline(tensor)),
        };
        let tensors = self.initializers.iter().filter_map(&mut encode).collect();
        self.write_model(tensors, source, out)
    }

    /// Writes the larger tensors, page-aligned.
    pub(crate) fn write_data_from(
        &self,
        source: DataSource<'_>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        write_placed(&self.placed(), source, out)
    }

    /// The tensors of the external file and their offsets.
    fn placed(&self) -> Vec<(u64, &Initializer)> {
        let mut end = 0u64;
        let place = |tensor| {
            let offset = end.next_multiple_of(EXTERNAL_ALIGNMENT);
            end = offset + Initializer::n_bytes(tensor);
            (offset, tensor)
        };
        self.initializers
            .iter()
            .filter(|tensor| is_external(tensor))
            .map(place)
            .collect()
    }

    /// The whole file in memory, weights inline, for small models.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write_to(&mut bytes)
            .expect("writing to memory does not fail");
        bytes
    }

    fn write_model(
        &self,
        tensors: Vec<EncodedTensor<'_>>,
        source: DataSource<'_>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let (head, tail) = (self.graph_head(), self.graph_tail());
        let tensors_len: u64 = tensors.iter().map(EncodedTensor::field_len).sum();
        let mut model_head = Vec::new();
        put_varint(&mut model_head, 1 << 3);
        put_varint(&mut model_head, IR_VERSION);
        put_bytes(&mut model_head, 2, b"saltworks");
        let graph_len = head.len() as u64 + tensors_len + tail.len() as u64;
        put_length_prefix(&mut model_head, 7, graph_len);
        out.write_all(&model_head)?;
        out.write_all(&head)?;
        for tensor in &tensors {
            tensor.write(source, out)?;
        }
        out.write_all(&tail)?;
        out.write_all(&self.opset_fields())
    }

    /// Nodes and name.
    fn graph_head(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for node in &self.nodes {
            put_message(&mut bytes, 1, node);
        }
        put_bytes(&mut bytes, 2, self.name.as_bytes());
        bytes
    }

    /// Inputs and outputs.
    fn graph_tail(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (field, infos) in [(11, &self.inputs), (12, &self.outputs)] {
            for info in infos {
                put_message(&mut bytes, field, &ValueInfoProto::from_info(info));
            }
        }
        bytes
    }

    fn opset_fields(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for import in &self.opset {
            let proto = OperatorSetIdProto {
                domain: import.domain.clone(),
                version: import.version,
            };
            put_message(&mut bytes, 8, &proto);
        }
        bytes
    }
}

fn is_external(tensor: &Initializer) -> bool {
    tensor.n_bytes() >= EXTERNAL_MIN_BYTES
}

/// A `TensorProto`: its small fields encoded, and the tensor whose data follows them, if inline.
struct EncodedTensor<'a> {
    head: Vec<u8>,
    data: Option<&'a Initializer>,
}

impl EncodedTensor<'_> {
    fn len(&self) -> u64 {
        self.head.len() as u64 + self.data.map_or(0, Initializer::n_bytes)
    }

    /// Length including its key and length prefix in the graph.
    fn field_len(&self) -> u64 {
        1 + varint_len(self.len()) + self.len()
    }

    fn write(&self, source: DataSource<'_>, out: &mut impl Write) -> io::Result<()> {
        let mut prefix = Vec::new();
        put_length_prefix(&mut prefix, 5, self.len());
        out.write_all(&prefix)?;
        out.write_all(&self.head)?;
        self.data
            .map_or(Ok(()), |tensor| tensor.write_data(source, out))
    }
}

fn inline(tensor: &Initializer) -> EncodedTensor<'_> {
    let mut head = tensor_fields(tensor);
    put_length_prefix(&mut head, 9, tensor.n_bytes());
    EncodedTensor {
        head,
        data: Some(tensor),
    }
}

fn external<'a>(tensor: &'a Initializer, data_name: &str, offset: u64) -> EncodedTensor<'a> {
    let mut head = tensor_fields(tensor);
    let entries = [
        ("location", data_name.to_owned()),
        ("offset", offset.to_string()),
        ("length", tensor.n_bytes().to_string()),
    ];
    for (key, value) in entries {
        let entry = StringEntryProto {
            key: key.to_owned(),
            value,
        };
        put_message(&mut head, 13, &entry);
    }
    // data_location = EXTERNAL
    put_varint(&mut head, 14 << 3);
    put_varint(&mut head, 1);
    EncodedTensor { head, data: None }
}

fn tensor_fields(tensor: &Initializer) -> Vec<u8> {
    let mut head = Vec::new();
    for dim in &tensor.dims {
        put_varint(&mut head, 1 << 3);
        put_varint(&mut head, *dim);
    }
    put_varint(&mut head, 2 << 3);
    put_varint(&mut head, tensor.data.dtype().code() as u64);
    put_bytes(&mut head, 8, tensor.name.as_bytes());
    head
}

fn write_placed(
    placed: &[(u64, &Initializer)],
    source: DataSource<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut position = 0;
    for (offset, tensor) in placed {
        out.write_all(&vec![0; (offset - position) as usize])?;
        tensor.write_data(source, out)?;
        position = offset + tensor.n_bytes();
    }
    Ok(())
}

fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), OnnxError> {
    let result = File::create(path).and_then(|file| {
        let mut out = BufWriter::with_capacity(1 << 16, file);
        write(&mut out)?;
        out.flush()
    });
    result.map_err(|source| OnnxError::Io {
        action: "write",
        path: path.to_owned(),
        source,
    })
}
