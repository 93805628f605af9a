//! The curves of runs as a picture: one SVG and one PNG with the same drawing.
//!
//! ```text
//! title
//! training cross-entropy │ validation NLL       each run in a colour of its own, everywhere
//! learning rate │ omega │ gradient norm
//! legend: a run each, with its last validation NLL
//! ```
//!
//! Runs of different modes minimise different losses, so the cross-entropy part is what is drawn:
//! smoothed, over the raw values in a light tone. A panel that no run has anything for is left out.
//! A dashed line of a run's colour marks where it changes from labels to tokens.

pub(crate) mod axis;
pub(crate) mod bitmap;
pub(crate) mod canvas;
mod curves;
mod error;
mod legend;
mod panel;
mod picture;
pub(crate) mod series;
#[cfg(test)]
mod tests;

pub use axis::XAxis;
pub use error::PlotError;
pub use picture::{PlotOptions, Plotted, plot_runs};
