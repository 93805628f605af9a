//! Validation NLL while runs train.

use super::chart::Chart;
use super::legend::{self, Sample};
use super::palette::Paint;
use super::scene::{Scene, Spot};
use super::{Figure, is_wide};
use crate::experiment::Spread;
use crate::experiment::report::compare::{Arm, Comparison};
use crate::experiment::report::gather::{ArmCurve, CurvePoint};
use crate::experiment::report::numbers::{fixed, grouped, mean};
use crate::train::plot::axis::XAxis;
use crate::train::plot::series::{clipped, thinned, y_range};
use std::ops::RangeInclusive;

/// The first share of a run, whose fall would flatten what is to be compared.
const SETTLED: f64 = 0.25;

/// A decayed model: mean over the seeds of an arm at one share.
#[derive(Debug, Clone, PartialEq)]
struct Decayed {
    at: Spot,
    tip: String,
}

/// What one arm has in the figure.
struct Drawn<'a> {
    curve: &'a ArmCurve,
    mean: Vec<Spot>,
    low: Vec<Spot>,
    high: Vec<Spot>,
    decayed: Vec<Decayed>,
    stage_2: Option<f64>,
}

/// NLL over steps, tokens or time; `None` where no run has a validation.
pub(crate) fn curves(
    comparison: &Comparison<'_>,
    curves: &[ArmCurve],
    axis: XAxis,
) -> Option<Figure> {
    let drawn: Vec<Drawn<'_>> = curves
        .iter()
        .map(|curve| drawn(comparison, curve, axis))
        .filter(|drawn| !drawn.mean.is_empty())
        .collect();
    let most = drawn.iter().flat_map(|arm| &arm.mean).map(|point| point.0);
    let decayed = drawn
        .iter()
        .flat_map(|arm| &arm.decayed)
        .map(|dot| dot.at.0);
    let end = most.chain(decayed).fold(0.0, f64::max);
    let x_range = 0.0..=if end > 0.0 { end } else { 1.0 };
    let y = range_of(&drawn, &x_range)?;
    let (name, over) = match axis {
        XAxis::Step => ("curves-steps", "optimizer steps"),
        XAxis::Tokens => ("curves-tokens", "tokens learnt from"),
        XAxis::Seconds => ("curves-time", "time of the steps"),
    };
    let label = format!("Validation NLL of every arm over {over}");
    let figure = Figure::new(name, label, |width| {
        scene(width, &drawn, (&x_range, &y), axis)
    });
    Some(figure.caption(shows(comparison, &drawn, over), hides(comparison, axis)))
}

fn drawn<'a>(comparison: &Comparison<'_>, curve: &'a ArmCurve, axis: XAxis) -> Drawn<'a> {
    let at = |point: &CurvePoint| match axis {
        XAxis::Step => point.step as f64,
        XAxis::Tokens => point.tokens,
        XAxis::Seconds => point.seconds,
    };
    let line = |of: fn(&CurvePoint) -> f64| curve.points.iter().map(|p| (at(p), of(p))).collect();
    Drawn {
        curve,
        mean: line(|point| point.mean),
        low: line(|point| point.low),
        high: line(|point| point.high),
        decayed: decayed(comparison, curve, axis),
        stage_2: curve.stage_2.as_ref().map(at),
    }
}

fn decayed(comparison: &Comparison<'_>, curve: &ArmCurve, axis: XAxis) -> Vec<Decayed> {
    let arm = comparison.arms.iter().find(|arm| arm.slot == curve.slot);
    let Some(arm) = arm else { return Vec::new() };
    let Some(longest) = arm.data.runs.iter().max_by_key(|run| run.branches.len()) else {
        return Vec::new();
    };
    let shares = longest.branches.iter().map(|branch| branch.share);
    let at_share = |share: f64| {
        let branches = || arm.data.runs.iter().filter_map(|run| run.at(share));
        let first = branches().next()?;
        let x = match axis {
            XAxis::Step => first.n_steps as f64,
            XAxis::Tokens => first.n_tokens as f64,
            XAxis::Seconds => mean(branches().map(|branch| branch.seconds))?,
        };
        let nll = comparison.results.nll(arm.data, 0, share)?;
        let steps = grouped(first.n_steps);
        Some(Decayed {
            at: (x, nll.mean),
            tip: format!("{}, decayed at {steps} steps: {}", arm.name(), nll.text(3)),
        })
    };
    shares.filter_map(at_share).collect()
}

fn range_of(drawn: &[Drawn<'_>], x: &RangeInclusive<f64>) -> Option<RangeInclusive<f64>> {
    let dots: Vec<Spot> = drawn
        .iter()
        .flat_map(|arm| arm.decayed.iter().map(|dot| dot.at))
        .collect();
    let end = *x.end();
    let settled: Vec<Vec<Spot>> = drawn
        .iter()
        .map(|arm| late(&arm.mean, end))
        .chain(drawn.iter().map(|arm| late(&arm.low, end)))
        .chain([dots])
        .collect();
    y_range(settled.iter().map(Vec::as_slice), x)
}

fn late(points: &[Spot], end: f64) -> Vec<Spot> {
    let kept = points.iter().filter(|point| point.0 >= SETTLED * end);
    let kept: Vec<Spot> = kept.copied().collect();
    if kept.is_empty() {
        points.to_vec()
    } else {
        kept
    }
}

fn scene(
    width: f64,
    drawn: &[Drawn<'_>],
    (x, y): (&RangeInclusive<f64>, &RangeInclusive<f64>),
    axis: XAxis,
) -> Scene {
    let mut scene = Scene::new(width);
    let top = legend::draw(&mut scene, 0.0, &entries(drawn));
    scene.heading("Validation NLL, nats per token", (4.0, top + 14.0));
    let height = if is_wide(width) { 440.0 } else { 330.0 };
    let chart = Chart::new(&scene, (top + 34.0, height), x.clone(), y.clone());
    chart.draw_y(&mut scene);
    chart.draw_x(&mut scene, axis.unit(*x.end()));
    draw_stages(&mut scene, &chart, drawn);
    for arm in drawn {
        draw_band(&mut scene, &chart, arm);
    }
    for arm in drawn {
        draw_arm(&mut scene, &chart, arm);
    }
    scene.height = top + 34.0 + height;
    scene
}

fn entries(drawn: &[Drawn<'_>]) -> Vec<(Sample, String)> {
    let mut entries: Vec<(Sample, String)> = drawn
        .iter()
        .map(|arm| {
            (
                Sample::Line(Paint::Arm(arm.curve.slot)),
                arm.curve.name.clone(),
            )
        })
        .collect();
    if drawn.iter().any(|arm| !arm.decayed.is_empty()) {
        entries.push((Sample::Hollow(Paint::Muted), "decayed model".to_owned()));
    }
    if drawn.iter().any(|arm| arm.stage_2.is_some()) {
        entries.push((Sample::Dashes(Paint::Muted), "change of stage".to_owned()));
    }
    entries
}

/// Arms that change at the same place share one line, since their colours would hide each other.
fn draw_stages(scene: &mut Scene, chart: &Chart, drawn: &[Drawn<'_>]) {
    let near = (chart.right - chart.left) / 300.0;
    let mut places: Vec<(f64, Vec<&Drawn<'_>>)> = Vec::new();
    for arm in drawn {
        let Some(x) = arm.stage_2.map(|x| chart.x_of(x)) else {
            continue;
        };
        match places
            .iter_mut()
            .find(|(place, _)| (*place - x).abs() < near)
        {
            Some((_, arms)) => arms.push(arm),
            None => places.push((x, vec![arm])),
        }
    }
    for (x, arms) in places {
        let paint = match arms.as_slice() {
            [one] => Paint::Arm(one.curve.slot),
            _ => Paint::Muted,
        };
        let names: Vec<&str> = arms.iter().map(|arm| arm.curve.name.as_str()).collect();
        let line = scene.dashed(vec![(x, chart.top), (x, chart.bottom)], 1.4, paint);
        line.tip(format!("from labels to tokens: {}", names.join(", ")));
    }
}

/// From the least to the greatest of the seeds.
fn draw_band(scene: &mut Scene, chart: &Chart, arm: &Drawn<'_>) {
    if arm.curve.seeds.len() < 2 {
        return;
    }
    // A stretch between two validations at a time: one that leaves the chart is left out.
    let ends = arm.low.iter().zip(&arm.high);
    let spots: Vec<(Spot, Spot)> = ends
        .map(|(low, high)| (chart.spot(*low), chart.spot(*high)))
        .collect();
    let inside = |(low, high): &(Spot, Spot)| low.1 <= chart.bottom && high.1 >= chart.top;
    for part in spots
        .split(|ends| !inside(ends))
        .filter(|part| part.len() > 1)
    {
        let there = part.iter().map(|ends| ends.1);
        let back = part.iter().rev().map(|ends| ends.0);
        scene.area(
            there.chain(back).collect(),
            0.16,
            Paint::Arm(arm.curve.slot),
        );
    }
}

fn draw_arm(scene: &mut Scene, chart: &Chart, arm: &Drawn<'_>) {
    let paint = Paint::Arm(arm.curve.slot);
    for part in clipped(&thinned(&arm.mean), &chart.y) {
        let spots = part.into_iter().map(|point| chart.spot(point)).collect();
        scene.line(spots, 2.0, paint).tip(arm.curve.name.clone());
    }
    for dot in &arm.decayed {
        if chart.y.contains(&dot.at.1) {
            let at = chart.spot(dot.at);
            scene.hollow_mark(at, 4.4, paint).tip(dot.tip.clone());
        }
    }
}

fn shows(comparison: &Comparison<'_>, drawn: &[Drawn<'_>], over: &str) -> String {
    let n_runs = drawn
        .iter()
        .map(|arm| arm.curve.seeds.len())
        .max()
        .unwrap_or(1);
    let lines = match n_runs {
        1 => "one run each".to_owned(),
        n => format!("the mean of up to {n} seeds, with a band from the least to the greatest"),
    };
    let mut text = format!(
        "Mean NLL on the validation text of the runs (lower is better) over {over}; {lines}."
    );
    if drawn.iter().any(|arm| !arm.decayed.is_empty()) {
        let set = comparison.first_set();
        text += &format!(
            " Hollow marks are models whose learning rate has been decayed to its end, evaluated on {set}."
        );
    }
    if drawn.iter().any(|arm| arm.stage_2.is_some()) {
        text += " A dashed line marks where an arm goes from labels to tokens.";
    }
    text
}

/// Seconds a step, from the quickest run of the grid to the slowest.
fn pace(comparison: &Comparison<'_>) -> String {
    let of_arm = |arm: &Arm<'_>| comparison.results.seconds_per_step(arm.data);
    let paces: Vec<Spread> = comparison.arms.iter().filter_map(of_arm).collect();
    let least = paces
        .iter()
        .map(|pace| pace.min)
        .fold(f64::INFINITY, f64::min);
    let most = paces.iter().map(|pace| pace.max).fold(0.0, f64::max);
    match paces.is_empty() {
        true => String::new(),
        false => format!(
            " A step took from {} to {} s, run by run: as far as that is the load of the machine, this figure compares it, and not the arms.",
            fixed(least, 3),
            fixed(most, 3)
        ),
    }
}

fn hides(comparison: &Comparison<'_>, axis: XAxis) -> String {
    let own = match axis {
        XAxis::Step | XAxis::Tokens => {
            "What labelling and the teacher's own training cost is not in it.".to_owned()
        }
        XAxis::Seconds => format!(
            "Only the time of the steps is counted: neither validations, nor labelling, nor the \
             teacher's own training; and it is that of the machine, with whatever else ran on it.{}",
            pace(comparison)
        ),
    };
    format!(
        "{own} Before its decay a model is worse than what it would be decayed: compare marks with \
         marks, and not marks with lines, whose text may be another one too. The first fall is cut off."
    )
}
