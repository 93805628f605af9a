//! Validations of runs, averaged over the seeds of an arm.

use super::variance::{ArmVariance, variance_of};
use crate::experiment::OverSeeds;
use crate::experiment::report::compare::{Arm, Comparison, final_of};
use crate::experiment::report::error::ReportError;
use crate::page::mean;
use crate::train::metrics::{METRICS_NAME, MetricsLine, read_metrics};
use std::path::Path;

/// Validation NLL of one arm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ArmCurve {
    pub(crate) name: String,
    /// Its colour and mark.
    pub(crate) slot: usize,
    /// Seeds of the runs behind the points.
    pub(crate) seeds: Vec<u64>,
    /// By increasing step; only those that all of its runs have.
    pub(crate) points: Vec<CurvePoint>,
    /// Where stage 2 begins; without an NLL.
    pub(crate) stage_2: Option<CurvePoint>,
}

/// One validation, over seeds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct CurvePoint {
    pub(crate) step: u64,
    pub(crate) tokens: f64,
    pub(crate) seconds: f64,
    /// NLL by seed, nats per token.
    pub(crate) by_seed: Vec<(u64, f64)>,
    /// NLL, nats per token: mean, minimum and maximum.
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// Data from the metrics of all runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Gathered {
    /// For arms that have validations.
    pub(crate) curves: Vec<ArmCurve>,
    /// For arms that have logged variances.
    pub(crate) variances: Vec<ArmVariance>,
    /// One sentence for each run without metrics.
    pub(crate) notes: Vec<String>,
}

/// Reads the metrics of all runs, whose directories are relative to `root`.
pub(crate) fn gather_runs(
    comparison: &Comparison<'_>,
    root: &Path,
) -> Result<Gathered, ReportError> {
    let mut gathered = Gathered::default();
    for arm in &comparison.arms {
        let (seeds, runs) = read_runs(arm, root, &mut gathered.notes)?;
        gathered.curves.extend(arm_curve(arm, seeds, &runs));
        let variance = variance_of(arm.name(), arm.slot, &runs);
        gathered.variances.extend(variance);
    }
    Ok(gathered)
}

/// If there are finished whole runs, only those count: one that has just begun would shorten the curve.
fn read_runs(
    arm: &Arm<'_>,
    root: &Path,
    notes: &mut Vec<String>,
) -> Result<(Vec<u64>, Vec<Vec<MetricsLine>>), ReportError> {
    let has_whole = arm.data.runs.iter().any(|run| final_of(run).is_some());
    let (mut seeds, mut runs) = (Vec::new(), Vec::new());
    for run in &arm.data.runs {
        let path = root.join(&run.dir).join(METRICS_NAME);
        if !path.is_file() {
            notes.push(format!(
                "no curve for {}, seed {}: {} does not exist",
                arm.name(),
                run.seed,
                path.display()
            ));
        } else if !has_whole || final_of(run).is_some() {
            seeds.push(run.seed);
            runs.push(read_metrics(&path)?);
        }
    }
    Ok((seeds, runs))
}

fn arm_curve(arm: &Arm<'_>, seeds: Vec<u64>, runs: &[Vec<MetricsLine>]) -> Option<ArmCurve> {
    let points = points_of(&seeds, runs);
    (!points.is_empty()).then(|| ArmCurve {
        name: arm.name().to_owned(),
        slot: arm.slot,
        seeds,
        points,
        stage_2: stage_2_of(runs),
    })
}

/// The validations that every run has.
fn points_of(seeds: &[u64], runs: &[Vec<MetricsLine>]) -> Vec<CurvePoint> {
    let Some(first) = runs.first() else {
        return Vec::new();
    };
    let steps = first.iter().filter_map(|line| match line {
        MetricsLine::Valid(line) => Some(line.step),
        _ => None,
    });
    steps
        .filter_map(|step| point_at(seeds, runs, step))
        .collect()
}

fn point_at(seeds: &[u64], runs: &[Vec<MetricsLine>], step: u64) -> Option<CurvePoint> {
    let mut found = Vec::new();
    for lines in runs {
        found.push(lines.iter().find_map(|line| match line {
            MetricsLine::Valid(line) if line.step == step && line.val_nll.is_finite() => Some(line),
            _ => None,
        })?);
    }
    let values = found.iter().map(|line| line.val_nll);
    let nll = OverSeeds::of(seeds.iter().copied().zip(values).collect())?;
    Some(CurvePoint {
        step,
        tokens: mean(found.iter().map(|line| line.tokens as f64))?,
        seconds: mean(found.iter().map(|line| line.seconds))?,
        mean: nll.mean,
        low: nll.min,
        high: nll.max,
        by_seed: nll.values,
    })
}

/// The mean start of stage 2 over runs.
fn stage_2_of(runs: &[Vec<MetricsLine>]) -> Option<CurvePoint> {
    let starts: Vec<_> = runs
        .iter()
        .filter_map(|lines| {
            lines.iter().find_map(|line| match line {
                MetricsLine::Stage(line) if line.step > 1 => Some(line),
                _ => None,
            })
        })
        .collect();
    Some(CurvePoint {
        // A stage begins where the step before it ended.
        step: mean(starts.iter().map(|line| (line.step - 1) as f64))?.round() as u64,
        tokens: mean(starts.iter().map(|line| line.tokens as f64))?,
        seconds: mean(starts.iter().map(|line| line.seconds))?,
        mean: f64::NAN,
        low: f64::NAN,
        high: f64::NAN,
        by_seed: Vec::new(),
    })
}
