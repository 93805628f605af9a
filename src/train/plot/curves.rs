//! From run directories to curves.

use super::axis::XAxis;
use super::error::PlotError;
use crate::figure::Point;
use crate::storage::{is_file, resolved_path};
use crate::train::metrics::{METRICS_NAME, MetricsLine, read_metrics};
use std::path::{Path, PathBuf};

/// The curves of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Curves {
    /// Its directory's name, with enough parents to tell it from the others.
    pub(super) name: String,
    /// Cross-entropy, nats per token.
    pub(super) ce: Vec<Point>,
    /// Validation NLL, nats per token.
    pub(super) val_nll: Vec<Point>,
    /// Targets of each validation; of the last, if a resumed run changed it.
    pub(super) n_validation_targets: u64,
    /// Learning rate.
    pub(super) lr: Vec<Point>,
    /// Fraction of KD.
    pub(super) omega: Vec<Point>,
    /// Norm of all gradients.
    pub(super) grad_norm: Vec<Point>,
    /// Where the stages after the first begin.
    pub(super) stage_starts: Vec<f64>,
}

/// Reads the runs, in the order given.
pub(super) fn read_runs(paths: &[PathBuf], x: XAxis) -> Result<Vec<Curves>, PlotError> {
    let mut absolute = Vec::new();
    for path in paths {
        let found = resolved_path(path);
        if absolute.contains(&found) {
            return Err(PlotError::Twice { path: path.clone() });
        }
        absolute.push(found);
    }
    let names = shortest_names(&absolute);
    let runs = paths.iter().zip(names);
    runs.map(|(path, name)| read_run(path, name, x)).collect()
}

fn read_run(path: &Path, name: String, x: XAxis) -> Result<Curves, PlotError> {
    let metrics = path.join(METRICS_NAME);
    if !is_file(&metrics)? {
        return Err(PlotError::NoRun { path: path.into() });
    }
    let curves = curves_of(name, &read_metrics(&metrics)?, x);
    if curves.ce.is_empty() {
        return Err(PlotError::Empty { path: path.into() });
    }
    Ok(curves)
}

fn curves_of(name: String, lines: &[MetricsLine], axis: XAxis) -> Curves {
    let mut curves = Curves {
        name,
        ..Curves::default()
    };
    let on = |step: u64, tokens: u64, seconds| axis.of(step as f64, tokens as f64, seconds);
    let mut stage_start = None;
    for line in lines {
        match line {
            MetricsLine::Train(line) => {
                let x = on(line.step, line.tokens, line.seconds);
                curves.ce.push((x, line.ce));
                curves.lr.push((x, line.lr));
                let after_change = stage_start.take().map(|start| (start, line.omega));
                curves.omega.extend(after_change);
                curves.omega.push((x, line.omega));
                curves.grad_norm.push((x, line.grad_norm));
            }
            MetricsLine::Valid(line) => {
                let x = on(line.step, line.tokens, line.seconds);
                curves.val_nll.push((x, line.val_nll));
                curves.n_validation_targets = line.val_n_targets;
            }
            // A stage begins where the step before it ended.
            MetricsLine::Stage(line) if line.step > 1 => {
                let x = on(line.step - 1, line.tokens, line.seconds);
                curves.stage_starts.push(x);
                // omega may drop here: two points draw that as a step instead of a slope.
                let before_change = curves.omega.last().map(|&(_, omega)| (x, omega));
                curves.omega.extend(before_change);
                stage_start = Some(x);
            }
            MetricsLine::Stage(_) => {}
        }
    }
    curves
}

/// The shortest suffix of each path that differs from those of all others.
fn shortest_names(paths: &[PathBuf]) -> Vec<String> {
    let suffix = |path: &Path, n: usize| -> PathBuf {
        let n_all = path.components().count();
        path.components().skip(n_all.saturating_sub(n)).collect()
    };
    let name = |path: &PathBuf| {
        let n_all = path.components().count();
        let is_unique = |n: &usize| {
            let others = paths.iter().filter(|other| *other != path);
            others
                .clone()
                .all(|other| suffix(other, *n) != suffix(path, *n))
        };
        let n = (1..=n_all).find(is_unique).unwrap_or(n_all);
        suffix(path, n).display().to_string()
    };
    paths.iter().map(name).collect()
}
