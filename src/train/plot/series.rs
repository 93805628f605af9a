//! What is done to points before they are drawn.

use std::ops::RangeInclusive;

/// x and y.
pub(crate) type Point = (f64, f64);

/// Points of a curve that are drawn at most: more than there are pixels show nothing more.
const MAX_POINTS: usize = 1600;
/// A smoothed value is over about one in this many of all points.
const SMOOTHING_SHARE: f64 = 40.0;
/// Share of the points so far that an early smoothed value is over.
const EARLY_SHARE: f64 = 0.1;
/// The first share of a run, whose fall from the first loss would flatten the rest.
const START_SHARE: f64 = 0.05;
/// Room above and below the values, as a share of their range.
const MARGIN: f64 = 0.05;

/// Exponential running mean over the last fortieth of all points, and early on over the last tenth
/// of those so far, so that it does not lag behind a steep start. Values that are no numbers are
/// left out.
pub(crate) fn smoothed(points: &[Point]) -> Vec<Point> {
    let most = (points.len() as f64 / SMOOTHING_SHARE).max(1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let finite = points.iter().filter(|(_, y)| y.is_finite());
    finite
        .enumerate()
        .map(|(i, &(x, y))| {
            let window = (i as f64 * EARLY_SHARE).clamp(1.0, most);
            let kept = 1.0 - 1.0 / window;
            sum = sum * kept + y;
            weight = weight * kept + 1.0;
            (x, sum / weight)
        })
        .collect()
}

/// Least and greatest point of each of a number of stretches, in order: what a dense curve looks
/// like, in few points.
pub(crate) fn thinned(points: &[Point]) -> Vec<Point> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let stretch = points.len().div_ceil(MAX_POINTS / 2);
    points.chunks(stretch).flat_map(ends_of).collect()
}

fn ends_of(stretch: &[Point]) -> Vec<Point> {
    let by_y = |a: &&Point, b: &&Point| a.1.total_cmp(&b.1);
    let mut ends: Vec<Point> = [stretch.iter().min_by(by_y), stretch.iter().max_by(by_y)]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    ends.dedup();
    ends
}

/// The parts of a line of points that lie within `range`, cut where it leaves it. Values that are
/// no numbers end a part.
pub(crate) fn clipped(points: &[Point], range: &RangeInclusive<f64>) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut open = false;
    for (i, &(x, y)) in points.iter().enumerate() {
        if !y.is_finite() {
            open = false;
            continue;
        }
        let before = i.checked_sub(1).map(|i| points[i]);
        let crossings = before
            .filter(|before| before.1.is_finite())
            .map_or(Vec::new(), |before| crossings(before, (x, y), range));
        for crossing in crossings {
            if open {
                parts
                    .last_mut()
                    .into_iter()
                    .for_each(|part| part.push(crossing));
            } else {
                parts.push(vec![crossing]);
            }
            open = !open;
        }
        if range.contains(&y) {
            if open {
                parts
                    .last_mut()
                    .into_iter()
                    .for_each(|part| part.push((x, y)));
            } else {
                parts.push(vec![(x, y)]);
                open = true;
            }
        }
    }
    parts
}

/// Where the line from `a` to `b` enters or leaves `range`, in order.
fn crossings(a: Point, b: Point, range: &RangeInclusive<f64>) -> Vec<Point> {
    let mut found: Vec<Point> = [*range.start(), *range.end()]
        .into_iter()
        .filter(|&bound| (a.1 < bound) != (b.1 < bound) && a.1 != bound && b.1 != bound)
        .map(|bound| (a.0 + (b.0 - a.0) * (bound - a.1) / (b.1 - a.1), bound))
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found
}

/// The range of y that shows `curves` well: all of it but what is above in the first twentieth of
/// `x_range`. `None` where there is no number.
pub(crate) fn y_range<'a>(
    curves: impl Iterator<Item = &'a [Point]> + Clone,
    x_range: &RangeInclusive<f64>,
) -> Option<RangeInclusive<f64>> {
    let (start, end) = (*x_range.start(), *x_range.end());
    let settled_from = start + (end - start) * START_SHARE;
    let numbers = curves.flatten().filter(|(_, y)| y.is_finite());
    let low = numbers.clone().map(|p| p.1).min_by(f64::total_cmp)?;
    let settled = numbers.clone().filter(|(x, _)| *x >= settled_from);
    let high = settled.map(|p| p.1).max_by(f64::total_cmp);
    let high = high.or(numbers.map(|p| p.1).max_by(f64::total_cmp))?;
    Some(with_margin(low, high.max(low)))
}

/// Some room around; around a single value too.
fn with_margin(low: f64, high: f64) -> RangeInclusive<f64> {
    let span = high - low;
    let margin = match span > low.abs().max(high.abs()) * 1e-9 {
        true => span * MARGIN,
        false => (low.abs() * MARGIN).max(1e-3),
    };
    low - margin..=high + margin
}
