//! The trainer: Llama-family models, from token files and from labels, without running a teacher.
//!
//! ```text
//! config ─▶ run ─▶ data (sequences of a step) ─▶ loss (targets of a micro-batch) ─▶ model
//!            │                                                                   │ forward, backward
//!            ├─▶ schedule (learning rate, omega: pure functions of the step)     ▼
//!            ├─▶ metrics, checkpoint                                        ops (plain buffers)
//!            └─▶ export (Hugging Face, ONNX), eval, plot
//! ```
//!
//! There is no autograd graph: as in llm.c, [`model`] calls the forward and backward functions of `ops` over
//! buffers that are allocated before the first step. The teacher is known only through its labels: [`data`]
//! reads them, [`loss`] turns them into targets of the fused head.
//!
//! Invariant: this room uses neither `teacher` nor `label`, and builds without ONNX Runtime.

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

pub use batch::{HeadGate, KdLoss, KdTargets, LossSums, MAX_TEACHERS, MicroBatch, PositionScore};
pub use error::TrainError;
pub use example::Example;
pub use tensor::TensorSlot;
