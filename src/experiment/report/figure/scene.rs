//! Shapes in points: what a figure is before it is vectors or pixels.

use super::palette::Paint;

pub(crate) use crate::train::plot::canvas::{Anchor, Spot};

/// A figure of one width.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scene {
    /// Points.
    pub(crate) width: f64,
    /// Points.
    pub(crate) height: f64,
    /// From the lowest to the one on top.
    pub(crate) shapes: Vec<Shape>,
}

/// A shape, with what a reader may do with it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shape {
    pub(crate) form: Form,
    pub(crate) paint: Paint,
    /// Which arm it belongs to, so that a page can show one alone.
    pub(crate) arm: Option<usize>,
    /// What is said of it when it is pointed at.
    pub(crate) tip: Option<String>,
}

/// What is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// Through spots, `width` points wide.
    Line {
        spots: Vec<Spot>,
        width: f64,
        is_dashed: bool,
    },
    /// A polygon's inside.
    Area { spots: Vec<Spot>, opacity: f64 },
    /// A mark of a series.
    Mark {
        at: Spot,
        radius: f64,
        is_hollow: bool,
    },
    /// One line.
    Text {
        at: Spot,
        anchor: Anchor,
        size: f64,
        is_bold: bool,
        text: String,
    },
}

impl Scene {
    /// With nothing in it.
    pub(crate) fn new(width: f64) -> Self {
        Self {
            width,
            height: 0.0,
            shapes: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, form: Form, paint: Paint) -> &mut Shape {
        let at = self.shapes.len();
        self.shapes.push(Shape {
            form,
            paint,
            arm: paint.arm(),
            tip: None,
        });
        &mut self.shapes[at]
    }

    pub(crate) fn line(&mut self, spots: Vec<Spot>, width: f64, paint: Paint) -> &mut Shape {
        let form = Form::Line {
            spots,
            width,
            is_dashed: false,
        };
        self.push(form, paint)
    }

    pub(crate) fn dashed(&mut self, spots: Vec<Spot>, width: f64, paint: Paint) -> &mut Shape {
        let form = Form::Line {
            spots,
            width,
            is_dashed: true,
        };
        self.push(form, paint)
    }

    pub(crate) fn area(&mut self, spots: Vec<Spot>, opacity: f64, paint: Paint) -> &mut Shape {
        self.push(Form::Area { spots, opacity }, paint)
    }

    /// The same with room all around, as a file of its own wants.
    pub(crate) fn padded(&self, room: f64) -> Self {
        let moved = |spots: &[Spot]| spots.iter().map(|&(x, y)| (x + room, y + room)).collect();
        let mut scene = self.clone();
        (scene.width, scene.height) = (self.width + 2.0 * room, self.height + 2.0 * room);
        for shape in &mut scene.shapes {
            match &mut shape.form {
                Form::Line { spots, .. } | Form::Area { spots, .. } => *spots = moved(spots),
                Form::Mark { at, .. } | Form::Text { at, .. } => *at = (at.0 + room, at.1 + room),
            }
        }
        scene
    }

    /// A rectangle between two corners.
    pub(crate) fn bar(&mut self, a: Spot, b: Spot, opacity: f64, paint: Paint) -> &mut Shape {
        let corners = vec![a, (b.0, a.1), b, (a.0, b.1)];
        self.area(corners, opacity, paint)
    }

    pub(crate) fn mark(&mut self, at: Spot, radius: f64, paint: Paint) -> &mut Shape {
        let form = Form::Mark {
            at,
            radius,
            is_hollow: false,
        };
        self.push(form, paint)
    }

    pub(crate) fn hollow_mark(&mut self, at: Spot, radius: f64, paint: Paint) -> &mut Shape {
        let form = Form::Mark {
            at,
            radius,
            is_hollow: true,
        };
        self.push(form, paint)
    }

    pub(crate) fn text(
        &mut self,
        text: impl Into<String>,
        at: Spot,
        anchor: Anchor,
        size: f64,
        paint: Paint,
    ) -> &mut Shape {
        let form = Form::Text {
            at,
            anchor,
            size,
            is_bold: false,
            text: text.into(),
        };
        self.push(form, paint)
    }

    pub(crate) fn heading(&mut self, text: impl Into<String>, at: Spot) {
        let form = Form::Text {
            at,
            anchor: Anchor::Left,
            size: HEADING_SIZE,
            is_bold: true,
            text: text.into(),
        };
        self.push(form, Paint::Ink);
    }
}

impl Shape {
    pub(crate) fn tip(&mut self, tip: impl Into<String>) -> &mut Self {
        self.tip = Some(tip.into());
        self
    }

    /// Belongs to an arm though its paint does not say so.
    pub(crate) fn of_arm(&mut self, arm: usize) -> &mut Self {
        self.arm = Some(arm);
        self
    }
}

/// Size of a heading, points.
pub(crate) const HEADING_SIZE: f64 = 14.0;
/// Size of the labels of axes and of the legend, points.
pub(crate) const LABEL_SIZE: f64 = 12.5;

/// About how wide a text is in a reader's sans-serif: enough to lay labels out, never to cut them.
pub(crate) fn width_of(text: &str, size: f64) -> f64 {
    let of = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' | ' ' => 0.3,
        'f' | 't' | 'r' | '(' | ')' | '-' | '/' => 0.38,
        'm' | 'w' | 'M' | 'W' | '%' => 0.88,
        c if c.is_ascii_uppercase() => 0.68,
        _ => 0.57,
    };
    text.chars().map(of).sum::<f64>() * size
}

/// The corners of the mark of a series, about `at`; a circle is one of many corners.
pub(crate) fn mark_corners(at: Spot, radius: f64, slot: usize) -> Vec<Spot> {
    // Areas of about the same size to the eye.
    let (n, turn, scale) = match slot % 4 {
        0 => (24, 0.0, 1.0),
        1 => (4, 0.25, 1.25),
        2 => (3, -0.5, 1.4),
        _ => (4, 0.0, 1.3),
    };
    (0..n)
        .map(|i| {
            let turned = match n {
                3 => i as f64 / 3.0 - 0.25,
                _ => (i as f64 + 2.0 * turn) / f64::from(n),
            };
            let angle = turned * std::f64::consts::TAU;
            let r = radius * scale;
            (at.0 + r * angle.cos(), at.1 + r * angle.sin())
        })
        .collect()
}
