//! Where a curve reaches a level.

/// Where the line through `points` (x, NLL), by increasing x, first falls to `level`: interpolated linearly, or the first
/// x if it is there already; `None` if it never does.
pub(crate) fn first_at_most(points: &[(f64, f64)], level: f64) -> Option<f64> {
    let first = points.iter().position(|point| point.1 <= level)?;
    let (x, y) = points[first];
    let before = first.checked_sub(1).map(|before| points[before]);
    Some(match before {
        Some((x0, y0)) if y0.is_finite() => x0 + (x - x0) * (y0 - level) / (y0 - y),
        _ => x,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crossing_lies_between_two_validations() {
        let points = [(10.0, 5.0), (20.0, 4.0), (30.0, 4.5), (40.0, 3.0)];
        assert_eq!(first_at_most(&points, 4.25), Some(17.5));
        assert_eq!(first_at_most(&points, 4.0), Some(20.0));
        assert_eq!(first_at_most(&points, 3.5), Some(40.0 - 10.0 / 3.0));
        assert_eq!(first_at_most(&points, 6.0), Some(10.0));
        assert_eq!(first_at_most(&points, 2.0), None);
        assert_eq!(first_at_most(&[], 2.0), None);
        assert_eq!(
            first_at_most(&[(1.0, f64::NAN), (2.0, 1.0)], 2.0),
            Some(2.0)
        );
    }
}
