//! One pass over a model's bytes that collects everything except the weights.

use super::proto::{OperatorSetIdProto, StringEntryProto, ValueInfoProto};
use super::types::{DType, OpsetImport, TensorInfo};
use super::wire::{Fields, WireFault, WireValue};
use prost::Message;
use std::collections::HashSet;

/// Subgraphs (`If`, `Loop` bodies) nest in attributes; real models stay below five.
pub(super) const MAX_DEPTH: u32 = 32;

/// What the file declares, without its tensors' contents.
#[derive(Debug, Default)]
pub(super) struct Outline {
    pub(super) ir_version: i64,
    pub(super) producer: String,
    pub(super) opset: Vec<OpsetImport>,
    /// Whether there was a `graph` field at all.
    pub(super) has_graph: bool,
    pub(super) n_nodes: u64,
    /// Whether some node derives a scale from all values of its input.
    pub(super) scales_by_batch: bool,
    /// Whether some tensor is float16 or bfloat16.
    pub(super) has_half_precision: bool,
    /// Operators that draw random numbers, without duplicates.
    pub(super) random_nodes: Vec<String>,
    /// Pasts that are window-sized buffers.
    pub(super) window_caches: Vec<WindowCache>,
    pub(super) inputs: Vec<TensorInfo>,
    pub(super) outputs: Vec<TensorInfo>,
    /// Older files also list every initializer as an input; those need not be fed.
    pub(super) initializer_names: HashSet<String>,
    pub(super) external: Vec<ExternalTensor>,
}

/// Operators that quantise by the range of a whole tensor, so that a row's results depend on its batch.
const DYNAMIC_QUANTIZERS: [&[u8]; 3] = [
    b"DynamicQuantizeLinear",
    b"DynamicQuantizeMatMul",
    b"DynamicQuantizeLSTM",
];

/// Operators with random results.
const RANDOM_OPERATORS: [&[u8]; 6] = [
    b"RandomNormal",
    b"RandomNormalLike",
    b"RandomUniform",
    b"RandomUniformLike",
    b"Multinomial",
    b"Bernoulli",
];

/// A past that is a buffer as long as its operator's attention window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WindowCache {
    /// Name of the tensor that the operator takes as past key or value.
    pub(super) past: String,
    /// Positions that the buffer must hold.
    pub(super) window: u64,
}

/// A tensor whose bytes are in another file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ExternalTensor {
    pub(super) name: String,
    pub(super) location: String,
    pub(super) offset: Option<String>,
    pub(super) length: Option<String>,
    /// From dims and dtype; `None` where that is unknown or overflows.
    pub(super) expected_bytes: Option<u64>,
}

impl Outline {
    fn add_random_node(&mut self, op_type: &[u8]) {
        let name = String::from_utf8_lossy(op_type).into_owned();
        if !self.random_nodes.contains(&name) {
            self.random_nodes.push(name);
        }
    }
}

/// Walks a whole `ModelProto`.
pub(super) fn walk_model(bytes: &[u8]) -> Result<Outline, WireFault> {
    let mut outline = Outline::default();
    for field in Fields::new(bytes) {
        match field? {
            (1, WireValue::Varint(version)) => outline.ir_version = version as i64,
            (2, WireValue::Bytes(name)) => {
                outline.producer = String::from_utf8_lossy(name).into_owned();
            }
            (7, WireValue::Bytes(graph)) => {
                outline.has_graph = true;
                walk_graph(graph, 0, &mut outline)?;
            }
            (8, WireValue::Bytes(opset)) => outline.opset.push(decode_opset(opset)?),
            _ => {}
        }
    }
    Ok(outline)
}

/// Only the outermost graph (depth 0) declares the model's inputs and outputs.
fn walk_graph(bytes: &[u8], depth: u32, outline: &mut Outline) -> Result<(), WireFault> {
    if depth > MAX_DEPTH {
        return Err(WireFault::Malformed);
    }
    for field in Fields::new(bytes) {
        match field? {
            (1, WireValue::Bytes(node)) => {
                outline.n_nodes += 1;
                walk_node(node, depth, outline)?;
            }
            (5, WireValue::Bytes(tensor)) => {
                let name = walk_tensor(tensor, outline)?;
                outline.initializer_names.insert(name);
            }
            (11, WireValue::Bytes(value)) if depth == 0 => {
                outline.inputs.push(decode_value_info(value)?);
            }
            (12, WireValue::Bytes(value)) if depth == 0 => {
                outline.outputs.push(decode_value_info(value)?);
            }
            // Field 15: sparse initializers, whose name is in their values tensor.
            (15, WireValue::Bytes(sparse)) => {
                for part in Fields::new(sparse) {
                    if let (1 | 2, WireValue::Bytes(tensor)) = part? {
                        let name = walk_tensor(tensor, outline)?;
                        outline.initializer_names.insert(name);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn walk_node(bytes: &[u8], depth: u32, outline: &mut Outline) -> Result<(), WireFault> {
    let mut node = Node::default();
    for field in Fields::new(bytes) {
        match field? {
            (1, WireValue::Bytes(input)) => node.inputs.push(input),
            (4, WireValue::Bytes(op_type)) => node.op_type = op_type,
            (5, WireValue::Bytes(attribute)) => {
                walk_attribute(attribute, depth, outline)?;
                node.note_attribute(attribute)?;
            }
            _ => {}
        }
    }
    outline.scales_by_batch |= DYNAMIC_QUANTIZERS.contains(&node.op_type);
    if RANDOM_OPERATORS.contains(&node.op_type) {
        outline.add_random_node(node.op_type);
    }
    outline.window_caches.extend(node.window_caches());
    Ok(())
}

/// The parts of a node that are read.
#[derive(Default)]
struct Node<'a> {
    op_type: &'a [u8],
    inputs: Vec<&'a [u8]>,
    local_window_size: i64,
    sliding_window_cache: i64,
}

impl<'a> Node<'a> {
    /// Inputs of `GroupQueryAttention` that are past key and value.
    const PAST_INPUTS: std::ops::Range<usize> = 3..5;

    fn note_attribute(&mut self, bytes: &[u8]) -> Result<(), WireFault> {
        let (mut name, mut value) = (&b""[..], 0);
        for field in Fields::new(bytes) {
            match field? {
                (1, WireValue::Bytes(bytes)) => name = bytes,
                (3, WireValue::Varint(int)) => value = int as i64,
                _ => {}
            }
        }
        match name {
            b"local_window_size" => self.local_window_size = value,
            b"sliding_window_cache" => self.sliding_window_cache = value,
            _ => {}
        }
        Ok(())
    }

    fn window_caches(&self) -> impl Iterator<Item = WindowCache> + use<'a, '_> {
        let is_windowed = self.op_type == b"GroupQueryAttention" && self.sliding_window_cache == 1;
        let window = u64::try_from(self.local_window_size).unwrap_or(0);
        let pasts = self.inputs.iter().enumerate();
        pasts
            .filter(move |(i, _)| is_windowed && Self::PAST_INPUTS.contains(i))
            .map(move |(_, past)| WindowCache {
                past: String::from_utf8_lossy(past).into_owned(),
                window,
            })
    }
}

fn walk_attribute(bytes: &[u8], depth: u32, outline: &mut Outline) -> Result<(), WireFault> {
    for field in Fields::new(bytes) {
        match field? {
            (5 | 10, WireValue::Bytes(tensor)) => {
                walk_tensor(tensor, outline)?;
            }
            (6 | 11, WireValue::Bytes(graph)) => walk_graph(graph, depth + 1, outline)?,
            _ => {}
        }
    }
    Ok(())
}

/// Notes external data; returns the tensor's name.
fn walk_tensor(bytes: &[u8], outline: &mut Outline) -> Result<String, WireFault> {
    let mut name = String::new();
    let mut dtype = DType::Other(0);
    let mut n_elements = Some(1u64);
    let mut entries = Vec::new();
    for field in Fields::new(bytes) {
        match field? {
            (1, WireValue::Varint(dim)) => n_elements = n_elements.and_then(|n| n.checked_mul(dim)),
            (1, WireValue::Bytes(packed)) => {
                // Packed varints, read as values of a made-up stream of fields.
                n_elements = n_elements.and_then(|n| multiply_packed(n, packed));
            }
            (2, WireValue::Varint(code)) => dtype = DType::from_code(code as i32),
            (8, WireValue::Bytes(text)) => name = String::from_utf8_lossy(text).into_owned(),
            (13, WireValue::Bytes(entry)) => {
                entries.push(StringEntryProto::decode(entry).map_err(|_| WireFault::Malformed)?)
            }
            _ => {}
        }
    }
    outline.has_half_precision |= matches!(dtype, DType::F16 | DType::Bf16);
    let value_of = |key: &str| {
        entries
            .iter()
            .find(|e| e.key == key)
            .map(|e| e.value.clone())
    };
    if let Some(location) = value_of("location") {
        outline.external.push(ExternalTensor {
            name: name.clone(),
            location,
            offset: value_of("offset"),
            length: value_of("length"),
            expected_bytes: n_elements
                .zip(dtype.size())
                .and_then(|(n, size)| n.checked_mul(size)),
        });
    }
    Ok(name)
}

fn multiply_packed(start: u64, packed: &[u8]) -> Option<u64> {
    let mut product = start;
    let mut value = 0u64;
    let mut shift = 0;
    for byte in packed {
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            product = product.checked_mul(value)?;
            (value, shift) = (0, 0);
        }
    }
    Some(product)
}

fn decode_value_info(bytes: &[u8]) -> Result<TensorInfo, WireFault> {
    ValueInfoProto::decode(bytes)
        .map(ValueInfoProto::into_info)
        .map_err(|_| WireFault::Malformed)
}

fn decode_opset(bytes: &[u8]) -> Result<OpsetImport, WireFault> {
    OperatorSetIdProto::decode(bytes)
        .map(|opset| OpsetImport {
            domain: opset.domain,
            version: opset.version,
        })
        .map_err(|_| WireFault::Malformed)
}
