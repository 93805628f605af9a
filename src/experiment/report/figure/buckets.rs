//! Difference to the baseline by how hard positions are.

use super::chart::{Chart, roomy};
use super::legend::{self, Sample};
use super::palette::Paint;
use super::scene::{Anchor, LABEL_SIZE, Scene};
use super::{Figure, is_wide};
use crate::experiment::report::compare::{Arm, Comparison};
use crate::train::eval::BUCKET_NAMES;

/// Bars a bucket and arm; `None` where nothing was evaluated by bucket.
pub(crate) fn buckets(comparison: &Comparison<'_>) -> Option<Figure> {
    let has_any = |i: &usize| {
        let mut others = comparison.others();
        others.any(|arm| arm.sets[*i].bucket_gaps.iter().any(Option::is_some))
    };
    let sets: Vec<usize> = (0..comparison.results.sets.len()).filter(has_any).collect();
    if sets.is_empty() {
        return None;
    }
    let label = "Difference to the baseline's final NLL by bucket".to_owned();
    let figure = Figure::new("buckets", label, |width| scene(width, comparison, &sets));
    Some(figure.caption(shows(comparison, &sets), HIDES))
}

const HIDES: &str = "How many positions a bucket has, and so how much it weighs in the mean over all. \
    What is hard is what the teacher found hard: the buckets of another teacher hold other positions.";

fn shows(comparison: &Comparison<'_>, sets: &[usize]) -> String {
    let borders: Vec<String> = sets
        .iter()
        .map(|&i| &comparison.results.sets[i])
        .filter(|set| set.bucket_borders.len() == 2)
        .map(|set| {
            let (low, high) = (set.bucket_borders[0], set.bucket_borders[1]);
            format!("{}: below {low:.2}, to {high:.2}, and above", set.name)
        })
        .collect();
    let bars = match comparison.has_spread() {
        true => {
            "means over seeds of the difference to the baseline of the same seed; whiskers are one standard deviation of that difference to each side"
        }
        false => "of one seed, so without whiskers",
    };
    let borders = match borders.is_empty() {
        true => String::new(),
        false => format!(" ({}, nats)", borders.join("; ")),
    };
    format!(
        "NLL of final models less the baseline's, over the positions that the teacher finds easy, medium and \
         hard by its own NLL{borders}. Bars are {bars}. Below zero an arm is better."
    )
}

fn scene(width: f64, comparison: &Comparison<'_>, sets: &[usize]) -> Scene {
    let mut scene = Scene::new(width);
    let arms: Vec<&Arm<'_>> = comparison.others().collect();
    let entries: Vec<(Sample, String)> = arms
        .iter()
        .map(|arm| (Sample::Block(Paint::Arm(arm.slot)), arm.name().to_owned()))
        .collect();
    let mut top = legend::draw(&mut scene, 0.0, &entries);
    let height = if is_wide(width) { 290.0 } else { 260.0 };
    for &set in sets {
        let name = &comparison.results.sets[set].name;
        let base = &comparison.results.baseline;
        let heading = match is_wide(width) {
            true => format!("NLL less that of {base} on {name}, nats per token"),
            false => format!("NLL less {base}\u{2019}s on {name}"),
        };
        scene.heading(heading, (4.0, top + 14.0));
        draw_panel(&mut scene, &arms, set, (top + 34.0, height));
        top += 34.0 + height - 22.0;
    }
    scene.height = top;
    scene
}

fn draw_panel(scene: &mut Scene, arms: &[&Arm<'_>], set: usize, (top, height): (f64, f64)) {
    let n_buckets = arms
        .iter()
        .map(|arm| arm.sets[set].bucket_gaps.len())
        .max()
        .unwrap_or(0);
    let gaps = arms
        .iter()
        .flat_map(|arm| arm.sets[set].bucket_gaps.iter().flatten());
    let ends: Vec<f64> = gaps
        .flat_map(|gap| {
            let room = gap.sd.unwrap_or(0.0);
            [gap.mean - room, gap.mean + room, 0.0]
        })
        .collect();
    let low = ends.iter().copied().fold(f64::INFINITY, f64::min);
    let high = ends.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let chart = Chart::new(
        scene,
        (top, height - 18.0),
        0.0..=n_buckets as f64,
        roomy(low, high),
    );
    chart.draw_y(scene);
    let bar = (chart.x_of(0.84) - chart.x_of(0.0)) / arms.len().max(1) as f64;
    let bar = bar.min(54.0);
    for bucket in 0..n_buckets {
        let middle = chart.x_of(bucket as f64 + 0.5);
        let at = (middle, chart.bottom + 16.0);
        let name = BUCKET_NAMES.get(bucket).copied().unwrap_or("further");
        scene.text(name, at, Anchor::Middle, LABEL_SIZE, Paint::Ink);
        for (i, arm) in arms.iter().enumerate() {
            let x = middle + (i as f64 - arms.len() as f64 / 2.0) * bar;
            draw_bar(scene, &chart, arm, (set, bucket), (x, bar));
        }
    }
    let zero = chart.y_of(0.0);
    scene
        .line(
            vec![(chart.left, zero), (chart.right, zero)],
            1.4,
            Paint::Arm(0),
        )
        .arm = None;
}

fn draw_bar(
    scene: &mut Scene,
    chart: &Chart,
    arm: &Arm<'_>,
    (set, bucket): (usize, usize),
    (x, width): (f64, f64),
) {
    let Some(Some(gap)) = arm.sets[set].bucket_gaps.get(bucket) else {
        return;
    };
    let paint = Paint::Arm(arm.slot);
    let inset = (0.08 * width).min(3.0);
    let (zero, y) = (chart.y_of(0.0), chart.y_of(gap.mean));
    let name = BUCKET_NAMES.get(bucket).copied().unwrap_or("further");
    let text = gap.signed_text(3);
    let bar = scene.bar((x + inset, zero), (x + width - inset, y), 1.0, paint);
    bar.tip(format!("{}, {name}: {text}", arm.name()));
    if let Some(deviation) = gap.sd {
        let (up, down) = (
            chart.y_of(gap.mean + deviation),
            chart.y_of(gap.mean - deviation),
        );
        let middle = x + width / 2.0;
        let cap = (0.22 * width).min(6.0);
        for spots in [
            vec![(middle, up), (middle, down)],
            vec![(middle - cap, up), (middle + cap, up)],
            vec![(middle - cap, down), (middle + cap, down)],
        ] {
            scene.line(spots, 1.5, Paint::Ink).of_arm(arm.slot);
        }
    }
}
