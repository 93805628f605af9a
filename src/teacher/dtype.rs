//! Dtypes of logits.

/// The float dtypes that exporters write; the CUDA kernel knows each by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogitsDtype {
    F32 = 0,
    F16 = 1,
    Bf16 = 2,
}
