//! Avoids names that a model already uses.

use crate::onnx::walk::MAX_DEPTH;
use crate::onnx::wire::{Fields, WireFault, WireValue};

/// `saltworks_head/`, or the first of `saltworks_head_2/`, `saltworks_head_3/`, … with which no name in the
/// model begins.
pub(super) fn free_prefix(model: &[u8]) -> Result<String, WireFault> {
    let mut prefix = "saltworks_head/".to_owned();
    let mut number = 1;
    while model_has(model, &prefix)? {
        number += 1;
        prefix = format!("saltworks_head_{number}/");
    }
    Ok(prefix)
}

fn model_has(model: &[u8], prefix: &str) -> Result<bool, WireFault> {
    any(model, |number, bytes| match number {
        7 => graph_has(bytes, prefix, 0),
        _ => Ok(false),
    })
}

/// Names inside subgraphs count too, since they may not shadow those of the enclosing graph.
fn graph_has(graph: &[u8], prefix: &str, depth: u32) -> Result<bool, WireFault> {
    if depth > MAX_DEPTH {
        return Err(WireFault::Malformed);
    }
    any(graph, |number, bytes| match number {
        1 => node_has(bytes, prefix, depth),
        5 => name_of(bytes, 8, prefix),
        11..=13 => name_of(bytes, 1, prefix),
        // A sparse initializer's name is in its values tensor.
        15 => any(bytes, |number, values| match number {
            1 => name_of(values, 8, prefix),
            _ => Ok(false),
        }),
        _ => Ok(false),
    })
}

fn node_has(node: &[u8], prefix: &str, depth: u32) -> Result<bool, WireFault> {
    any(node, |number, bytes| match number {
        1..=3 => Ok(bytes.starts_with(prefix.as_bytes())),
        5 => any(bytes, |number, graph| match number {
            6 | 11 => graph_has(graph, prefix, depth + 1),
            _ => Ok(false),
        }),
        _ => Ok(false),
    })
}

/// Whether the string in field `name` of a message begins with the prefix.
fn name_of(message: &[u8], name: u32, prefix: &str) -> Result<bool, WireFault> {
    any(message, |number, bytes| {
        Ok(number == name && bytes.starts_with(prefix.as_bytes()))
    })
}

/// Whether `f` holds for any length-delimited field.
fn any(
    message: &[u8],
    f: impl Fn(u32, &[u8]) -> Result<bool, WireFault>,
) -> Result<bool, WireFault> {
    for field in Fields::new(message) {
        if let (number, WireValue::Bytes(bytes)) = field?
            && f(number, bytes)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}
