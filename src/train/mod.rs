//! The companion trainer: Llama-family models, from token files and from labels, no teacher running.
//!
//! ```text
//! config ─▶ run ─▶ data (sequences of a step) ─▶ loss (targets of a micro-batch) ─▶ model
//!            │                                                                   │ forward, backward
//!            ├─▶ schedule (learning rate, omega: pure functions of the step)     ▼
//!            ├─▶ metrics, checkpoint                                        ops (plain buffers)
//!            └─▶ export (Hugging Face, ONNX), eval, plot
//! ```
//!
//! There is no autograd graph: [`model`] calls the functions of `ops` forward and backward over
//! buffers that exist before the first step, in the manner of llm.c. A teacher is only known by
//! what its labels say: [`data`] reads them, [`loss`] turns them into targets of the fused head.
//!
//! Invariant: this room names neither `teacher` nor `label`; it builds without ONNX Runtime.

mod batch;
pub mod checkpoint;
pub mod config;
pub mod data;
mod error;
pub mod eval;
mod example;
pub mod export;
pub mod loss;
pub mod metrics;
pub mod model;
pub mod ops;
pub mod plot;
pub mod run;
pub mod schedule;
mod tensor;

pub use batch::{KdLoss, KdTargets, LossSums, MicroBatch, PositionScore};
pub use error::TrainError;
pub use example::Example;
pub use tensor::TensorSlot;
