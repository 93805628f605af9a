//! Running the model: finding and loading ONNX Runtime, sessions, batches.
//!
//! ONNX Runtime is a shared library that is found at run time ([`load_runtime`]), usually in a
//! Python environment; its version is checked before anything else is called. One [`Teacher`] is one
//! session. [`Teacher::run`] feeds a right-padded [`TokenBatch`] as the model's signature requires
//! (ids, mask, positions, an empty past) and passes the logits to a closure without copying them.
//! [`Teacher::reduce`] returns signals, computed where [`Teacher::with_reduction`] was told to.
//!
//! Invariants: no other room names `ort` or `cudarc`; the logits that a closure sees are `[B, T, V]` with
//! `T >= batch.width`, checked on every run.

mod calls;
mod cancel;
mod choice;
mod cuda;
mod cuda_libs;
mod device;
mod dtype;
mod error;
mod examine;
mod feeds;
mod logits;
mod model;
mod open;
mod options;
mod plausible;
mod reduction;
mod runtime;
mod search;
mod session;
mod trust;
mod unsuitable;

pub use calls::{CallRule, CallShape, TokenBatch};
pub use cancel::Canceller;
pub use choice::ReduceChoice;
pub use cuda::CudaError;
pub use device::DeviceChoice;
pub use error::TeacherError;
pub use options::{TeacherInfo, TeacherOptions, Timings};
pub use runtime::{MIN_RUNTIME_VERSION, RuntimeLibrary, available_providers, load_runtime};
pub use search::Searched;
pub use session::{Teacher, device_of};
pub use unsuitable::{Noise, Unsuitable};

#[cfg(test)]
mod tests;
