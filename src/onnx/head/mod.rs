//! A head that reduces logits, appended to a model's bytes.
//!
//! Protobuf merges a field that occurs twice, so a second encoded `graph` after a model adds nodes,
//! an input and outputs, and leaves every byte of the model what it was: its own outputs stay, and
//! so do weights in files beside it. For logits z over V ids the head gives, of every position:
//!
//! - the M best logits with their ids, in f32 (`TopK` on the logits themselves);
//! - the logit of the target, whose id comes in by an input of the head's own;
//! - over the other V - M ids, with d = z - max z: sum e^d, sum d e^d, and sum e^(d / tau) for each
//!   extra temperature.
//!
//! From these, normaliser, entropy and tail mass follow in f64 wherever they are read. Only sums
//! over the ids that are not ranked are made in the model's arithmetic, each of its own terms, so a
//! sharp peak costs the tail no digits. A position whose logits hold NaN or +inf, or nothing but
//! -inf, shows in what it gives: one of the ranked logits is not finite or -inf, or a sum is not
//! finite.
//!
//! Operators are written in the form that the model's own operator set has, from 11 on, and
//! constants as nodes, since files of before IR version 4 want initializers among their inputs.

mod append;
mod names;
mod nodes;
mod spec;

pub use append::{MIN_HEAD_OPSET, append_head};
pub use spec::{HeadSpec, ReductionHead};
