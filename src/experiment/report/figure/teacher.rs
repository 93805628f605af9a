//! How far the teacher is from the data, as far as it can be told.

use super::chart::roomy;
use super::palette::Paint;
use super::scene::{Anchor, LABEL_SIZE, Scene};
use super::{Figure, is_wide};
use crate::bounds::DivergenceBounds;
use crate::experiment::report::gather::TeacherNotes;
use crate::experiment::report::numbers::fixed;
use crate::train::plot::axis::ticks;

const ROW: f64 = 34.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 40.0;
const LABELS: f64 = 118.0;

/// A row of bounds.
struct Bounds {
    name: String,
    /// Least and greatest.
    tv: (f64, f64),
    kl: (f64, f64),
}

/// Which bounds of a row a panel shows.
type Ends = fn(&Bounds) -> (f64, f64);

/// Bars from the lower to the upper bound, over all positions and by the teacher's entropy.
pub(crate) fn teacher_bounds(notes: &TeacherNotes) -> Figure {
    let figures = notes.best();
    let all = figures.by_topk.as_ref().unwrap_or(&figures.by_scores);
    let thirds = figures.entropy_buckets.iter();
    let rows: Vec<Bounds> = std::iter::once(bounds("all", all))
        .chain(thirds.map(|third| bounds(&format!("{} entropy", third.name), &third.bounds)))
        .collect();
    let label = "Bounds on the teacher\u{2019}s divergence from the data".to_owned();
    let figure = Figure::new("teacher", label, |width| scene(width, &rows));
    figure.caption(shows(notes, all), hides(notes, all))
}

fn bounds(name: &str, bounds: &DivergenceBounds) -> Bounds {
    Bounds {
        name: name.to_owned(),
        // A total variation is never above 1.
        tv: (
            bounds.tv_at_least,
            bounds.tv_at_most.map_or(1.0, |most| most.mean),
        ),
        kl: (bounds.kl_at_least, bounds.kl_at_most.mean),
    }
}

fn shows(notes: &TeacherNotes, all: &DivergenceBounds) -> String {
    let text = match notes.held_out {
        Some(_) => "text that it was not trained on",
        None => "the labelled text",
    };
    format!(
        "Between which values the mean divergence of the teacher T from the data P lies on {text}, over all positions \
         and by thirds of its entropy. Total variation: at least | share of targets among its {k} best \u{2212} the mass it \
         gives them |, at most the mean of 1\u{a0}\u{2212}\u{a0}p of the target. KL: at least twice the square of that lower bound, \
         at most the mean NLL.",
        k = all.k
    )
}

fn hides(notes: &TeacherNotes, all: &DivergenceBounds) -> String {
    let mut text = "Where between its bounds the divergence is: the upper ones hold the data\u{2019}s own entropy, so a long \
        bar is no sign of a bad teacher."
        .to_owned();
    if all.tv_at_least_beyond_noise == 0.0 {
        text += " The lower bound over all positions is within its sampling noise.";
    }
    if notes.held_out.is_none() {
        text += " The bounds hold on text that is new to the teacher; if it was trained on this one, they say nothing \
            certain: give labels of held-out text.";
    }
    text
}

fn scene(width: f64, rows: &[Bounds]) -> Scene {
    let mut scene = Scene::new(width);
    let panels: [(&str, Ends); 2] = [
        ("Total variation, 0 to 1", |row| row.tv),
        ("KL(P, T), nats per token", |row| row.kl),
    ];
    let n_columns = if is_wide(width) { 2 } else { 1 };
    let column = width / f64::from(n_columns);
    let panel = TOP + ROW * rows.len() as f64 + BOTTOM;
    for (i, (heading, of)) in panels.into_iter().enumerate() {
        let i = i as i32;
        let left = f64::from(i % n_columns) * column;
        let top = f64::from(i / n_columns) * panel;
        let place = (left, left + column - 20.0, top);
        draw_panel(&mut scene, heading, rows, of, place);
        scene.height = top + panel;
    }
    scene
}

fn draw_panel(
    scene: &mut Scene,
    heading: &str,
    rows: &[Bounds],
    of: Ends,
    (start, right, top): (f64, f64, f64),
) {
    scene.heading(heading, (start + 4.0, top + 14.0));
    let left = start + LABELS;
    let most = rows
        .iter()
        .map(|row| of(row).1)
        .filter(|most| most.is_finite());
    let range = 0.0..=*roomy(0.0, most.fold(0.0, f64::max)).end();
    let x_of = |value: f64| left + (right - left) * (value / range.end()).min(1.0);
    let bottom = top + TOP + ROW * rows.len() as f64;
    for tick in ticks(&range, 4, 0.0) {
        let x = x_of(tick.at);
        scene.line(vec![(x, top + TOP), (x, bottom)], 1.0, Paint::Grid);
        let at = (x, bottom + 14.0);
        scene.text(tick.label, at, Anchor::Middle, LABEL_SIZE, Paint::Muted);
    }
    for (i, row) in rows.iter().enumerate() {
        let y = top + TOP + (i as f64 + 0.5) * ROW;
        let (low, high) = of(row);
        let at = (left - 10.0, y);
        scene.text(&*row.name, at, Anchor::Right, LABEL_SIZE, Paint::Ink);
        let bar = scene.bar(
            (x_of(low), y - 7.0),
            (x_of(high), y + 7.0),
            0.4,
            Paint::Chosen,
        );
        bar.tip(format!(
            "{}: {} to {}",
            row.name,
            fixed(low, 4),
            fixed(high, 3)
        ));
        for end in [low, high] {
            let x = x_of(end);
            scene.line(vec![(x, y - 10.0), (x, y + 10.0)], 2.4, Paint::Chosen);
        }
    }
}
