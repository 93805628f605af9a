//! Validation NLL during training.

use super::line_entry;
use crate::experiment::OverSeeds;
use crate::experiment::report::compare::{Arm, Comparison};
use crate::experiment::report::gather::{ArmCurve, CurvePoint};
use crate::figure::{
    Axis, Entry, Kind, Paint, Panel, Picture, Point, Shape, changes, range_of, settled,
};
use crate::page::{Data, Figure, fixed, grouped, mean};
use crate::train::plot::XAxis;
use std::ops::RangeInclusive;

/// Fraction of a run at its start that is ignored for the y range, since the initial fall would flatten the
/// rest.
const START: f64 = 0.25;

/// One arm's part of the figure.
struct Drawn<'a> {
    curve: &'a ArmCurve,
    mean: Vec<Point>,
    low: Vec<Point>,
    high: Vec<Point>,
    /// Decayed models: means over the seeds, and tips.
    decayed: Vec<(Point, String)>,
    stage_2: Option<f64>,
}

/// NLL over steps, tokens or time; `None` if no run has a validation.
pub(crate) fn curves(
    comparison: &Comparison<'_>,
    curves: &[ArmCurve],
    axis: XAxis,
) -> Option<Figure> {
    let drawn = curves.iter().map(|curve| drawn(comparison, curve, axis));
    let drawn: Vec<Drawn<'_>> = drawn.filter(|arm| !arm.mean.is_empty()).collect();
    let (name, over) = match axis {
        XAxis::Step => ("curves-steps", "optimizer steps"),
        XAxis::Tokens => ("curves-tokens", "training tokens"),
        XAxis::Seconds => ("curves-time", "time spent in steps"),
    };
    let panel = panel(&drawn, axis)?;
    Some(Figure {
        name,
        label: format!("Validation NLL of every arm over {over}"),
        picture: Picture::of(legend(&drawn), vec![vec![panel]]),
        shows: shows(comparison, &drawn, over),
        caveats: caveats(comparison, axis),
        data: data(&drawn, axis),
    })
}

/// One row per validation and seed; tokens and seconds are means over the seeds.
fn data(drawn: &[Drawn<'_>], axis: XAxis) -> Data {
    let mut data = Data::of(match axis {
        XAxis::Step => &["arm", "seed", "step", "nll"],
        XAxis::Tokens => &["arm", "seed", "tokens", "nll"],
        XAxis::Seconds => &["arm", "seed", "seconds", "nll"],
    });
    for ArmCurve { name, points, .. } in drawn.iter().map(|arm| arm.curve) {
        for point in points {
            let x = axis.of(point.step as f64, point.tokens, point.seconds);
            let values = point.by_seed.iter();
            values.for_each(|(seed, nll)| data.add(&[name, seed, &x, nll]));
        }
    }
    data
}

fn drawn<'a>(comparison: &Comparison<'_>, curve: &'a ArmCurve, axis: XAxis) -> Drawn<'a> {
    let at = |point: &CurvePoint| axis.of(point.step as f64, point.tokens, point.seconds);
    let line = |of: fn(&CurvePoint) -> f64| curve.points.iter().map(|p| (at(p), of(p))).collect();
    let arm = comparison.arms.iter().find(|arm| arm.slot == curve.slot);
    Drawn {
        curve,
        mean: line(|point| point.mean),
        low: line(|point| point.low),
        high: line(|point| point.high),
        decayed: arm.map_or(Vec::new(), |arm| decayed(comparison, arm, axis)),
        stage_2: curve.stage_2.as_ref().map(at),
    }
}

fn decayed(comparison: &Comparison<'_>, arm: &Arm<'_>, axis: XAxis) -> Vec<(Point, String)> {
    let longest = arm.data.runs.iter().max_by_key(|run| run.branches.len());
    let shares = longest.into_iter().flat_map(|run| &run.branches);
    let at_share = |share: f64| {
        let branches = || arm.data.runs.iter().filter_map(|run| run.at(share));
        let first = branches().next()?;
        let seconds = mean(branches().map(|branch| branch.seconds)).unwrap_or(f64::NAN);
        let x = axis.of(first.n_steps as f64, first.n_tokens as f64, seconds);
        let nll = comparison.results.nll(arm.data, 0, share)?;
        let steps = grouped(first.n_steps);
        let tip = format!("{}, decayed at {steps} steps: {}", arm.name(), nll.text(3));
        x.is_finite().then_some(((x, nll.mean), tip))
    };
    shares.filter_map(|branch| at_share(branch.share)).collect()
}

fn legend(drawn: &[Drawn<'_>]) -> Vec<Entry> {
    let arms = drawn
        .iter()
        .map(|arm| line_entry(arm.curve.slot, &arm.curve.name));
    let has_decayed = drawn.iter().any(|arm| !arm.decayed.is_empty());
    let has_change = drawn.iter().any(|arm| arm.stage_2.is_some());
    let others = [
        (has_decayed, Kind::HollowMark, "decayed model"),
        (has_change, Kind::Dashes, "change of stage"),
    ];
    let others = others.into_iter().filter(|(is_there, ..)| *is_there);
    arms.chain(others.map(|(_, kind, name)| Entry::new(kind, Paint::Muted, name)))
        .collect()
}

fn panel(drawn: &[Drawn<'_>], axis: XAxis) -> Option<Panel> {
    let decayed = || drawn.iter().flat_map(|arm| &arm.decayed).map(|(at, _)| *at);
    let points = drawn.iter().flat_map(|arm| &arm.mean).copied();
    let end = points
        .chain(decayed())
        .map(|point| point.0)
        .fold(0.0, f64::max);
    let x = 0.0..=if end > 0.0 { end } else { 1.0 };
    let lines = drawn.iter().flat_map(|arm| [arm.mean.as_slice(), &arm.low]);
    let late = decayed()
        .filter(|point| point.0 >= START * end)
        .map(|point| point.1);
    let y = range_of(settled(lines, START * end).into_iter().chain(late))?;
    let changes = changes(
        drawn
            .iter()
            .filter_map(|arm| Some((arm.stage_2?, arm.curve.slot, arm.curve.name.as_str()))),
        &x,
        &y,
    );
    let bands = drawn.iter().flat_map(|arm| bands(arm, &y));
    let lines = drawn.iter().flat_map(|arm| {
        let paint = Paint::Arm(arm.curve.slot);
        let line = Shape::line(arm.mean.clone(), 2.0, paint).tip(&*arm.curve.name);
        let mark =
            move |(at, tip): &(Point, String)| Shape::hollow_mark(*at, 4.4, paint).tip(&**tip);
        std::iter::once(line).chain(arm.decayed.iter().map(mark))
    });
    Some(Panel {
        heading: "Validation NLL, nats per token".to_owned(),
        shapes: changes.into_iter().chain(bands).chain(lines).collect(),
        x: Axis::of(x, axis.unit(end)),
        y: Axis::values(y),
        heights: [394.0, 284.0],
    })
}

/// Bands from the lowest to the highest seed; validations outside the panel interrupt them.
fn bands(arm: &Drawn<'_>, y: &RangeInclusive<f64>) -> Vec<Shape> {
    let ends: Vec<(Point, Point)> = arm
        .low
        .iter()
        .copied()
        .zip(arm.high.iter().copied())
        .collect();
    let inside = |(low, high): &(Point, Point)| low.1 >= *y.start() && high.1 <= *y.end();
    let parts = ends
        .split(|ends| !inside(ends))
        .filter(|part| part.len() > 1);
    let band = |part: &[(Point, Point)]| {
        let top = part.iter().map(|ends| ends.1);
        let back = part.iter().rev().map(|ends| ends.0);
        let paint = Paint::Arm(arm.curve.slot);
        Shape::new(Kind::Area, top.chain(back).collect(), 0.0, paint).opacity(0.16)
    };
    let has_band = arm.curve.seeds.len() > 1;
    parts.filter(|_| has_band).map(band).collect()
}

fn shows(comparison: &Comparison<'_>, drawn: &[Drawn<'_>], over: &str) -> String {
    let n_runs = drawn
        .iter()
        .map(|arm| arm.curve.seeds.len())
        .max()
        .unwrap_or(1);
    let lines = match n_runs {
        1 => "one run each".to_owned(),
        n => format!("the mean of up to {n} seeds, with a band from the minimum to the maximum"),
    };
    let mut text = format!(
        "Mean NLL on the validation text of the runs (lower is better) over {over}; {lines}."
    );
    if drawn.iter().any(|arm| !arm.decayed.is_empty()) {
        let set = comparison.first_set();
        text += &format!(
            " Hollow marks are models whose learning rate has fully decayed, evaluated on {set}."
        );
    }
    if drawn.iter().any(|arm| arm.stage_2.is_some()) {
        text += " A dashed line marks where an arm switches from labels to tokens.";
    }
    text
}

/// Seconds per step, from the fastest to the slowest run of the grid.
fn pace(comparison: &Comparison<'_>) -> String {
    let of_arm = |arm: &Arm<'_>| comparison.results.seconds_per_step(arm.data);
    let paces: Vec<OverSeeds> = comparison.arms.iter().filter_map(of_arm).collect();
    let least = paces
        .iter()
        .map(|pace| pace.min)
        .fold(f64::INFINITY, f64::min);
    let most = paces.iter().map(|pace| pace.max).fold(0.0, f64::max);
    match paces.is_empty() {
        true => String::new(),
        false => format!(
            " Depending on the run, a step took {} to {} s: as far as that reflects the load of the machine, this figure compares the load, not the arms.",
            fixed(least, 3),
            fixed(most, 3)
        ),
    }
}

fn caveats(comparison: &Comparison<'_>, axis: XAxis) -> String {
    let own = match axis {
        XAxis::Step | XAxis::Tokens => {
            "The costs of labelling and of the teacher's own training are not included.".to_owned()
        }
        XAxis::Seconds => format!(
            "Only the time spent in training steps is counted, not validation, labelling or the teacher's own \
             training; it depends on what else ran on the machine.{}",
            pace(comparison)
        ),
    };
    format!(
        "{own} Before its decay a model is worse than it would be after it: compare marks with marks, not with \
         lines, which may also be for a different text. The initial drop is cut off."
    )
}
