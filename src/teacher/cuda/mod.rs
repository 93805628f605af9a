//! Reduction on a CUDA device: ONNX Runtime leaves its logits there, our kernel reduces them in place, and only the
//! reduced positions are copied back.
//!
//! The kernel (`kernel.cu`) computes every group that `signals` computes on the CPU, by the same definitions: one block
//! per predicted position, radix select for the K best (K up to 2,048), sums in f64, draws by the CPU's own rule. It is
//! compiled when the device is opened, by NVIDIA's run-time compiler, for that device's architecture.
//!
//! - `layout`, `outputs`: what host and kernel exchange, word by word;
//! - `compile`: the kernel's source to a binary for one architecture;
//! - `reducer`: context, stream, buffers (pinned where the host reads or writes), one launch per batch;
//! - `binding`: ONNX Runtime's run with its output bound to the device;
//! - `provider`: options of its execution provider;
//! - `self_check`: compares the kernel with the CPU on a few tokens, each time a device is opened.
//!
//! # What has run where
//! - On the CPU, in the tests: the kernel's logic, from the same source, with a thread for each CUDA thread
//!   and real barriers (`tests/emulation.c`), compared with `signals`; the bound run, with host memory in
//!   place of the device's, and the emulated kernel on its output.
//! - Without a GPU, by hand: NVRTC 12.9 and 13.5 compile the kernel for every architecture that they
//!   know; ONNX Runtime 1.31.1's CUDA provider opens with pip's libraries, preloaded, and accepts the
//!   provider's options, up to the point where it asks for a device.
//! - **Never, as yet, on a GPU**: the launch, the copies and pinned memory, the output bound to CUDA
//!   memory, cancelling there. Its speed is unknown.

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
