//! Turns a session's output into lent logits: dtype and shape are checked on every run.

use super::dtype::LogitsDtype;
use super::error::TeacherError;
use super::feeds::RunShape;
use crate::signals::{Logits, LogitsData};
use ort::value::{DynValue, TensorElementType};
use std::path::Path;

/// Context for messages about an output.
pub(super) struct LogitsView<'a> {
    pub(super) model: &'a Path,
    pub(super) output: &'a str,
    pub(super) shape: RunShape,
}

impl LogitsView<'_> {
    /// Checks dtype and shape; drops rows that only pad the batch.
    pub(super) fn lend<'v>(
        &self,
        value: &'v DynValue,
        n_rows: usize,
    ) -> Result<Logits<'v>, TeacherError> {
        let (dtype, vocab_size) = self.check(value)?;
        let n_used = n_rows * self.shape.width * vocab_size;
        let run = |source| TeacherError::Run {
            n_rows,
            width: self.shape.width,
            hint: String::new(),
            source,
        };
        let data = match dtype {
            LogitsDtype::F32 => {
                LogitsData::F32(&value.try_extract_tensor().map_err(run)?.1[..n_used])
            }
            LogitsDtype::F16 => {
                LogitsData::F16(&value.try_extract_tensor().map_err(run)?.1[..n_used])
            }
            LogitsDtype::Bf16 => {
                LogitsData::Bf16(&value.try_extract_tensor().map_err(run)?.1[..n_used])
            }
        };
        Ok(Logits {
            data,
            n_rows,
            width: self.shape.width,
            vocab_size,
        })
    }

    /// Dtype and V of logits in any memory, after checking their shape.
    pub(super) fn check(&self, value: &DynValue) -> Result<(LogitsDtype, usize), TeacherError> {
        let value_type = value.dtype();
        let dims = value_type.tensor_shape().map(|dims| dims.to_vec());
        let vocab_size = self.check_shape(&dims.unwrap_or_default())?;
        let dtype = match value_type.tensor_type() {
            Some(TensorElementType::Float32) => LogitsDtype::F32,
            Some(TensorElementType::Float16) => LogitsDtype::F16,
            Some(TensorElementType::Bfloat16) => LogitsDtype::Bf16,
            other => {
                let got = other.map_or("not a tensor".to_owned(), |dtype| dtype.to_string());
                return Err(TeacherError::LogitsDtype {
                    output: self.output.to_owned(),
                    got,
                });
            }
        };
        Ok((dtype, vocab_size))
    }

    fn check_shape(&self, dims: &[i64]) -> Result<usize, TeacherError> {
        let RunShape { n_rows, width } = self.shape;
        match dims {
            [b, t, v] if *b == n_rows as i64 && *t == width as i64 && *v > 0 => Ok(*v as usize),
            _ => Err(TeacherError::LogitsShape {
                model: self.model.to_owned(),
                output: self.output.to_owned(),
                got: dims.to_vec(),
                n_rows,
                width,
                remedy: shape_remedy(dims, n_rows as i64, width as i64),
            }),
        }
    }
}

/// What a shape other than `[B, T, V]` tells about the export.
fn shape_remedy(dims: &[i64], b: i64, t: i64) -> &'static str {
    match dims {
        [_, _] => {
            "one row of values per sequence: a classification head, or the logits of the last position only; export the language-model head with the logits of every position"
        }
        [d0, d1, _] if *d0 == t && *d1 == b && t != b => {
            "the logits are time-major, [T, B, V]; export the model batch-first, [B, T, V]"
        }
        [_, 1, _] if t > 1 => {
            "the model keeps the last position only; export it with the logits of every position"
        }
        [d0, d1, _] if *d0 == b && *d1 == t - 1 => {
            "the model drops a position (its loss shifts the logits); export it with the logits of every position, [B, T, V]"
        }
        [d0, _, d2] if *d0 == b && *d2 == t => {
            "the last dimension is the sequence, [B, V, T]; export the model with its logits transposed, [B, T, V]"
        }
        _ => "name the logits with --logits-output, or export the model with [B, T, V] logits",
    }
}
