//! Where a run becomes better than its teacher: the step from which its validation NLL is below the teacher's last one.

use super::axis::XAxis;
use super::curves::{Curves, read_runs};
use super::error::PlotError;
use crate::figure::Point;
use serde::Serialize;
use std::path::PathBuf;

/// The last validation of a teacher's own run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TeacherLevel {
    pub(super) name: String,
    /// Nats per token.
    pub(super) val_nll: f64,
}

/// A run beside a teacher.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Overtaking {
    /// Name of the run in the figure.
    pub run: String,
    /// Name of the teacher in the figure.
    pub teacher: String,
    /// The teacher's last validation NLL, nats per token.
    pub teacher_val_nll: f64,
    /// Where the run's validation NLL first falls to it, on the x axis, interpolated between two validations; `None` if
    /// it never does.
    pub at: Option<f64>,
}

/// Reads the runs of teachers, whose last validations are to be compared with those of `runs`.
pub(super) fn read_teachers(
    teachers: &[PathBuf],
    runs: &[Curves],
) -> Result<Vec<TeacherLevel>, PlotError> {
    let curves = read_runs(teachers, XAxis::Step)?;
    let levels = teachers.iter().zip(curves).map(|(path, teacher)| {
        let Some(&(_, val_nll)) = teacher.val_nll.last() else {
            return Err(PlotError::NoValidation { path: path.clone() });
        };
        let other = runs.iter().find(|run| {
            !run.val_nll.is_empty() && run.n_validation_targets != teacher.n_validation_targets
        });
        match other {
            Some(run) => Err(PlotError::OtherValidation {
                path: path.clone(),
                run: run.name.clone(),
                teacher_targets: teacher.n_validation_targets,
                run_targets: run.n_validation_targets,
            }),
            None => Ok(TeacherLevel {
                name: teacher.name,
                val_nll,
            }),
        }
    });
    levels.collect()
}

/// Each run beside each teacher, in this order. Runs without a validation are left out.
pub(super) fn overtakings(runs: &[Curves], teachers: &[TeacherLevel]) -> Vec<Overtaking> {
    let validated = runs.iter().filter(|run| !run.val_nll.is_empty());
    let beside = |run: &Curves, teacher: &TeacherLevel| Overtaking {
        run: run.name.clone(),
        teacher: teacher.name.clone(),
        teacher_val_nll: teacher.val_nll,
        at: first_at_most(&run.val_nll, teacher.val_nll),
    };
    validated
        .flat_map(|run| teachers.iter().map(move |teacher| beside(run, teacher)))
        .collect()
}

/// The x from which the line through `points` is at most `level` for the first time.
pub(super) fn first_at_most(points: &[Point], level: f64) -> Option<f64> {
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
