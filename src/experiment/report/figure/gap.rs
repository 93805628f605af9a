//! Difference from the baseline at the same step.

use super::line_entry;
use crate::experiment::report::gather::ArmCurve;
use crate::figure::{Axis, Entry, Kind, Paint, Panel, Picture, Point, Shape, range_of, settled};
use crate::page::{Data, Figure, mean};
use crate::train::plot::XAxis;

/// Fraction of a run at its start that is ignored for the y range, since its differences are many times the
/// later ones.
const START: f64 = 0.12;

/// NLL minus the baseline's at the same step; `None` without both.
pub(crate) fn gap(curves: &[ArmCurve]) -> Option<Figure> {
    let baseline = curves.iter().find(|curve| curve.slot == 0)?;
    let others = curves.iter().filter(|curve| curve.slot > 0);
    let gaps = others.map(|curve| (curve, gaps_of(curve, baseline)));
    let gaps: Vec<(&ArmCurve, Vec<Point>)> = gaps.filter(|(_, gaps)| gaps.len() > 1).collect();
    let end = gaps.iter().flat_map(|gap| &gap.1).map(|point| point.0);
    let end = end.reduce(f64::max)?;
    let settled = settled(gaps.iter().map(|gap| gap.1.as_slice()), START * end);
    let name = &baseline.name;
    let mut legend: Vec<Entry> = gaps
        .iter()
        .map(|(curve, _)| line_entry(curve.slot, &curve.name))
        .collect();
    legend.push(Entry::new(Kind::Dashes, Paint::Arm(0), name));
    let lines = gaps.iter().map(|(curve, gaps)| {
        Shape::line(gaps.clone(), 2.0, Paint::Arm(curve.slot)).tip(&*curve.name)
    });
    let zero = Shape::dashes(vec![(0.0, 0.0), (end, 0.0)], 1.6, Paint::Arm(0));
    let panel = Panel {
        heading: format!("NLL minus that of {name}, nats per token"),
        x: Axis::of(0.0..=end, XAxis::Step.unit(end)),
        y: Axis::values(range_of(settled.into_iter().chain([0.0]))?),
        heights: [284.0, 234.0],
        shapes: std::iter::once(zero).chain(lines).collect(),
    };
    Some(Figure {
        name: "difference",
        label: format!("Validation NLL of every arm minus that of {name}"),
        picture: Picture::of(legend, vec![vec![panel]]),
        shows: format!(
            "Mean validation NLL of an arm minus that of {name} after the same number of steps; below zero the arm is ahead."
        ),
        caveats: "Models here are not decayed until the last steps, where the learning rates fall for all arms alike. \
            The mean is over the seeds that both have; their spread is in the figures of the final models."
            .to_owned(),
        data: data(&gaps),
    })
}

fn data(gaps: &[(&ArmCurve, Vec<Point>)]) -> Data {
    let mut data = Data::of(&["arm", "step", "difference"]);
    for (curve, gaps) in gaps {
        let points = gaps.iter();
        points.for_each(|(step, gap)| data.add(&[&curve.name, step, gap]));
    }
    data
}

fn gaps_of(curve: &ArmCurve, baseline: &ArmCurve) -> Vec<Point> {
    let at = |step: u64| baseline.points.iter().find(|point| point.step == step);
    let points = curve.points.iter().filter_map(|point| {
        let gap = paired(&point.by_seed, &at(point.step)?.by_seed)?;
        Some((point.step as f64, gap))
    });
    points.collect()
}

/// Mean difference over the seeds that both have.
fn paired(ours: &[(u64, f64)], baseline: &[(u64, f64)]) -> Option<f64> {
    let other = |seed| baseline.iter().find(|(known, _)| *known == seed);
    mean(
        ours.iter()
            .filter_map(|&(seed, nll)| Some(nll - other(seed)?.1)),
    )
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
