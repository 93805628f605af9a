//! How to open a teacher, and what is known about it once it is open.

use super::calls::CallRule;
use super::choice::ReduceChoice;
use super::device::DeviceChoice;
use super::unsuitable::Noise;
use crate::onnx::DType;
use std::path::PathBuf;
use std::time::Duration;

/// How to open a teacher.
#[derive(Debug, Clone, PartialEq)]
pub struct TeacherOptions {
    /// The `.onnx` file; external data is next to it.
    pub model: PathBuf,
    /// Where to run.
    pub device: DeviceChoice,
    /// Threads of one run; 0 is one per core.
    pub threads: usize,
    /// The output with the logits, if its name and shape do not show it.
    pub logits_output: Option<String>,
    /// The longest sequence that will be run, in tokens; refused at once if the model takes less.
    pub seq_len_max: u32,
}

/// What is known about an opened teacher.
#[derive(Debug, Clone, PartialEq)]
pub struct TeacherInfo {
    /// V, from the shape of the model's logits.
    pub vocab_size: u32,
    /// Where it runs; never [`DeviceChoice::Auto`].
    pub device: DeviceChoice,
    /// `CPUExecutionProvider` or `CUDAExecutionProvider`.
    pub provider: String,
    /// Version of the runtime.
    pub ort_version: String,
    /// Dtype of the logits.
    pub logits_dtype: DType,
    /// Where logits are reduced; [`ReduceChoice::Auto`] has become one of the others.
    pub reduction: ReduceChoice,
    /// Notes for the user, such as a fallback to the CPU.
    pub notes: Vec<String>,
    /// The shape of each call, by the length of its sequences.
    pub calls: CallRule,
    /// Noise of its logits; known after the test.
    pub noise: Noise,
    /// The longest sequence, in tokens, that the model declares.
    pub max_seq_len: Option<u32>,
}

/// Time spent in a teacher.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// The forward pass; with a graph head, its reduction too.
    pub forward: Duration,
    /// From logits to signals.
    pub reduction: Duration,
}
