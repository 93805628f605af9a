//! The operations of a training step, over plain buffers.

mod adamw;

pub use adamw::{AdamW, AdamWConfig};
