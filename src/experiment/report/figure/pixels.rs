//! A scene as PNG.

use super::palette::Paint;
use super::scene::{Form, Scene, Shape, Spot, mark_corners};
use super::vectors::mark_slot;
use crate::train::plot::bitmap::{self, AnyError};
use crate::train::plot::canvas::{Canvas, Drawn};
use plotters::backend::BitMapBackend;

/// Pixels a point: sharp on a dense screen.
const DENSITY: f64 = 2.0;

type Surface<'a> = Canvas<BitMapBackend<'a>>;

/// Twice as many pixels as the scene has points.
pub(crate) fn png(scene: &Scene) -> Result<Vec<u8>, AnyError> {
    let size = (DENSITY * scene.width, DENSITY * scene.height);
    bitmap::png(size, |canvas| {
        canvas.clear()?;
        for shape in &scene.shapes {
            draw(canvas, shape)?;
        }
        canvas.present()
    })
}

fn draw(canvas: &Surface<'_>, shape: &Shape) -> Drawn<BitMapBackend<'static>> {
    let color = shape.paint.light();
    match &shape.form {
        Form::Line {
            spots,
            width,
            is_dashed,
        } => {
            let spots = scaled(spots);
            let width = DENSITY * width;
            if *is_dashed || shape.paint.comes_again() {
                let lengths = (6.0 * DENSITY, 4.0 * DENSITY);
                canvas.dashes(&spots, lengths, 0.0, color, width)
            } else {
                canvas.line(&spots, color, width)
            }
        }
        Form::Area { spots, opacity } => canvas.area(&scaled(spots), color, *opacity),
        Form::Mark {
            at,
            radius,
            is_hollow,
        } => {
            let corners = |radius: f64| scaled(&mark_corners(*at, radius, mark_slot(shape)));
            let (inner, outer) = match is_hollow {
                true => (Paint::Paper.light(), color),
                false => (color, Paint::Paper.light()),
            };
            let rim = if *is_hollow { 0.9 } else { 0.4 };
            canvas.area(&corners(radius + rim), outer, 1.0)?;
            canvas.area(&corners(radius - rim), inner, 1.0)
        }
        Form::Text {
            at,
            anchor,
            size,
            text,
            ..
        } => {
            // Its middle is that of its line, which lies higher than that of its digits.
            let at = (DENSITY * at.0, DENSITY * (at.1 + 0.12 * size));
            // The font that is built in has no true minus and no narrow space.
            let text = text.replace('\u{2212}', "-").replace('\u{202f}', " ");
            canvas.text(&text, at, *anchor, DENSITY * size, color)
        }
    }
}

fn scaled(spots: &[Spot]) -> Vec<Spot> {
    let times = |&(x, y): &Spot| (DENSITY * x, DENSITY * y);
    spots.iter().map(times).collect()
}
