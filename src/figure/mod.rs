//! Figures: series, bands, bars and marks over axes, as SVG, and as PNG made from that SVG.
//!
//! ```text
//! Picture = title + legend + rows of panels ─draw at a width─▶ SVG ─resvg─▶ PNG
//! Panel   = heading + two axes + shapes, in values of the axes
//! ```
//!
//! A [`Picture`] is plain data and knows no size: it is drawn at any width, panels side by side where
//! there is room and beneath each other on a phone. Colours are classes ([`Paint`]) with a tone on
//! light and on dark ground, so that a page sets the theme and a file of its own carries the light one.
//!
//! Invariant: this room opens no file. Text of a PNG is set in a font that is inside the program, so
//! the pixels are the same on every machine.

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
