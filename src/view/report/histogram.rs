//! Panels of bars.

use crate::figure::{Axis, Paint, Panel, Shape, Unit};

/// A part of a bar: its count and its paint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part(pub(super) u64, pub(super) Paint);

/// One bar, its parts from the bottom up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StackedBar {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) parts: Vec<Part>,
    /// Shown when the reader points at it.
    pub(super) tip: String,
}

impl StackedBar {
    fn n(&self) -> u64 {
        self.parts.iter().map(|part| part.0).sum()
    }

    fn shapes(&self) -> Vec<Shape> {
        let inset = 0.03 * (self.high - self.low);
        let (left, right) = (self.low + inset, self.high - inset);
        let mut bottom = 0;
        let mut shapes = Vec::new();
        for &Part(n, paint) in self.parts.iter().filter(|part| part.0 > 0) {
            let ends = ((left, bottom as f64), (right, (bottom + n) as f64));
            shapes.push(Shape::bar(ends.0, ends.1, paint).tip(&*self.tip));
            bottom += n;
        }
        shapes
    }
}

/// A histogram of at least one bar, counted in `counts`, with a vertical line at each of `boundaries`.
pub(super) fn panel(
    heading: String,
    axis: &'static str,
    counts: Unit,
    bars: &[StackedBar],
    boundaries: &[f64],
) -> Panel {
    let top = 1.05 * bars.iter().map(StackedBar::n).max().unwrap_or(1).max(1) as f64;
    let ends = (bars[0].low, bars[bars.len() - 1].high);
    let inside = boundaries
        .iter()
        .filter(|boundary| (ends.0..=ends.1).contains(*boundary));
    let line =
        |&boundary: &f64| Shape::dashes(vec![(boundary, 0.0), (boundary, top)], 1.4, Paint::Ink);
    Panel {
        heading,
        x: Axis::of(ends.0..=ends.1, Unit::plain(axis)),
        y: Axis::of(0.0..=top, counts).with_grid(),
        heights: [234.0, 184.0],
        shapes: bars
            .iter()
            .flat_map(StackedBar::shapes)
            .chain(inside.map(line))
            .collect(),
    }
}
