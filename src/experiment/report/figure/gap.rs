//! Difference to the baseline at the same step.

use super::chart::{Chart, roomy};
use super::legend::{self, Sample};
use super::palette::Paint;
use super::scene::{Scene, Spot};
use super::{Figure, is_wide};
use crate::experiment::report::gather::ArmCurve;
use crate::experiment::report::numbers::mean;
use crate::train::plot::axis::XAxis;
use crate::train::plot::series::{clipped, thinned};

/// One arm's difference.
struct Gap<'a> {
    curve: &'a ArmCurve,
    points: Vec<Spot>,
}

/// NLL less the baseline's at the same step; `None` without both.
pub(crate) fn gap(curves: &[ArmCurve]) -> Option<Figure> {
    let baseline = curves.iter().find(|curve| curve.slot == 0)?;
    let gaps: Vec<Gap<'_>> = curves
        .iter()
        .filter(|curve| curve.slot > 0)
        .map(|curve| gap_of(curve, baseline))
        .filter(|gap| gap.points.len() > 1)
        .collect();
    let end = gaps
        .iter()
        .flat_map(|gap| &gap.points)
        .map(|p| p.0)
        .fold(0.0, f64::max);
    // Early differences are many times those that last.
    let settled = gaps
        .iter()
        .flat_map(|gap| &gap.points)
        .filter(|p| p.0 >= 0.12 * end);
    let ys: Vec<f64> = settled.map(|p| p.1).chain([0.0]).collect();
    if gaps.is_empty() || ys.len() < 2 {
        return None;
    }
    let low = ys.iter().copied().fold(f64::INFINITY, f64::min);
    let high = ys.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let label = format!("Validation NLL of every arm less that of {}", baseline.name);
    let figure = Figure::new("difference", label, |width| {
        scene(width, &gaps, baseline, (end, low, high))
    });
    Some(figure.caption(
        format!(
            "Mean validation NLL of an arm less that of {} after the same number of steps; below zero the arm is ahead.",
            baseline.name
        ),
        "Models here are not decayed until the last steps, where the learning rates fall for all arms alike. \
         The mean is over the seeds that both have; their spread is in the figures of the final models.",
    ))
}

fn gap_of<'a>(curve: &'a ArmCurve, baseline: &ArmCurve) -> Gap<'a> {
    let at = |step: u64| baseline.points.iter().find(|point| point.step == step);
    let points = curve.points.iter().filter_map(|point| {
        let gap = paired(&point.by_seed, &at(point.step)?.by_seed)?;
        Some((point.step as f64, gap))
    });
    Gap {
        curve,
        points: points.collect(),
    }
}

/// Mean difference over the seeds of both.
fn paired(ours: &[(u64, f64)], baseline: &[(u64, f64)]) -> Option<f64> {
    let other = |seed| baseline.iter().find(|(known, _)| *known == seed);
    mean(
        ours.iter()
            .filter_map(|&(seed, nll)| Some(nll - other(seed)?.1)),
    )
}

fn scene(
    width: f64,
    gaps: &[Gap<'_>],
    baseline: &ArmCurve,
    (end, low, high): (f64, f64, f64),
) -> Scene {
    let mut scene = Scene::new(width);
    let mut entries: Vec<(Sample, String)> = gaps
        .iter()
        .map(|gap| {
            (
                Sample::Line(Paint::Arm(gap.curve.slot)),
                gap.curve.name.clone(),
            )
        })
        .collect();
    entries.push((Sample::Dashes(Paint::Arm(0)), baseline.name.clone()));
    let top = legend::draw(&mut scene, 0.0, &entries);
    let heading = format!("NLL less that of {}, nats per token", baseline.name);
    scene.heading(heading, (4.0, top + 14.0));
    let height = if is_wide(width) { 330.0 } else { 280.0 };
    let chart = Chart::new(&scene, (top + 34.0, height), 0.0..=end, roomy(low, high));
    chart.draw_y(&mut scene);
    chart.draw_x(&mut scene, XAxis::Step.unit(end));
    let zero = chart.y_of(0.0);
    scene.dashed(
        vec![(chart.left, zero), (chart.right, zero)],
        1.6,
        Paint::Arm(0),
    );
    for gap in gaps {
        let paint = Paint::Arm(gap.curve.slot);
        for part in clipped(&thinned(&gap.points), &chart.y) {
            let spots = part.into_iter().map(|point| chart.spot(point)).collect();
            scene.line(spots, 2.0, paint).tip(gap.curve.name.clone());
        }
    }
    scene.height = top + 34.0 + height;
    scene
}

#[cfg(test)]
mod tests {
    use super::paired;

    #[test]
    fn a_seed_that_one_of_the_two_lacks_does_not_count() {
        let baseline = [(0, 4.5), (1, 6.0), (2, 5.0)];
        assert_eq!(paired(&[(2, 4.75), (0, 4.0)], &baseline), Some(-0.375));
        assert_eq!(paired(&[(3, 4.0)], &baseline), None);
    }
}
