//! Variances of the losses over the positions of a step, averaged over the seeds of an arm.

use crate::page::mean;
use crate::train::metrics::{LossVariance, MetricsLine};

/// All positions, and those that are easy, medium and hard for the teacher.
pub(crate) const N_PARTS: usize = 4;

/// Variances of one arm while it learns from the teacher.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ArmVariance {
    pub(crate) name: String,
    /// Its colour and mark.
    pub(crate) slot: usize,
    pub(crate) parts: [Variances; N_PARTS],
}

/// Step and variance, nats squared; empty if unknown.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Variances {
    pub(crate) one_hot: Vec<(f64, f64)>,
    pub(crate) soft: Vec<(f64, f64)>,
}

/// From the runs of one arm, at the steps that all of them have logged; `None` if no step has a soft-label
/// loss.
pub(super) fn variance_of(
    name: &str,
    slot: usize,
    runs: &[Vec<MetricsLine>],
) -> Option<ArmVariance> {
    let lines: Vec<Vec<(u64, LossVariance)>> = runs.iter().map(|run| logged(run)).collect();
    let parts = std::array::from_fn(|part| Variances {
        one_hot: series(&lines, |variance| one_hot(variance, part)),
        soft: series(&lines, |variance| soft(variance, part)),
    });
    let variance = ArmVariance {
        name: name.to_owned(),
        slot,
        parts,
    };
    (!variance.parts[0].soft.is_empty()).then_some(variance)
}

/// Logged steps that learn from the teacher.
fn logged(run: &[MetricsLine]) -> Vec<(u64, LossVariance)> {
    let lines = run.iter().filter_map(|line| match line {
        MetricsLine::Train(line) => Some((line.step, **line.variance.as_ref()?)),
        _ => None,
    });
    lines
        .filter(|(_, variance)| variance.soft.is_some())
        .collect()
}

fn one_hot(variance: &LossVariance, part: usize) -> Option<f64> {
    match part.checked_sub(1) {
        None => Some(variance.ce),
        Some(bucket) => variance.ce_by_bucket?[bucket],
    }
}

fn soft(variance: &LossVariance, part: usize) -> Option<f64> {
    match part.checked_sub(1) {
        None => variance.soft,
        Some(bucket) => variance.soft_by_bucket?[bucket],
    }
}

/// Means over the runs, at steps where each has a value.
fn series(
    runs: &[Vec<(u64, LossVariance)>],
    of: impl Fn(&LossVariance) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let at = |step: u64| {
        let of_run = |run: &Vec<(u64, LossVariance)>| {
            let i = run.binary_search_by_key(&step, |line| line.0).ok()?;
            of(&run[i].1).filter(|value| value.is_finite())
        };
        let values: Vec<f64> = runs.iter().map(of_run).collect::<Option<_>>()?;
        Some((step as f64, mean(values)?))
    };
    first.iter().filter_map(|(step, _)| at(*step)).collect()
}
