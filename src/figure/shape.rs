//! Shapes of a picture, in values of the axes that they are drawn over.

use super::palette::Paint;
use std::ops::RangeInclusive;

/// x and y: values of the axes, or points from the top left of a picture.
pub(crate) type Point = (f64, f64);

/// How the points are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A line through the points.
    Line,
    /// The same, dashed.
    Dashes,
    /// The inside of the polygon.
    Area,
    /// A mark at each point, in the arm's form.
    Mark,
    /// The same, open.
    HollowMark,
}

/// A shape, and what a page needs to make it interactive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) kind: Kind,
    pub(crate) points: Vec<Point>,
    /// Width of a line or radius of a mark, in points of the picture.
    pub(crate) size: f64,
    pub(crate) paint: Paint,
    /// From 0 to 1.
    pub(crate) opacity: f64,
    /// Which arm it belongs to, so that a page can show one alone.
    pub(crate) arm: Option<usize>,
    /// Shown when the reader points at it.
    pub(crate) tip: Option<String>,
}

impl Shape {
    pub(crate) fn new(kind: Kind, points: Vec<Point>, size: f64, paint: Paint) -> Self {
        Self {
            kind,
            points,
            size,
            paint,
            opacity: 1.0,
            arm: paint.arm(),
            tip: None,
        }
    }

    pub(crate) fn line(points: Vec<Point>, width: f64, paint: Paint) -> Self {
        Self::new(Kind::Line, points, width, paint)
    }

    pub(crate) fn dashes(points: Vec<Point>, width: f64, paint: Paint) -> Self {
        Self::new(Kind::Dashes, points, width, paint)
    }

    pub(crate) fn mark(at: Point, paint: Paint) -> Self {
        Self::new(Kind::Mark, vec![at], 4.2, paint)
    }

    pub(crate) fn hollow_mark(at: Point, radius: f64, paint: Paint) -> Self {
        Self::new(Kind::HollowMark, vec![at], radius, paint)
    }

    /// A rectangle between two corners.
    pub(crate) fn bar(a: Point, b: Point, paint: Paint) -> Self {
        let corners = vec![a, (b.0, a.1), b, (a.0, b.1)];
        Self::new(Kind::Area, corners, 0.0, paint)
    }

    /// Whether it is a curve, for which a page shows the value under the pointer, named by its tip.
    pub(super) fn is_curve(&self) -> bool {
        let is_line = matches!(self.kind, Kind::Line | Kind::Dashes);
        is_line && self.points.len() > 2 && self.tip.is_some()
    }

    pub(crate) fn opacity(self, opacity: f64) -> Self {
        Self { opacity, ..self }
    }

    pub(crate) fn tip(self, tip: impl Into<String>) -> Self {
        let tip = Some(tip.into());
        Self { tip, ..self }
    }

    /// The same shape, assigned to an arm or to none, whatever its paint.
    pub(crate) fn of_arm(self, arm: Option<usize>) -> Self {
        Self { arm, ..self }
    }
}

/// Upright dashed lines where runs change: x, arm and name. Lines closer than 1/300 of `x` are merged, since
/// they would hide each other.
pub(crate) fn changes<'a>(
    places: impl Iterator<Item = (f64, usize, &'a str)>,
    x: &RangeInclusive<f64>,
    y: &RangeInclusive<f64>,
) -> Vec<Shape> {
    let near = (x.end() - x.start()) / 300.0;
    let mut found: Vec<(f64, Paint, String)> = Vec::new();
    for (at, arm, name) in places {
        match found.iter_mut().find(|(x, ..)| (x - at).abs() < near) {
            Some((_, paint, names)) => {
                *paint = Paint::Muted;
                *names += &format!(", {name}");
            }
            None => found.push((at, Paint::Arm(arm), name.to_owned())),
        }
    }
    let line = |(x, paint, names): (f64, Paint, String)| {
        let ends = vec![(x, *y.start()), (x, *y.end())];
        Shape::dashes(ends, 1.4, paint).tip(format!("from labels to tokens: {names}"))
    };
    found.into_iter().map(line).collect()
}
