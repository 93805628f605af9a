//! Final NLL of every seed, arm beneath arm.

use super::chart::roomy;
use super::palette::Paint;
use super::scene::{Anchor, LABEL_SIZE, Scene, width_of};
use super::{Figure, is_wide};
use crate::experiment::report::compare::{Arm, Comparison};
use crate::experiment::report::numbers::fixed;
use crate::train::plot::axis::ticks;
use std::ops::RangeInclusive;

const ROW: f64 = 28.0;
/// Room for the heading of a panel, and for its axis beneath.
const TOP: f64 = 36.0;
const BOTTOM: f64 = 44.0;

/// A panel a set; `None` while no run is done.
pub(crate) fn finals(comparison: &Comparison<'_>) -> Option<Figure> {
    let has_any = |i: &usize| comparison.arms.iter().any(|arm| arm.sets[*i].nll.is_some());
    let sets: Vec<usize> = (0..comparison.results.sets.len()).filter(has_any).collect();
    if sets.is_empty() {
        return None;
    }
    let label = "Final NLL of every arm and seed".to_owned();
    let figure = Figure::new("final", label, |width| scene(width, comparison, &sets));
    Some(figure.caption(
        "NLL of each final model, a mark a seed, and the mean over seeds as an upright line; the dashed \
         line is the baseline's mean. Further left is better.",
        "The axis does not begin at zero, so lengths are not to be compared, only places. A spread of \
         a few seeds says little about the next seed.",
    ))
}

fn scene(width: f64, comparison: &Comparison<'_>, sets: &[usize]) -> Scene {
    let mut scene = Scene::new(width);
    let n_columns = if is_wide(width) { sets.len().min(2) } else { 1 };
    let names = comparison
        .arms
        .iter()
        .map(|arm| width_of(arm.name(), LABEL_SIZE));
    let label_room = names.fold(0.0, f64::max).min(0.4 * width) + 18.0;
    let column = width / n_columns as f64;
    let panel = TOP + ROW * comparison.arms.len() as f64 + BOTTOM;
    for (i, &set) in sets.iter().enumerate() {
        let left = (i % n_columns) as f64 * column;
        let top = (i / n_columns) as f64 * (panel + 14.0);
        let right = left + column - 14.0;
        draw_panel(
            &mut scene,
            comparison,
            set,
            (left, left + label_room, right, top),
        );
        scene.height = top + panel;
    }
    scene
}

fn draw_panel(
    scene: &mut Scene,
    comparison: &Comparison<'_>,
    set: usize,
    (start, left, right, top): (f64, f64, f64, f64),
) {
    let values = comparison
        .arms
        .iter()
        .filter_map(|arm| arm.sets[set].nll.as_ref())
        .flat_map(|nll| [nll.min, nll.max]);
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let range = roomy(low, values.fold(f64::NEG_INFINITY, f64::max));
    let x_of =
        |nll: f64| left + (right - left) * (nll - range.start()) / (range.end() - range.start());
    let bottom = top + TOP + ROW * comparison.arms.len() as f64;
    let name = &comparison.results.sets[set].name;
    scene.heading(
        format!("Final NLL on {name}, nats per token"),
        (start + 4.0, top + 14.0),
    );
    draw_axis(scene, (left, right, top + TOP, bottom), &range);
    if let Some(mean) = comparison
        .baseline()
        .and_then(|arm| arm.sets[set].nll.as_ref())
    {
        let x = x_of(mean.mean);
        scene.dashed(vec![(x, top + TOP), (x, bottom)], 1.4, Paint::Arm(0));
    }
    for (row, arm) in comparison.arms.iter().enumerate() {
        let y = top + TOP + (row as f64 + 0.5) * ROW;
        let at = (left - 12.0, y);
        let drawn = scene.text(arm.name(), at, Anchor::Right, LABEL_SIZE, Paint::Ink);
        drawn.of_arm(arm.slot);
        draw_row(scene, arm, set, y, x_of);
    }
}

fn draw_axis(
    scene: &mut Scene,
    (left, right, top, bottom): (f64, f64, f64, f64),
    range: &RangeInclusive<f64>,
) {
    let n = ((right - left) / 84.0).max(2.0) as usize;
    for tick in ticks(range, n, 0.0) {
        let x = left + (right - left) * (tick.at - range.start()) / (range.end() - range.start());
        scene.line(vec![(x, top), (x, bottom)], 1.0, Paint::Grid);
        let at = (x, bottom + 14.0);
        scene.text(tick.label, at, Anchor::Middle, LABEL_SIZE, Paint::Muted);
    }
    scene.line(vec![(left, bottom), (right, bottom)], 1.0, Paint::Muted);
}

fn draw_row(scene: &mut Scene, arm: &Arm<'_>, set: usize, y: f64, x_of: impl Fn(f64) -> f64) {
    let paint = Paint::Arm(arm.slot);
    let Some(nll) = &arm.sets[set].nll else {
        return;
    };
    if nll.values.len() > 1 {
        scene.line(vec![(x_of(nll.min), y), (x_of(nll.max), y)], 2.0, paint);
        let x = x_of(nll.mean);
        let mean = scene.line(vec![(x, y - 9.0), (x, y + 9.0)], 2.6, paint);
        mean.tip(format!("{}: {}", arm.name(), nll.text(4)));
    }
    for (seed, value) in &nll.values {
        let mark = scene.mark((x_of(*value), y), 4.2, paint);
        mark.tip(format!("{}, seed {seed}: {}", arm.name(), fixed(*value, 4)));
    }
}
