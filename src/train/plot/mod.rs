//! The curves of runs as a picture: one SVG, and one PNG made from it.
//!
//! ```text
//! title
//! legend: a run each, with its last validation NLL
//! training cross-entropy │ validation NLL       each run in a colour of its own, everywhere
//! learning rate │ omega │ gradient norm
//! ```
//!
//! Runs of different modes minimise different losses, so the cross-entropy part is what is drawn:
//! smoothed, over the raw values in a light tone. A panel that no run has anything for is left out.
//! A dashed line marks where runs change from labels to tokens. If teachers' own runs are given, a level line in the
//! validation panel shows each one's last validation NLL, and a circle where a run falls to it.

pub(crate) mod axis;
mod curves;
mod error;
mod overtaking;
mod picture;
#[cfg(test)]
mod tests;

pub use axis::XAxis;
pub use error::PlotError;
pub use overtaking::Overtaking;
pub use picture::{PlotOptions, Plotted, plot_runs};
