//! Where a run becomes better than its teacher: the step from which its validation NLL is below the teacher's last one.

use super::axis::XAxis;
use super::curves::{Curves, read_runs};
use super::error::PlotError;
use crate::train::metrics::first_at_most;
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
