//! One panel: a frame with axes, and the curves of every run in it.

use super::axis::{Unit, ticks};
use super::canvas::{Anchor, Canvas, Drawn, GREY, INK, PALE, Spot};
use super::series::{Point, clipped, thinned};
use plotters::backend::DrawingBackend;
use plotters::style::RGBColor;
use std::ops::RangeInclusive;

/// Room for the labels of the y axis.
const LEFT: f64 = 64.0;
/// Room for the heading.
const TOP: f64 = 34.0;
/// Room for the labels and the unit of the x axis.
const BOTTOM: f64 = 48.0;
const RIGHT: f64 = 18.0;
const HEADING_SIZE: f64 = 15.0;
const LABEL_SIZE: f64 = 12.5;
/// Points between two labels of an axis, about.
const X_TICK_ROOM: f64 = 70.0;
const Y_TICK_ROOM: f64 = 45.0;

/// How a run is drawn, in every panel and in the legend.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Look {
    pub(super) color: RGBColor,
    /// Colours come twice: solid, then dashed.
    pub(super) is_dashed: bool,
}

/// A curve of one run.
#[derive(Debug, Clone)]
pub(super) struct Curve {
    pub(super) look: Look,
    pub(super) points: Vec<Point>,
    /// Values before smoothing, drawn beneath all curves; empty where there is no smoothing.
    pub(super) raw: Vec<Point>,
}

/// What a panel shows.
#[derive(Debug, Clone)]
pub(super) struct Panel {
    pub(super) heading: &'static str,
    pub(super) curves: Vec<Curve>,
    pub(super) y_range: RangeInclusive<f64>,
    /// Whether each point gets a mark.
    pub(super) has_marks: bool,
}

/// What all panels share.
#[derive(Debug, Clone)]
pub(super) struct XScale {
    pub(super) range: RangeInclusive<f64>,
    pub(super) unit: Unit,
    /// Where runs begin stage 2.
    pub(super) stage_starts: Vec<(Look, f64)>,
}

/// The plotting area of a panel and its coordinates.
struct Frame<'a> {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    x: &'a XScale,
    y_range: &'a RangeInclusive<f64>,
}

impl Panel {
    /// Draws it between two corners.
    pub(super) fn draw<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<DB>,
        (left, top): Spot,
        (right, bottom): Spot,
        x: &XScale,
    ) -> Drawn<DB> {
        let frame = Frame {
            left: left + LEFT,
            right: right - RIGHT,
            top: top + TOP,
            bottom: bottom - BOTTOM,
            x,
            y_range: &self.y_range,
        };
        let heading_at = (frame.left, top + TOP / 2.0);
        canvas.text(self.heading, heading_at, Anchor::Left, HEADING_SIZE, INK)?;
        frame.draw_axes(canvas)?;
        for curve in &self.curves {
            let light = Look {
                color: light(curve.look.color),
                is_dashed: false,
            };
            frame.draw_curve(canvas, &curve.raw, light, 1.0)?;
        }
        frame.draw_stage_starts(canvas)?;
        for curve in &self.curves {
            frame.draw_curve(canvas, &curve.points, curve.look, 2.0)?;
            if self.has_marks {
                frame.draw_marks(canvas, curve)?;
            }
        }
        Ok(())
    }
}

impl Frame<'_> {
    fn draw_axes<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Drawn<DB> {
        let n_x = ((self.right - self.left) / X_TICK_ROOM).max(2.0) as usize;
        let size = self.x.unit.size;
        let in_units = self.x.range.start() / size..=self.x.range.end() / size;
        for tick in ticks(&in_units, n_x, self.x.unit.least_tick()) {
            let x = self.x_of(tick.at * size);
            canvas.line(&[(x, self.top), (x, self.bottom)], PALE, 1.0)?;
            let at = (x, self.bottom + 13.0);
            canvas.text(&tick.label, at, Anchor::Middle, LABEL_SIZE, INK)?;
        }
        let n_y = ((self.bottom - self.top) / Y_TICK_ROOM).max(2.0) as usize;
        for tick in ticks(self.y_range, n_y, 0.0) {
            let y = self.y_of(tick.at);
            canvas.line(&[(self.left, y), (self.right, y)], PALE, 1.0)?;
            let at = (self.left - 8.0, y);
            canvas.text(&tick.label, at, Anchor::Right, LABEL_SIZE, INK)?;
        }
        let corners = [
            (self.left, self.top),
            (self.left, self.bottom),
            (self.right, self.bottom),
        ];
        canvas.line(&corners, GREY, 1.0)?;
        let middle = (self.left + self.right) / 2.0;
        let at = (middle, self.bottom + 33.0);
        canvas.text(self.x.unit.name, at, Anchor::Middle, LABEL_SIZE, GREY)
    }

    /// A dashed line from bottom to top for each run that has two stages. Runs take turns in
    /// dashing, so that those which change at the same step are all seen.
    fn draw_stage_starts<DB: DrawingBackend>(&self, canvas: &Canvas<DB>) -> Drawn<DB> {
        const DASH: f64 = 6.0;
        let n_turns = self.x.stage_starts.len().max(2) as f64;
        for (turn, (look, start)) in self.x.stage_starts.iter().enumerate() {
            let x = self.x_of(*start);
            let ends = [(x, self.bottom), (x, self.top)];
            let gap = DASH * (n_turns - 1.0);
            let phase = -(turn as f64) * DASH;
            canvas.dashes(&ends, (DASH, gap), phase, look.color, 1.3)?;
        }
        Ok(())
    }

    fn draw_curve<DB: DrawingBackend>(
        &self,
        canvas: &Canvas<DB>,
        points: &[Point],
        look: Look,
        width: f64,
    ) -> Drawn<DB> {
        for part in clipped(&thinned(points), self.y_range) {
            let spots: Vec<Spot> = part.into_iter().map(|point| self.spot(point)).collect();
            if look.is_dashed {
                canvas.dashes(&spots, (7.0, 4.0), 0.0, look.color, width)?;
            } else {
                canvas.line(&spots, look.color, width)?;
            }
        }
        Ok(())
    }

    fn draw_marks<DB: DrawingBackend>(&self, canvas: &Canvas<DB>, curve: &Curve) -> Drawn<DB> {
        let within = curve
            .points
            .iter()
            .filter(|(_, y)| self.y_range.contains(y));
        for point in within {
            canvas.dot(self.spot(*point), curve.look.color, 3.2)?;
        }
        Ok(())
    }

    fn spot(&self, (x, y): Point) -> Spot {
        (self.x_of(x), self.y_of(y))
    }

    fn x_of(&self, x: f64) -> f64 {
        let (low, high) = (*self.x.range.start(), *self.x.range.end());
        self.left + (self.right - self.left) * (x - low) / (high - low)
    }

    fn y_of(&self, y: f64) -> f64 {
        let (low, high) = (*self.y_range.start(), *self.y_range.end());
        self.bottom - (self.bottom - self.top) * (y - low) / (high - low)
    }
}

/// The colour as if on thin paint.
fn light(RGBColor(red, green, blue): RGBColor) -> RGBColor {
    let thin = |part: u8| 255 - ((255 - u16::from(part)) * 3 / 10) as u8;
    RGBColor(thin(red), thin(green), thin(blue))
}
