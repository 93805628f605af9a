//! ONNX models for tests and benchmarks: those with known answers, and a decoder of any size.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test uses a part of it"
)]

mod decoder;
mod odd;
pub mod samples;

pub use decoder::{DecoderSpec, decoder};
pub use odd::{Odd, odd};
