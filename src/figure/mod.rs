//! Figures: series, bands, bars and marks over axes, as SVG, and as PNG made from that SVG.
//!
//! ```text
//! Picture = title + legend + rows of panels ─draw at a width─▶ SVG ─resvg─▶ PNG
//! Panel   = heading + two axes + shapes, in values of the axes
//! ```
//!
//! A [`Picture`] is plain data without a size: it can be drawn at any width, with panels side by side if there
//! is room and stacked on a phone. Colours are classes ([`Paint`]) with a tone on light and on dark ground, so
//! that a page sets the theme and a separate file has the light one.
//!
//! Invariant: this room opens no file. Text of a PNG is set in an embedded font, so the pixels are the same on
//! every machine.

mod axis;
mod legend;
mod palette;
mod panel;
mod picture;
#[cfg(feature = "train")]
mod png;
mod series;
mod shape;
mod svg;
#[cfg(test)]
#[cfg(feature = "train")]
mod tests;

pub(crate) use axis::{Axis, Unit};
pub(crate) use legend::Entry;
pub(crate) use palette::{N_ARM_COLORS, Paint, rules, variables};
pub(crate) use panel::Panel;
pub(crate) use picture::Picture;
#[cfg(feature = "train")]
pub(crate) use png::png;
pub(crate) use series::{range_of, settled, smoothed};
pub(crate) use shape::{Kind, Point, Shape, changes};
pub(crate) use svg::escape;
