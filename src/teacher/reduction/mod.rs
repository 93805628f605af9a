//! From logits to signals, in any place: one file per place, chosen in [`place`].
//!
//! [`host`] runs the model and lends its logits to the kernel of `signals`. [`graph`] appends a head to the model, so
//! that the device that runs the model also ranks and sums its logits, and returns only the stored ids of a position.
//! On CUDA, [`super::cuda`] leaves the logits on the device and reduces them there with its own kernel. In every case
//! `signals` turns the reduced positions into lists and scores.

mod graph;
mod host;
mod place;
mod ranked;

pub(super) use place::Reduction;

#[cfg(test)]
mod tests;
