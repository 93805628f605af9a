//! Reads what an ONNX file declares, and writes models. No runtime.
//!
//! An ONNX file is one protobuf message, `ModelProto`: a few header fields, the operator sets it imports, and
//! one `GraphProto` with nodes, initializers (the weights), inputs and outputs. Weights are most of the bytes,
//! inline (`raw_data`) or in separate files (`external_data`), so reading is a walk over the memory-mapped wire
//! format that skips them by their length prefix: even for a model of many gigabytes only the pages of its
//! headers are read. Only the small messages (value infos, operator sets) are decoded into structs. A second
//! `graph` field merges with the first, as protobuf requires.
//!
//! [`read_signature`] returns what a caller must know before running a model: its inputs and their roles, which
//! output holds the logits, the size of the vocabulary, and which other files belong to it. A model that cannot
//! be a teacher is refused there, with a remedy.
//!
//! [`build`] writes models from nodes and initializers, streaming the weights. [`head`] appends nodes that
//! reduce the logits to a model's bytes.

pub mod build;
pub mod decoder;
mod error;
mod external;
pub mod head;
mod locations;
mod neighbours;
mod outputs;
mod proto;
mod roles;
mod signature;
mod types;
mod walk;
mod wire;

pub use error::OnnxError;
pub use locations::external_locations;
pub use roles::{InputRole, PastDim};
pub use signature::{Signature, read_signature};
pub use types::{DType, Dim, OpsetImport, TensorInfo};

#[cfg(test)]
mod tests;
