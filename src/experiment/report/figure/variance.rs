//! How far apart the losses of positions are, one-hot and soft.

use super::chart::{Chart, roomy};
use super::legend::{self, Sample};
use super::palette::Paint;
use super::scene::{Scene, Spot};
use super::{Figure, is_wide};
use crate::experiment::report::gather::{ArmVariance, Variances};
use crate::train::plot::axis::XAxis;
use crate::train::plot::series::{clipped, smoothed, thinned};

const PARTS: [&str; 4] = ["All positions", "Easy", "Medium", "Hard"];
const GAP: f64 = 12.0;

/// A panel for all positions, and one a bucket; `None` where no run has logged variances.
pub(crate) fn variance(arms: &[ArmVariance]) -> Option<Figure> {
    if arms.is_empty() {
        return None;
    }
    let label = "Variance of the one-hot and of the soft-label loss over the positions of a step"
        .to_owned();
    let figure = Figure::new("variance", label, |width| scene(width, arms));
    Some(figure.caption(
        "Variance over the positions of a step, smoothed, of the one-hot loss (dashed: \u{2212} log q of the target) and of the \
         soft-label loss (solid: the cross-entropy with the teacher\u{2019}s distribution) on the same positions, while an arm \
         learns from labels; means over seeds. A solid line below its dashed one means that soft labels scatter less. \
         Easy, medium and hard are by the teacher\u{2019}s NLL of the position.",
        "A bound on any error: positions of a sequence hang together and are no independent examples, and what a soft \
         label costs by being wrong, the teacher\u{2019}s distance from the data, is not in its variance.",
    ))
}

fn scene(width: f64, arms: &[ArmVariance]) -> Scene {
    let mut scene = Scene::new(width);
    let mut entries: Vec<(Sample, String)> = arms
        .iter()
        .map(|arm| {
            (
                Sample::Line(Paint::Arm(arm.slot)),
                format!("{}, soft", arm.name),
            )
        })
        .collect();
    entries.push((Sample::Dashes(Paint::Muted), "the same, one-hot".to_owned()));
    let top = legend::draw(&mut scene, 0.0, &entries);
    let has_any = |part: &usize| arms.iter().any(|arm| !arm.parts[*part].soft.is_empty());
    let parts: Vec<usize> = (0..PARTS.len()).filter(has_any).collect();
    let n_columns = if is_wide(width) {
        parts.len().min(2)
    } else {
        1
    };
    let column = (width - GAP * (n_columns - 1) as f64) / n_columns as f64;
    let height = if is_wide(width) { 230.0 } else { 200.0 };
    for (i, &part) in parts.iter().enumerate() {
        let left = (i % n_columns) as f64 * (column + GAP);
        let panel_top = top + (i / n_columns) as f64 * (height + 34.0 + GAP);
        draw_panel(&mut scene, arms, part, (left, column), (panel_top, height));
        scene.height = panel_top + 34.0 + height;
    }
    scene
}

fn draw_panel(
    scene: &mut Scene,
    arms: &[ArmVariance],
    part: usize,
    (left, width): (f64, f64),
    (top, height): (f64, f64),
) {
    scene.heading(
        format!("{}, nats\u{b2}", PARTS[part]),
        (left + 4.0, top + 14.0),
    );
    let lines: Vec<(usize, Variances)> = arms
        .iter()
        .map(|arm| {
            let raw = &arm.parts[part];
            let smooth = Variances {
                one_hot: smoothed(&raw.one_hot),
                soft: smoothed(&raw.soft),
            };
            (arm.slot, smooth)
        })
        .collect();
    let points = || {
        lines
            .iter()
            .flat_map(|(_, line)| line.one_hot.iter().chain(&line.soft))
    };
    let end = points().map(|point| point.0).fold(1.0, f64::max);
    let most = points().map(|point| point.1).fold(0.0, f64::max);
    let chart = Chart::new(
        scene,
        (top + 34.0, height),
        0.0..=end,
        0.0..=*roomy(0.0, most).end(),
    );
    let chart = chart.within(left, width);
    chart.draw_y(scene);
    chart.draw_x(scene, XAxis::Step.unit(end));
    for (slot, line) in &lines {
        for part in clipped(&thinned(&line.one_hot), &chart.y) {
            let spots: Vec<Spot> = part.into_iter().map(|point| chart.spot(point)).collect();
            scene.dashed(spots, 1.4, Paint::Arm(*slot));
        }
        for part in clipped(&thinned(&line.soft), &chart.y) {
            let spots: Vec<Spot> = part.into_iter().map(|point| chart.spot(point)).collect();
            scene.line(spots, 2.0, Paint::Arm(*slot));
        }
    }
}
