//! Reduction on a CUDA device: ONNX Runtime leaves its logits there, a kernel of ours reduces them
//! in place, and only what a position is reduced to comes back.
//!
//! The kernel (`kernel.cu`) gives every group that `signals` gives on the CPU, by the same
//! definitions: one block a predicted position, radix select for the K best (K up to 2,048), sums in
//! f64, draws by the CPU's own rule. It is compiled when the device is opened, by NVIDIA's run-time
//! compiler, for that device's architecture.
//!
//! - `layout`, `outputs`: what host and kernel hand each other, word by word;
//! - `compile`: the kernel's source to a binary for one architecture;
//! - `reducer`: context, stream, buffers (pinned where the host reads or writes), one launch a batch;
//! - `binding`: ONNX Runtime's run with its output bound to the device;
//! - `provider`: options of its execution provider;
//! - `self_check`: the kernel against the processor on a few tokens, each time a device is opened.
//!
//! # What has run where
//! - On the CPU, in the tests: the kernel's logic, from the same source, one thread a CUDA thread with
//!   real barriers (`tests/emulation.c`), compared with `signals`; the bound run, with host memory in
//!   the device's place, and the emulated kernel on what it left there.
//! - Without a GPU, by hand: NVRTC 12.9 and 13.5 compile the kernel for every architecture that they
//!   know; ONNX Runtime 1.31.1's CUDA provider opens with pip's libraries, preloaded, and takes the
//!   provider's options, up to the point where it asks for a device.
//! - **Never, as yet, on a GPU**: the launch, the copies and pinned memory, the output bound to CUDA
//!   memory, cancelling there. No speed of it is known.

mod binding;
mod compile;
mod error;
mod layout;
mod limits;
mod outputs;
mod provider;
mod reducer;
mod self_check;

pub(super) use binding::{number_of, reduce};
pub use error::CudaError;
pub(super) use provider::cuda_provider;
pub(super) use reducer::DeviceReducer;
pub(super) use self_check::self_check;

#[cfg(test)]
mod tests;
