//! From a session's output to lent logits: dtype and shape are checked on every run.

use super::error::TeacherError;
use super::feeds::RunShape;
use crate::signals::{Logits, LogitsData};
use ort::value::{DynValue, TensorElementType};
use std::path::Path;

/// What a message about an output needs.
pub(super) struct LogitsView<'a> {
    pub(super) model: &'a Path,
    pub(super) output: &'a str,
    pub(super) shape: RunShape,
}

impl LogitsView<'_> {
    /// Checks dtype and shape; cuts rows that only padded the batch.
    pub(super) fn lend<'v>(
        &self,
        value: &'v DynValue,
        n_rows: usize,
    ) -> Result<Logits<'v>, TeacherError> {
        let dtype = value.dtype();
        let dims: Vec<i64> = dtype
            .tensor_shape()
            .map(|dims| dims.to_vec())
            .unwrap_or_default();
        let vocab_size = self.check_shape(&dims)?;
        let n_used = n_rows * self.shape.width * vocab_size;
        let run = |source| TeacherError::Run {
            n_rows,
            width: self.shape.width,
            hint: String::new(),
            source,
        };
        let data = match dtype.tensor_type() {
            Some(TensorElementType::Float32) => {
                LogitsData::F32(&value.try_extract_tensor().map_err(run)?.1[..n_used])
            }
            Some(TensorElementType::Float16) => {
                LogitsData::F16(&value.try_extract_tensor().map_err(run)?.1[..n_used])
            }
            Some(TensorElementType::Bfloat16) => {
                LogitsData::Bf16(&value.try_extract_tensor().map_err(run)?.1[..n_used])
            }
            other => {
                let got = other.map_or("not a tensor".to_owned(), |dtype| dtype.to_string());
                return Err(TeacherError::LogitsDtype {
                    output: self.output.to_owned(),
                    got,
                });
            }
        };
        Ok(Logits {
            data,
            n_rows,
            width: self.shape.width,
            vocab_size,
        })
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
                remedy: match dims {
                    [_, 1, _] | [_, _] => {
                        "the model keeps the last position only; export it with the logits of every position"
                    }
                    _ => {
                        "name the logits with --logits-output, or export the model with [B, T, V] logits"
                    }
                },
            }),
        }
    }
}
