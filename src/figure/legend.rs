//! The legend above the panels.

use super::palette::Paint;
use super::shape::{Kind, Shape};
use super::svg::{Anchor, LABEL_SIZE, Svg, shortened, width_of};

const ROW_HEIGHT: f64 = 22.0;
/// Width of a sample, with the gap after it.
const SAMPLE: f64 = 32.0;
const GAP: f64 = 20.0;
const LEFT: f64 = 4.0;

/// A sample and its name.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// A line of an arm is drawn with a mark on it, an area as a square.
    pub(crate) kind: Kind,
    pub(crate) paint: Paint,
    pub(crate) text: String,
}

impl Entry {
    pub(crate) fn new(kind: Kind, paint: Paint, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, paint, text }
    }
}

/// Draws entries in rows from `top` down, and returns where they end.
pub(super) fn draw(svg: &mut Svg, top: f64, entries: &[Entry]) -> f64 {
    let (mut x, mut y) = (LEFT, top + ROW_HEIGHT / 2.0);
    for Entry { kind, paint, text } in entries {
        let text = shortened(text, LABEL_SIZE, svg.width - SAMPLE - 2.0 * LEFT);
        let width = SAMPLE + width_of(&text, LABEL_SIZE);
        if x > LEFT && x + width > svg.width - LEFT {
            (x, y) = (LEFT, y + ROW_HEIGHT);
        }
        for shape in sample(x, y, *kind, *paint) {
            svg.shape(&shape, &shape.points);
        }
        let at = (x + SAMPLE, y);
        let style = (LABEL_SIZE, Paint::Ink);
        svg.text(at, Anchor::Start, style, &text, paint.arm());
        x += width + GAP;
    }
    match entries.is_empty() {
        true => top,
        false => y + ROW_HEIGHT / 2.0 + 4.0,
    }
}

fn sample(x: f64, y: f64, kind: Kind, paint: Paint) -> Vec<Shape> {
    let ends = vec![(x, y), (x + SAMPLE - 8.0, y)];
    let middle = (x + (SAMPLE - 8.0) / 2.0, y);
    match kind {
        Kind::Line if paint.arm().is_none() => vec![Shape::line(ends, 1.4, paint)],
        Kind::Line => vec![Shape::line(ends, 2.2, paint), Shape::mark(middle, paint)],
        Kind::Dashes => vec![Shape::dashes(ends, 1.4, paint)],
        Kind::Area => vec![Shape::bar((x + 6.0, y - 6.0), (x + 18.0, y + 6.0), paint)],
        Kind::Mark => vec![Shape::mark(middle, paint)],
        Kind::HollowMark => vec![Shape::hollow_mark(middle, 4.2, paint)],
    }
}
