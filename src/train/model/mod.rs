//! The model: its dimensions, its parameters in one flat buffer, forward and backward.
//!
//! A block is `x + attention(norm(x))`, then `+ feed-forward(norm(.))`. The forward pass leaves in its buffers
//! what the backward pass needs; with `recompute` it keeps only each block's input, and the backward pass
//! recomputes each block first.

mod block;
mod buffers;
mod network;
mod params;
mod profile;
mod spec;
#[cfg(test)]
mod tests;

pub use buffers::{Capacity, MemoryPlan};
pub use network::Network;
pub use params::{LayerSlots, ParamLayout, Params};
pub use profile::{Part, Profile};
pub use spec::{ModelSpec, SpecError};
