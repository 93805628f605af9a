//! Figures, each in two widths, with what it shows and what it does not.

mod buckets;
mod chart;
mod curves;
mod finals;
mod gap;
mod legend;
mod palette;
mod pixels;
mod scene;
mod scores;
mod shares;
mod teacher;
mod variance;
mod vectors;

pub(super) use buckets::buckets;
pub(super) use curves::curves;
pub(super) use finals::finals;
pub(super) use gap::gap;
pub(super) use palette::{Paint, rules, variables};
pub(super) use pixels::png;
pub(super) use scene::Scene;
pub(super) use scores::score_histogram;
pub(super) use shares::shares;
pub(super) use teacher::teacher_bounds;
pub(super) use variance::variance;
pub(super) use vectors::{inline, standalone};

/// Points of a figure in a window that is wide.
const WIDE: f64 = 1000.0;
/// Points of a figure on a phone.
const NARROW: f64 = 360.0;

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    /// Name of its files.
    pub(super) name: &'static str,
    /// In one line, for those who hear the page.
    pub(super) label: String,
    /// For a wide window, and for the files.
    pub(super) wide: Scene,
    /// For a phone.
    pub(super) narrow: Scene,
    /// What is shown.
    pub(super) shows: String,
    /// What it does not show.
    pub(super) hides: String,
}

impl Figure {
    /// Draws it at both widths.
    fn new(name: &'static str, label: String, draw: impl Fn(f64) -> Scene) -> Self {
        Self {
            name,
            label,
            wide: draw(WIDE),
            narrow: draw(NARROW),
            shows: String::new(),
            hides: String::new(),
        }
    }

    fn caption(mut self, shows: impl Into<String>, hides: impl Into<String>) -> Self {
        self.shows = shows.into();
        self.hides = hides.into();
        self
    }
}

/// Whether there is room for more than one column.
fn is_wide(width: f64) -> bool {
    width > 600.0
}
