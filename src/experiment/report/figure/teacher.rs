//! How far the teacher is from the data, as far as it can be told.

use super::chart::roomy;
use super::palette::Paint;
use super::scene::{Anchor, LABEL_SIZE, Scene};
use super::{Figure, is_wide};
use crate::experiment::report::inputs::{TeacherBounds, TeacherFigures};
use crate::experiment::report::numbers::fixed;
use crate::train::plot::axis::ticks;

const ROW: f64 = 34.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 40.0;
const LABELS: f64 = 78.0;

/// Bars from the lower to the upper bound; `None` without bounds.
pub(crate) fn teacher_bounds(figures: &TeacherFigures) -> Option<Figure> {
    if figures.bounds.is_empty() {
        return None;
    }
    let label = "Bounds on the teacher\u{2019}s divergence from the data".to_owned();
    let figure = Figure::new("teacher", label, |width| scene(width, &figures.bounds));
    Some(figure.caption(
        "Between which values the teacher\u{2019}s mean divergence from the data lies, overall and by bucket: total \
         variation at least | share of targets among the k best \u{2212} mass of the k best | and at most the mean \
         of 1 \u{2212} p of the target; KL at least twice the square of that lower bound, and at most the teacher\u{2019}s NLL.",
        "Where between its bounds the divergence is. The upper ones hold the data\u{2019}s own entropy, so a wide bar is no \
         sign of a bad teacher; the buckets are made by the teacher\u{2019}s NLL, which moves both ends of theirs.",
    ))
}

fn scene(width: f64, bounds: &[TeacherBounds]) -> Scene {
    let mut scene = Scene::new(width);
    let panels: [(&str, fn(&TeacherBounds) -> (f64, f64)); 2] = [
        ("Total variation, 0 to 1", |b| (b.tv_lower, b.tv_upper)),
        ("KL(data, teacher), nats per token", |b| {
            (b.kl_lower, b.kl_upper)
        }),
    ];
    let n_columns = if is_wide(width) { 2 } else { 1 };
    let column = width / f64::from(n_columns);
    let panel = TOP + ROW * bounds.len() as f64 + BOTTOM;
    for (i, (heading, of)) in panels.into_iter().enumerate() {
        let i = i as i32;
        let left = f64::from(i % n_columns) * column;
        let top = f64::from(i / n_columns) * panel;
        let place = (left, left + column - 16.0, top);
        draw_panel(&mut scene, heading, bounds, of, place);
        scene.height = top + panel;
    }
    scene
}

fn draw_panel(
    scene: &mut Scene,
    heading: &str,
    bounds: &[TeacherBounds],
    of: fn(&TeacherBounds) -> (f64, f64),
    (start, right, top): (f64, f64, f64),
) {
    scene.heading(heading, (start + 4.0, top + 14.0));
    let left = start + LABELS;
    let most = bounds.iter().map(|b| of(b).1).fold(0.0, f64::max);
    let range = 0.0..=*roomy(0.0, most).end();
    let x_of = |value: f64| left + (right - left) * value / range.end();
    let bottom = top + TOP + ROW * bounds.len() as f64;
    for tick in ticks(&range, 5, 0.0) {
        let x = x_of(tick.at);
        scene.line(vec![(x, top + TOP), (x, bottom)], 1.0, Paint::Grid);
        let at = (x, bottom + 14.0);
        scene.text(tick.label, at, Anchor::Middle, LABEL_SIZE, Paint::Muted);
    }
    for (i, bound) in bounds.iter().enumerate() {
        let y = top + TOP + (i as f64 + 0.5) * ROW;
        let (low, high) = of(bound);
        let at = (left - 10.0, y);
        scene.text(&*bound.name, at, Anchor::Right, LABEL_SIZE, Paint::Ink);
        let bar = scene.bar(
            (x_of(low), y - 7.0),
            (x_of(high), y + 7.0),
            0.55,
            Paint::Chosen,
        );
        bar.tip(format!(
            "{}: {} to {}",
            bound.name,
            fixed(low, 3),
            fixed(high, 3)
        ));
        for end in [low, high] {
            let x = x_of(end);
            scene.line(vec![(x, y - 10.0), (x, y + 10.0)], 2.2, Paint::Chosen);
        }
    }
}
