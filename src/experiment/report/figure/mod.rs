//! Figures, each with what it shows and what it does not.

mod buckets;
mod curves;
mod finals;
mod gap;
mod shares;
mod variance;

pub(super) use buckets::buckets;
pub(super) use curves::curves;
pub(super) use finals::finals;
pub(super) use gap::gap;
pub(super) use shares::shares;
pub(super) use variance::variance;

use crate::figure::{Entry, Kind, Paint};

/// An arm's entry in the legend of a figure of lines.
fn line_entry(arm: usize, name: &str) -> Entry {
    Entry::new(Kind::Line, Paint::Arm(arm), name)
}
