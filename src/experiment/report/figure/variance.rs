//! Variance of the losses over positions, one-hot and soft.

use crate::experiment::report::gather::ArmVariance;
use crate::figure::{Axis, Entry, Kind, Paint, Panel, Picture, Point, Shape, range_of, smoothed};
use crate::page::{Data, Figure};
use crate::train::plot::XAxis;

const PARTS: [&str; 4] = ["All positions", "Easy", "Medium", "Hard"];

/// One panel for all positions and one per bucket; `None` if no run has logged variances.
pub(crate) fn variance(arms: &[ArmVariance]) -> Option<Figure> {
    let panels: Vec<Panel> = (0..PARTS.len())
        .filter_map(|part| panel(arms, part))
        .collect();
    let entry = |arm: &ArmVariance| {
        Entry::new(
            Kind::Line,
            Paint::Arm(arm.slot),
            format!("{}, soft", arm.name),
        )
    };
    let one_hot = Entry::new(Kind::Dashes, Paint::Muted, "the same, one-hot");
    let legend = arms.iter().map(entry).chain([one_hot]).collect();
    (!arms.is_empty()).then(|| Figure {
        name: "variance",
        label: "Variance of the one-hot and of the soft-label loss over the positions of a step".to_owned(),
        picture: Picture::of(legend, panels.chunks(2).map(<[Panel]>::to_vec).collect()),
        shows: "Variance over the positions of a step, smoothed, of the one-hot loss (dashed: \u{2212} log q of the target) and of the \
            soft-label loss (solid: the cross-entropy with the teacher\u{2019}s distribution) on the same positions, while an arm \
            learns from labels; means over seeds. A solid line below its dashed one means that soft labels have less variance. \
            Easy, medium and hard are by the teacher\u{2019}s NLL of the position."
            .to_owned(),
        caveats: "A bound on the error: positions of a sequence are correlated, not independent examples, and the bias \
            of soft labels, the teacher\u{2019}s distance from the data, is not part of their variance."
            .to_owned(),
        data: data(arms),
    })
}

/// The logged values, before smoothing.
fn data(arms: &[ArmVariance]) -> Data {
    let mut data = Data::of(&["arm", "positions", "loss", "step", "variance"]);
    for arm in arms {
        for (name, part) in PARTS.iter().zip(&arm.parts) {
            for (loss, points) in [("one-hot", &part.one_hot), ("soft", &part.soft)] {
                let points = points.iter();
                points.for_each(|(step, variance)| {
                    data.add(&[&arm.name, name, &loss, step, variance])
                });
            }
        }
    }
    data
}

/// `None` if no arm has soft-label losses in this part.
fn panel(arms: &[ArmVariance], part: usize) -> Option<Panel> {
    let lines: Vec<(Kind, &str, &ArmVariance, Vec<Point>)> = arms
        .iter()
        .flat_map(|arm| {
            let raw = &arm.parts[part];
            [
                (Kind::Dashes, "one-hot", arm, smoothed(&raw.one_hot)),
                (Kind::Line, "soft", arm, smoothed(&raw.soft)),
            ]
        })
        .collect();
    let points = || lines.iter().flat_map(|line| &line.3);
    let end = points().map(|point| point.0).fold(1.0, f64::max);
    let y = range_of(points().map(|point| point.1).chain([0.0]))?;
    let has_any = arms.iter().any(|arm| !arm.parts[part].soft.is_empty());
    let shape = |(kind, loss, arm, points): (Kind, &str, &ArmVariance, Vec<Point>)| {
        let width = if kind == Kind::Line { 2.0 } else { 1.4 };
        Shape::new(kind, points, width, Paint::Arm(arm.slot)).tip(format!("{}, {loss}", arm.name))
    };
    has_any.then(|| Panel {
        heading: format!("{}, nats\u{b2}", PARTS[part]),
        x: Axis::of(0.0..=end, XAxis::Step.unit(end)),
        y: Axis::values(0.0..=*y.end()),
        heights: [184.0, 154.0],
        shapes: lines.into_iter().map(shape).collect(),
    })
}
