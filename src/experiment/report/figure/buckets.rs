//! Difference from the baseline by difficulty of positions.

use crate::experiment::report::compare::{Arm, Comparison};
use crate::figure::{Axis, Entry, Kind, Paint, Panel, Picture, Shape, range_of};
use crate::page::{Data, Figure, or_empty};
use crate::train::eval::BUCKET_NAMES;

/// One bar per bucket and arm; `None` if nothing was evaluated by bucket.
pub(crate) fn buckets(comparison: &Comparison<'_>) -> Option<Figure> {
    let arms: Vec<&Arm<'_>> = comparison.others().collect();
    let has_any = |i: &usize| {
        let mut gaps = arms.iter().flat_map(|arm| &arm.sets[*i].bucket_gaps);
        gaps.any(Option::is_some)
    };
    let sets: Vec<usize> = (0..comparison.results.sets.len()).filter(has_any).collect();
    let panels = sets.iter().filter_map(|&set| panel(comparison, &arms, set));
    let rows: Vec<Vec<Panel>> = panels.map(|panel| vec![panel]).collect();
    let entry = |arm: &&Arm<'_>| Entry::new(Kind::Area, Paint::Arm(arm.slot), arm.name());
    (!rows.is_empty()).then(|| Figure {
        name: "buckets",
        label: "Difference from the baseline's final NLL by bucket".to_owned(),
        picture: Picture::of(arms.iter().map(entry).collect(), rows),
        shows: shows(comparison, &sets),
        data: data(comparison, &sets),
        caveats: "How many positions each bucket has, and so its weight in the overall mean. Positions are hard if the \
            teacher found them hard: another teacher's buckets contain different positions."
            .to_owned(),
    })
}

fn data(comparison: &Comparison<'_>, sets: &[usize]) -> Data {
    let mut data = Data::of(&[
        "set",
        "arm",
        "positions",
        "difference",
        "standard_deviation",
    ]);
    for &set in sets {
        for arm in comparison.others() {
            for (bucket, gap) in arm.sets[set].bucket_gaps.iter().enumerate() {
                let name = &comparison.results.sets[set].name;
                let Some(gap) = gap else { continue };
                data.add(&[
                    name,
                    &arm.name(),
                    &bucket_name(bucket),
                    &gap.mean,
                    &or_empty(gap.sd),
                ]);
            }
        }
    }
    data
}

fn shows(comparison: &Comparison<'_>, sets: &[usize]) -> String {
    let boundaries: Vec<String> = sets
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
            "means over seeds of the difference from the baseline of the same seed; whiskers show one standard deviation of that difference to each side"
        }
        false => "from one seed, so without whiskers",
    };
    let boundaries = match boundaries.is_empty() {
        true => String::new(),
        false => format!(" ({}, nats)", boundaries.join("; ")),
    };
    format!(
        "NLL of final models minus the baseline's, over the positions that the teacher finds easy, medium and \
         hard by its own NLL{boundaries}. Bars are {bars}. Below zero, an arm is better than the baseline."
    )
}

fn panel(comparison: &Comparison<'_>, arms: &[&Arm<'_>], set: usize) -> Option<Panel> {
    let gaps = arms
        .iter()
        .flat_map(|arm| arm.sets[set].bucket_gaps.iter().flatten());
    let ends = gaps.flat_map(|gap| {
        let room = gap.sd.unwrap_or(0.0);
        [gap.mean - room, gap.mean + room]
    });
    let y = range_of(ends.chain([0.0]))?;
    let n_buckets = arms
        .iter()
        .map(|arm| arm.sets[set].bucket_gaps.len())
        .max()?;
    let width = (0.84 / arms.len() as f64).min(0.2);
    let bars = arms.iter().enumerate().flat_map(|(i, arm)| {
        let left = 0.5 + (i as f64 - arms.len() as f64 / 2.0) * width;
        (0..n_buckets).flat_map(move |bucket| bar(arm, set, bucket, (bucket as f64 + left, width)))
    });
    let zero = vec![(0.0, 0.0), (n_buckets as f64, 0.0)];
    let zero = Shape::line(zero, 1.4, Paint::Arm(0)).of_arm(None);
    let name = &comparison.results.sets[set].name;
    Some(Panel {
        heading: format!(
            "NLL minus that of {} on {name}, nats per token",
            comparison.results.baseline
        ),
        x: Axis::names((0..n_buckets).map(|bucket| (bucket_name(bucket).to_owned(), None))),
        y: Axis::values(y),
        heights: [226.0, 196.0],
        shapes: bars.chain([zero]).collect(),
    })
}

fn bar(arm: &Arm<'_>, set: usize, bucket: usize, (left, width): (f64, f64)) -> Vec<Shape> {
    let Some(Some(gap)) = arm.sets[set].bucket_gaps.get(bucket) else {
        return Vec::new();
    };
    let (inset, middle) = (0.06 * width, left + width / 2.0);
    let ends = ((left + inset, 0.0), (left + width - inset, gap.mean));
    let tip = format!(
        "{}, {}: {}",
        arm.name(),
        bucket_name(bucket),
        gap.signed_text(3)
    );
    let mut shapes = vec![Shape::bar(ends.0, ends.1, Paint::Arm(arm.slot)).tip(tip)];
    if let Some(deviation) = gap.sd {
        let (up, down, cap) = (gap.mean + deviation, gap.mean - deviation, 0.18 * width);
        let lines = [
            vec![(middle, up), (middle, down)],
            vec![(middle - cap, up), (middle + cap, up)],
            vec![(middle - cap, down), (middle + cap, down)],
        ];
        let whisker = |line| Shape::line(line, 1.5, Paint::Ink).of_arm(Some(arm.slot));
        shapes.extend(lines.map(whisker));
    }
    shapes
}

fn bucket_name(bucket: usize) -> &'static str {
    BUCKET_NAMES.get(bucket).copied().unwrap_or("further")
}
