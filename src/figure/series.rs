//! Preparing points for drawing.

use super::shape::Point;
use std::ops::RangeInclusive;

/// Maximum points drawn per curve: more than there are pixels would show nothing more.
const MAX_POINTS: usize = 1600;
/// A smoothed value averages about 1 / this of all points.
const SMOOTHING_FRACTION: f64 = 40.0;
/// An early smoothed value averages this fraction of the points so far.
const EARLY_FRACTION: f64 = 0.1;
/// Room above and below the values, as a fraction of their range.
const MARGIN: f64 = 0.06;

/// Exponential moving average with a window of a fortieth of all points, or early on a tenth of those so far,
/// so that it does not lag behind a steep start. Values that are not finite are skipped.
pub(crate) fn smoothed(points: &[Point]) -> Vec<Point> {
    let longest = (points.len() as f64 / SMOOTHING_FRACTION).max(1.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let finite = points.iter().filter(|(_, y)| y.is_finite());
    finite
        .enumerate()
        .map(|(i, &(x, y))| {
            let window = (i as f64 * EARLY_FRACTION).clamp(1.0, longest);
            let kept = 1.0 - 1.0 / window;
            sum = sum * kept + y;
            weight = weight * kept + 1.0;
            (x, sum / weight)
        })
        .collect()
}

/// Lowest and highest point of each stretch, in order: a dense curve looks the same with these few points.
pub(super) fn thinned(points: &[Point]) -> Vec<Point> {
    if points.len() <= MAX_POINTS {
        return points.to_vec();
    }
    let chunk = points.len().div_ceil(MAX_POINTS / 2);
    points.chunks(chunk).flat_map(ends_of).collect()
}

fn ends_of(chunk: &[Point]) -> Vec<Point> {
    let by_y = |a: &&Point, b: &&Point| a.1.total_cmp(&b.1);
    let ends = [chunk.iter().min_by(by_y), chunk.iter().max_by(by_y)];
    let mut ends: Vec<Point> = ends.into_iter().flatten().copied().collect();
    ends.sort_by(|a, b| a.0.total_cmp(&b.0));
    ends.dedup();
    ends
}

/// The parts of a line within `range`, cut where it leaves the range. Values that are not finite end a part.
pub(super) fn clipped(points: &[Point], range: &RangeInclusive<f64>) -> Vec<Vec<Point>> {
    let mut parts: Vec<Vec<Point>> = Vec::new();
    let mut last: Option<Point> = None;
    for &point in points {
        if !point.1.is_finite() {
            last = None;
            continue;
        }
        let is_joined = last.is_some_and(|last| range.contains(&last.1));
        if !is_joined {
            parts.push(Vec::new());
        }
        let crossings = last.map_or(Vec::new(), |last| crossings(last, point, range));
        let inside = Some(point).filter(|point| range.contains(&point.1));
        if let Some(part) = parts.last_mut() {
            part.extend(crossings.into_iter().chain(inside));
        }
        last = Some(point);
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Where the line from `a` to `b` enters or leaves `range`, in order.
fn crossings(a: Point, b: Point, range: &RangeInclusive<f64>) -> Vec<Point> {
    let mut found: Vec<Point> = [*range.start(), *range.end()]
        .into_iter()
        .filter(|&bound| (a.1 < bound) != (b.1 < bound) && a.1 != bound && b.1 != bound)
        .map(|bound| (a.0 + (b.0 - a.0) * (bound - a.1) / (b.1 - a.1), bound))
        .collect();
    // Ordered by y, not by x, since the line may be vertical.
    if a.1 > b.1 {
        found.reverse();
    }
    found
}

/// The y values from `start` on, so that the early fall of a curve does not set the range. A curve without
/// finite values there contributes all its points.
pub(crate) fn settled<'a>(curves: impl Iterator<Item = &'a [Point]>, start: f64) -> Vec<f64> {
    let late = |curve: &'a [Point]| {
        let late: Vec<f64> = curve.iter().filter(|p| p.0 >= start).map(|p| p.1).collect();
        match late.iter().any(|y| y.is_finite()) {
            true => late,
            false => curve.iter().map(|p| p.1).collect(),
        }
    };
    curves.flat_map(late).collect()
}

/// From the lowest to the highest finite value, with a margin, even around a single value; `None` without
/// finite values.
pub(crate) fn range_of(values: impl IntoIterator<Item = f64>) -> Option<RangeInclusive<f64>> {
    let finite = values.into_iter().filter(|value| value.is_finite());
    let ends = finite.map(|value| (value, value));
    let (low, high) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    let (span, size) = (high - low, low.abs().max(high.abs()));
    let room = match span > 1e-9 * size {
        true => span * MARGIN,
        false => (size * MARGIN).max(1e-3),
    };
    Some(low - room..=high + room)
}
