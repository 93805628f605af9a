//! One panel: axes, and shapes over them.

use super::axis::Axis;
use super::palette::Paint;
use super::series::{clipped, thinned};
use super::shape::{Kind, Point, Shape};
use super::svg::{Anchor, HEADING_SIZE, LABEL_SIZE, Svg, shortened, width_of};

/// How much wider bold letters are.
const BOLD: f64 = 1.1;
/// Room for the heading.
const TOP: f64 = 34.0;
const RIGHT: f64 = 20.0;
/// Room for the labels of the x axis, and for its name beneath.
const LABELS: f64 = 24.0;
const NAME: f64 = 20.0;
/// Approximate points between two ticks of an axis.
const X_TICK_ROOM: f64 = 64.0;
const Y_TICK_ROOM: f64 = 44.0;

/// What a panel shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Panel {
    /// What is shown, then a comma and its unit, which is omitted if there is no room.
    pub(crate) heading: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// Height of the plotting area in points: in a wide window, and on a phone.
    pub(crate) heights: [f64; 2],
    /// In drawing order: the last is on top.
    pub(crate) shapes: Vec<Shape>,
}

/// The plotting area of a panel.
struct Frame<'a> {
    panel: &'a Panel,
    /// Width for the labels at its left.
    room: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Panel {
    /// Draws it from `left` to `right` and from `top` down, and returns where it ends.
    pub(super) fn draw(
        &self,
        svg: &mut Svg,
        (left, right): (f64, f64),
        top: f64,
        height: f64,
    ) -> f64 {
        let heading = match self.heading.rsplit_once(", ") {
            Some((what, _)) if width_of(&self.heading, BOLD * HEADING_SIZE) > right - left => what,
            _ => &self.heading,
        };
        let heading = shortened(heading, BOLD * HEADING_SIZE, right - left);
        let style = (HEADING_SIZE, Paint::Ink);
        svg.text(
            (left + 4.0, top + 14.0),
            Anchor::Start,
            style,
            &heading,
            None,
        );
        let room = self.y.label_room(right - left);
        let frame = Frame {
            panel: self,
            room: room - 18.0,
            left: left + room,
            right: right - RIGHT,
            top: top + TOP,
            bottom: top + TOP + height,
        };
        frame.draw_y(svg);
        frame.draw_x(svg);
        let has_curves = self.shapes.iter().any(Shape::is_curve);
        if has_curves {
            let unit = &self.x.unit;
            let name = format!("{} {}", unit.suffix, unit.name);
            svg.begin_plot(&frame.scales(), &name, unit.size);
        }
        for shape in &self.shapes {
            frame.draw_shape(svg, shape);
        }
        if has_curves {
            svg.end_plot();
        }
        let name = if self.x.unit.name.is_empty() {
            0.0
        } else {
            NAME
        };
        frame.bottom + LABELS + name
    }
}

impl Frame<'_> {
    fn spot(&self, (x, y): Point) -> Point {
        let (x, y) = (self.panel.x.place(x), self.panel.y.place(y));
        (
            self.left + (self.right - self.left) * x,
            self.bottom - (self.bottom - self.top) * y,
        )
    }

    /// Sides of the plotting area, and the values there: left, right, top and bottom.
    fn scales(&self) -> [f64; 8] {
        let (x, y) = (&self.panel.x.range, &self.panel.y.range);
        let [left, right, top, bottom] = [self.left, self.right, self.top, self.bottom];
        [
            left,
            right,
            top,
            bottom,
            *x.start(),
            *x.end(),
            *y.end(),
            *y.start(),
        ]
    }

    fn draw_y(&self, svg: &mut Svg) {
        let axis = &self.panel.y;
        let mut label = |at: f64, text: &str, paint, arm| {
            let y = self.spot((0.0, at)).1;
            if axis.has_grid {
                line(svg, [(self.left, y), (self.right, y)], Paint::Grid);
            }
            let style = (LABEL_SIZE, paint);
            svg.text((self.left - 8.0, y), Anchor::End, style, text, arm);
        };
        for (at, name, arm) in &axis.names {
            label(
                *at,
                &shortened(name, LABEL_SIZE, self.room),
                Paint::Ink,
                *arm,
            );
        }
        if axis.names.is_empty() {
            for tick in axis.ticks(n_ticks(self.bottom - self.top, Y_TICK_ROOM)) {
                label(tick.at, &tick.label, Paint::Muted, None);
            }
        }
    }

    fn draw_x(&self, svg: &mut Svg) {
        let axis = &self.panel.x;
        let below = |at: f64, room: f64| (self.spot((at, 0.0)).0, self.bottom + room);
        let style = (LABEL_SIZE, Paint::Muted);
        for (at, name, arm) in &axis.names {
            let style = (LABEL_SIZE, Paint::Ink);
            svg.text(below(*at, 15.0), Anchor::Middle, style, name, *arm);
        }
        if !axis.names.is_empty() {
            return;
        }
        for tick in axis.ticks(n_ticks(self.right - self.left, X_TICK_ROOM)) {
            match axis.has_grid {
                true => line(
                    svg,
                    [below(tick.at, self.top - self.bottom), below(tick.at, 0.0)],
                    Paint::Grid,
                ),
                false => line(
                    svg,
                    [below(tick.at, 0.0), below(tick.at, 4.0)],
                    Paint::Muted,
                ),
            }
            svg.text(
                below(tick.at, 15.0),
                Anchor::Middle,
                style,
                &tick.label,
                None,
            );
        }
        let ends = [(self.left, self.bottom), (self.right, self.bottom)];
        line(svg, ends, Paint::Muted);
        let middle = ((self.left + self.right) / 2.0, self.bottom + 34.0);
        if !axis.unit.name.is_empty() {
            svg.text(middle, Anchor::Middle, style, axis.unit.name, None);
        }
    }

    /// Draws the part of `shape` within the range of y.
    fn draw_shape(&self, svg: &mut Svg, shape: &Shape) {
        let range = &self.panel.y.range;
        let marks = || shape.points.iter().filter(|point| range.contains(&point.1));
        let parts = match shape.kind {
            Kind::Line | Kind::Dashes => clipped(&thinned(&shape.points), range),
            Kind::Area => vec![shape.points.clone()],
            Kind::Mark | Kind::HollowMark => vec![marks().copied().collect()],
        };
        for part in parts {
            let spots: Vec<Point> = part.into_iter().map(|point| self.spot(point)).collect();
            match (shape.kind, spots.as_slice()) {
                (_, []) => {}
                // A line of one point would be invisible.
                (Kind::Line, [_]) => {
                    let (kind, size) = (Kind::Mark, 1.5 * shape.size);
                    svg.shape(
                        &Shape {
                            kind,
                            size,
                            ..shape.clone()
                        },
                        &spots,
                    );
                }
                _ => svg.shape(shape, &spots),
            }
        }
    }
}

fn line(svg: &mut Svg, ends: [Point; 2], paint: Paint) {
    svg.shape(&Shape::line(Vec::new(), 1.0, paint), &ends);
}

fn n_ticks(length: f64, room: f64) -> usize {
    (length / room).max(2.0) as usize
}
