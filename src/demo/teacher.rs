//! The n-gram teacher as an ONNX model.

use super::{DemoError, NgramTeacher};
use crate::onnx::build::{ModelBuilder, TensorData};
use crate::onnx::{DType, Dim};
use std::path::Path;

/// Writes `teacher` as a model of opset 17 with `input_ids` i64 `[batch, sequence]` and `logits` f32
/// `[batch, sequence, V]`, both leading dimensions free. The logits are its log-probabilities.
///
/// ```text
/// previous = input_ids moved right by one, V in front
/// state    = state_of_context[previous * V + input_ids]
/// logits   = log_probs[state]
/// ```
///
/// # Errors
/// [`DemoError::WriteTeacher`] when the file cannot be written.
pub fn write_teacher(teacher: &NgramTeacher, path: &Path) -> Result<(), DemoError> {
    Ok(graph_of(teacher).write(path)?)
}

fn graph_of(teacher: &NgramTeacher) -> ModelBuilder {
    let v = teacher.vocab_size as u64;
    let mut model = ModelBuilder::new("trigram");
    let (batch, sequence) = (Dim::symbol("batch"), Dim::symbol("sequence"));
    let ids = model.input("input_ids", DType::I64, &[batch.clone(), sequence.clone()]);
    let states = model.initializer(
        "state_of_context",
        &[(v + 1) * v],
        TensorData::i32(&teacher.state_of_context),
    );
    let table = model.initializer(
        "log_probs",
        &[teacher.n_states() as u64, v],
        TensorData::f32(&teacher.log_probs_sv),
    );

    let previous = model.shift_right(&ids, 1, v as i64);
    let vocab_size = model.scalar_i64(v as i64);
    let row = model.mul(&previous, &vocab_size);
    let context = model.add(&row, &ids);
    let state = model.gather(&states, &context, 0);
    let logits = model.gather(&table, &state, 0);
    model.output(
        "logits",
        &logits,
        DType::F32,
        &[batch, sequence, Dim::Fixed(v)],
    );
    model
}
