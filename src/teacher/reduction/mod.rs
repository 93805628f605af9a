//! From logits to signals, wherever that is done: one file a place, chosen in [`place`].
//!
//! [`host`] runs the model and lends its logits to the kernel of `signals`. [`graph`] appends a
//! head to the model, so that whatever device runs the model ranks and sums its logits too, and
//! only the stored ids of a position come back. On CUDA [`super::cuda`] leaves the logits on the device
//! and reduces them there by a kernel of its own. Wherever positions were reduced, `signals` makes
//! lists and scores of them.

mod graph;
mod host;
mod place;
mod ranked;

pub(super) use place::Reduction;

#[cfg(test)]
mod tests;
