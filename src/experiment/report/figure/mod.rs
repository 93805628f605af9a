//! Figures, each with what it shows and what it does not.

mod buckets;
mod curves;
mod finals;
mod gap;
mod scores;
mod shares;
mod teacher;
mod variance;

pub(super) use buckets::buckets;
pub(super) use curves::curves;
pub(super) use finals::finals;
pub(super) use gap::gap;
pub(super) use scores::score_histogram;
pub(super) use shares::shares;
pub(super) use teacher::teacher_bounds;
pub(super) use variance::variance;

use crate::figure::{Entry, Kind, Paint, Picture};

/// Points of a figure in a window that is wide, and in a file.
pub(super) const WIDE: f64 = 1000.0;
/// Points of a figure on a phone.
pub(super) const NARROW: f64 = 360.0;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// Name of its files.
    pub(super) name: &'static str,
    /// In one line, for those who hear the page.
    pub(super) label: String,
    pub(super) picture: Picture,
    /// What is shown.
    pub(super) shows: String,
    /// What it does not show.
    pub(super) hides: String,
}

/// Who an arm is in a figure of lines.
fn line_entry(arm: usize, name: &str) -> Entry {
    Entry::new(Kind::Line, Paint::Arm(arm), name)
}
