//! Axes: from values to spots.

use super::palette::Paint;
use super::scene::{Anchor, LABEL_SIZE, Scene, Spot};
use crate::train::plot::axis::{Unit, ticks};
use std::ops::RangeInclusive;

/// Room for the labels of the y axis.
const LEFT: f64 = 52.0;
const RIGHT: f64 = 20.0;
/// Room for the labels and the name of the x axis.
pub(crate) const BOTTOM: f64 = 46.0;
/// Points between two labels of an axis, about.
const X_TICK_ROOM: f64 = 84.0;
const Y_TICK_ROOM: f64 = 44.0;

/// A plotting area and its coordinates.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    pub(crate) left: f64,
    pub(crate) right: f64,
    pub(crate) top: f64,
    pub(crate) bottom: f64,
    pub(crate) x: RangeInclusive<f64>,
    pub(crate) y: RangeInclusive<f64>,
}

impl Chart {
    /// Over the whole width of `scene`, from `top` down, axes included.
    pub(crate) fn new(
        scene: &Scene,
        (top, height): (f64, f64),
        x: RangeInclusive<f64>,
        y: RangeInclusive<f64>,
    ) -> Self {
        Self {
            left: LEFT,
            right: scene.width - RIGHT,
            top,
            bottom: top + height - BOTTOM,
            x,
            y,
        }
    }

    /// The same in a column of a figure, `width` points wide from `left` on.
    pub(crate) fn within(self, left: f64, width: f64) -> Self {
        Self {
            left: left + LEFT,
            right: left + width - RIGHT,
            ..self
        }
    }

    pub(crate) fn spot(&self, (x, y): Spot) -> Spot {
        (self.x_of(x), self.y_of(y))
    }

    pub(crate) fn x_of(&self, x: f64) -> f64 {
        let (low, high) = (*self.x.start(), *self.x.end());
        self.left + (self.right - self.left) * (x - low) / (high - low)
    }

    pub(crate) fn y_of(&self, y: f64) -> f64 {
        let (low, high) = (*self.y.start(), *self.y.end());
        self.bottom - (self.bottom - self.top) * (y - low) / (high - low)
    }

    /// Lines and labels of the y axis.
    pub(crate) fn draw_y(&self, scene: &mut Scene) {
        let n = ((self.bottom - self.top) / Y_TICK_ROOM).max(2.0) as usize;
        for tick in ticks(&self.y, n, 0.0) {
            let y = self.y_of(tick.at);
            let ends = vec![(self.left, y), (self.right, y)];
            scene.line(ends, 1.0, Paint::Grid);
            let label = tick.label.replace('-', "\u{2212}");
            let at = (self.left - 8.0, y);
            scene.text(label, at, Anchor::Right, LABEL_SIZE, Paint::Muted);
        }
    }

    /// Base line and labels of the x axis, and beneath them what it counts.
    pub(crate) fn draw_x(&self, scene: &mut Scene, unit: Unit) {
        self.draw_x_at(scene, unit, unit.least_tick());
    }

    /// The same, with labels at least `least` units apart.
    pub(crate) fn draw_x_at(&self, scene: &mut Scene, unit: Unit, least: f64) {
        let n = ((self.right - self.left) / X_TICK_ROOM).max(2.0) as usize;
        let in_units = self.x.start() / unit.size..=self.x.end() / unit.size;
        for tick in ticks(&in_units, n, least) {
            let x = self.x_of(tick.at * unit.size);
            let ends = vec![(x, self.bottom), (x, self.bottom + 4.0)];
            scene.line(ends, 1.0, Paint::Muted);
            let at = (x, self.bottom + 15.0);
            scene.text(tick.label, at, Anchor::Middle, LABEL_SIZE, Paint::Muted);
        }
        self.draw_base(scene);
        self.draw_x_name(scene, unit.name);
    }

    /// The line that the x axis lies on.
    pub(crate) fn draw_base(&self, scene: &mut Scene) {
        let ends = vec![(self.left, self.bottom), (self.right, self.bottom)];
        scene.line(ends, 1.0, Paint::Muted);
    }

    /// What the x axis counts.
    pub(crate) fn draw_x_name(&self, scene: &mut Scene, name: &str) {
        let at = ((self.left + self.right) / 2.0, self.bottom + 35.0);
        scene.text(name, at, Anchor::Middle, LABEL_SIZE, Paint::Muted);
    }
}

/// `low..=high` with some room on both sides, about a single value too.
pub(crate) fn roomy(low: f64, high: f64) -> RangeInclusive<f64> {
    let span = high - low;
    let room = match span > 1e-9 * low.abs().max(high.abs()) {
        true => 0.08 * span,
        false => (0.05 * low.abs()).max(1e-3),
    };
    low - room..=high + room
}
