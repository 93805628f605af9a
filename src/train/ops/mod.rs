//! The operations of a training step: one short list of functions over plain buffers.
//!
//! | forward | backward | what |
//! | --- | --- | --- |
//! | [`embed`] | [`embed_backward`] | rows of a table |
//! | [`rmsnorm`], [`add_rmsnorm`] | [`rmsnorm_backward`] | normalization, with the residual sum |
//! | [`matmul`] | [`matmul`] | all linear layers; the views say what is transposed |
//! | [`rope`] | [`rope`] with [`Direction::Back`] | rotary positions, in place |
//! | [`attention`] | [`attention_backward`] | causal, grouped-query |
//! | [`swiglu`] | [`swiglu_backward`] | gated activation |
//! | [`head_scores`] | [`head_loss`] | output head and loss fused, a chunk of rows at a time |
//! | | [`AdamW::update`], [`norm`] | optimizer, clipping |
//!
//! Buffers are f32, row-major, and belong to the caller; suffixes say their shape: N positions, D model width,
//! F feed-forward width, H heads, V vocabulary. Each function runs on the current rayon pool, and gives the
//! same bits for the same number of threads. Support for another device would have to implement only this list;
//! its inputs are plain data (`batch`, `tensor`).

mod adamw;
mod attention;
mod embed;
mod head;
mod matmul;
mod norm;
mod rope;
mod row_loss;
mod shared;
mod simd;
mod swiglu;
#[cfg(test)]
mod tests;

use shared::SharedMut;

pub use adamw::{AdamW, AdamWConfig, norm};
pub use attention::{AttentionShape, attention, attention_backward};
pub use embed::{embed, embed_backward};
pub use head::{Head, HeadGradients, HeadScratch, head_loss, head_scores};
pub use matmul::{View, Write, matmul, sgemm_peak_flops};
pub use norm::{add_rmsnorm, rmsnorm, rmsnorm_backward, rmsnorm_partials_len};
pub use rope::{Direction, RopeTable, rope};
pub use row_loss::RowLoss;
pub use swiglu::{swiglu, swiglu_backward};

/// Rows that one task takes at a time.
const ROWS: usize = 64;
