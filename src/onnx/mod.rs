//! What an ONNX file says of itself, and writing small ones. No runtime.
//!
//! An ONNX file is one protobuf message, `ModelProto`: a few header fields, the operator sets it
//! imports, and one `GraphProto` with nodes, initializers (the weights), inputs and outputs.
//! Weights are most of the bytes, inline (`raw_data`) or in files beside it (`external_data`), so
//! reading here is a walk over the mmap'ed wire format that steps over them by their length prefix:
//! a model of many gigabytes costs the pages of its headers. Only the small messages (value infos,
//! operator sets) are decoded into structs. A second `graph` field merges with the first, as
//! protobuf asks.
//!
//! [`read_signature`] answers what a caller must know before it runs a model: which inputs it wants
//! and what each is for, which output holds the logits, how large the vocabulary is, which other
//! files belong to it. A model that cannot be a teacher is refused there, with what to do instead.
//!
//! [`build`] writes models: nodes and initializers in, a file out, weights streamed. [`head`]
//! appends to a model's bytes what reduces its logits.

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
