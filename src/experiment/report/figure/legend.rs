//! Who is who, above a figure.

use super::palette::Paint;
use super::scene::{Anchor, LABEL_SIZE, Scene, width_of};

const ROW_HEIGHT: f64 = 22.0;
/// Width of the sample of a line, with the room after it.
const SAMPLE: f64 = 32.0;
const GAP: f64 = 20.0;

/// What stands beside a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sample {
    /// A line with a mark.
    Line(Paint),
    /// A filled square.
    Block(Paint),
    /// A dashed line.
    Dashes(Paint),
    /// A hollow mark.
    Hollow(Paint),
}

/// Draws entries in rows from `top` down, and says where they end.
pub(crate) fn draw(scene: &mut Scene, top: f64, entries: &[(Sample, String)]) -> f64 {
    let (mut x, mut y) = (4.0, top + ROW_HEIGHT / 2.0);
    for (sample, text) in entries {
        let width = SAMPLE + width_of(text, LABEL_SIZE);
        if x > 4.0 && x + width > scene.width - 4.0 {
            (x, y) = (4.0, y + ROW_HEIGHT);
        }
        draw_sample(scene, (x, y), *sample);
        let arm = paint(*sample).arm();
        let at = (x + SAMPLE, y);
        let drawn = scene.text(text, at, Anchor::Left, LABEL_SIZE, Paint::Ink);
        drawn.arm = arm;
        x += width + GAP;
    }
    if entries.is_empty() {
        return top;
    }
    y + ROW_HEIGHT / 2.0 + 4.0
}

fn paint(sample: Sample) -> Paint {
    match sample {
        Sample::Line(paint)
        | Sample::Block(paint)
        | Sample::Dashes(paint)
        | Sample::Hollow(paint) => paint,
    }
}

fn draw_sample(scene: &mut Scene, (x, y): (f64, f64), sample: Sample) {
    let ends = vec![(x, y), (x + SAMPLE - 8.0, y)];
    let middle = (x + (SAMPLE - 8.0) / 2.0, y);
    match sample {
        Sample::Line(paint) => {
            scene.line(ends, 2.2, paint);
            scene.mark(middle, 4.0, paint);
        }
        Sample::Dashes(paint) => {
            scene.dashed(ends, 1.4, paint);
        }
        Sample::Block(paint) => {
            scene.bar((x + 6.0, y - 6.0), (x + 18.0, y + 6.0), 1.0, paint);
        }
        Sample::Hollow(paint) => {
            scene.hollow_mark(middle, 4.2, paint);
        }
    }
}
