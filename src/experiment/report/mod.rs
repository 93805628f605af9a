//! The report of an experiment: one HTML file that needs nothing else, and every figure as files.
//!
//! ```text
//! Results ──────────────┐                       ┌─▶ figures/NAME.svg, figures/NAME.png
//! metrics of the runs ──┼─ gather ─▶ plain data ┤
//! labels, selection ────┘                       └─▶ report.html (figures inline, no network)
//! ```
//!
//! A figure is a `Picture` of the room `figure`, from which the SVGs of the page and of the files are drawn,
//! and the PNG from the latter, so they cannot disagree. The page has each figure twice, drawn for a wide
//! window and for a phone.
//!
//! Sections without data are omitted: two runs of one seed make as complete a page as a grid of eight arms. All
//! text is escaped, since tokens may contain anything.

mod compare;
mod error;
mod figure;
mod gather;
mod inputs;
mod numbers;
mod page;
mod read;
mod samples;
mod write;

pub use error::ReportError;
pub use inputs::{ReportInputs, Written};
pub use read::read_results;
pub use samples::{ArmSample, Samples, weights_of};
pub use write::{render, write};
