//! The report of an experiment: one HTML file that needs nothing else, and every figure as files.
//!
//! ```text
//! Results ──────────────┐                       ┌─▶ figures/NAME.svg, figures/NAME.png
//! metrics of the runs ──┼─ gather ─▶ plain data ┤
//! labels, selection ────┘                       └─▶ report.html (figures inline, no network)
//! ```
//!
//! A figure is a `Picture` of the room `figure`: one makes the vectors of the page, those of the files
//! and, from these, the pixels, so they cannot disagree. The page holds each figure twice, drawn for a
//! wide window and for a phone.
//!
//! Whatever is not there leaves its section out: two runs of one seed make a page as whole as a
//! grid of eight arms. Everything that is text is escaped: tokens may hold anything.

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
