//! How far the teacher is from the data, as far as it can be told.

use super::Figure;
use crate::bounds::DivergenceBounds;
use crate::experiment::report::gather::TeacherNotes;
use crate::experiment::report::numbers::fixed;
use crate::figure::{Axis, Paint, Panel, Picture, Shape, Unit, range_of};

/// Points of a row.
const ROW: f64 = 34.0;

/// Name of a row, and its lower and upper bound.
type Row = (String, f64, f64);

/// Bars from the lower to the upper bound, over all positions and by the teacher's entropy.
pub(crate) fn teacher_bounds(notes: &TeacherNotes) -> Figure {
    let figures = notes.best();
    let all = figures.by_topk.as_ref().unwrap_or(&figures.by_scores);
    let thirds = figures.entropy_buckets.iter();
    let thirds = thirds.map(|third| (format!("{} entropy", third.name), &third.bounds));
    let rows: Vec<_> = std::iter::once(("all".to_owned(), all))
        .chain(thirds)
        .collect();
    let panel = |heading, of: fn(&DivergenceBounds) -> (f64, f64)| {
        let rows = rows.iter().map(|(name, bounds)| {
            let (low, high) = of(bounds);
            (name.clone(), low, high)
        });
        panel(heading, &rows.collect::<Vec<_>>())
    };
    let panels = vec![
        // A total variation is never above 1.
        panel("Total variation, 0 to 1", |bounds| {
            (
                bounds.tv_at_least,
                bounds.tv_at_most.map_or(1.0, |most| most.mean),
            )
        }),
        panel("KL(P, T), nats per token", |bounds| {
            (bounds.kl_at_least, bounds.kl_at_most.mean)
        }),
    ];
    Figure {
        name: "teacher",
        label: "Bounds on the teacher\u{2019}s divergence from the data".to_owned(),
        picture: Picture::of(Vec::new(), vec![panels]),
        shows: shows(notes, all),
        hides: hides(notes, all),
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

fn panel(heading: &str, rows: &[Row]) -> Panel {
    let range = range_of(rows.iter().map(|row| row.2).chain([0.0]));
    let end = range.map_or(1.0, |range| *range.end());
    // The first row is on top.
    let shapes = (0..)
        .zip(rows.iter().rev())
        .flat_map(|(i, (name, low, high))| {
            let tip = format!("{name}: {} to {}", fixed(*low, 4), fixed(*high, 3));
            let (y, high) = (f64::from(i) + 0.5, high.min(end));
            let bar = Shape::bar((*low, y - 0.2), (high, y + 0.2), Paint::Chosen);
            let end = |x| Shape::line(vec![(x, y - 0.3), (x, y + 0.3)], 2.4, Paint::Chosen);
            [bar.opacity(0.4).tip(tip), end(*low), end(high)]
        });
    Panel {
        heading: heading.to_owned(),
        x: Axis::of(0.0..=end, Unit::plain("")).with_grid(),
        y: Axis::names(rows.iter().rev().map(|row| (row.0.clone(), None))),
        heights: [ROW * rows.len() as f64; 2],
        shapes: shapes.collect(),
    }
}
