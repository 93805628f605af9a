//! A head that reduces logits, appended to a model's bytes.
//!
//! Protobuf merges a field that occurs twice, so a second encoded `graph` after a model adds nodes, an input
//! and outputs, and leaves every byte of the model unchanged: its own outputs stay, as do weights in separate
//! files. For logits z over V ids the head gives, for every position:
//!
//! - the M top logits with their ids, in f32 (`TopK` on the logits themselves);
//! - the logit of the target, whose id is an additional input;
//! - over the other V - M ids, with d = z - max z: sum e^d, sum d e^d, and sum e^(d / tau) for each
//!   extra temperature.
//!
//! The reader computes normaliser, entropy and tail mass from these in f64. Only the sums over unranked ids are
//! computed in the model's arithmetic, without the ranked terms, so a sharp peak costs the tail no precision.
//! Logits that contain NaN or +inf, or are all -inf, can be detected from the outputs: then a ranked logit is
//! NaN or +inf, or a sum is not finite.
//!
//! Operators are written in the form of the model's operator set, from 11 on, and constants as nodes, since
//! files before IR version 4 need initializers among their inputs.

mod append;
mod names;
mod nodes;
mod spec;

pub use append::{MIN_HEAD_OPSET, append_head};
pub use spec::{HeadSpec, ReductionHead};
