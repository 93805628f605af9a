//! Costs of labels and their teacher.

use super::TeacherCost;
use super::config::TeacherConfig;
use super::error::ExperimentError;
use crate::shards::{Group, Manifest, SidecarFile, describe_columns};
use crate::train::KdLoss;
use crate::train::TrainError;
use crate::train::config::ConfigError;
use crate::train::export::{find_model, read_config};
use crate::train::metrics::{METRICS_NAME, MetricsLine, read_metrics};
use crate::train::run::Overview;
use crate::view::{ViewError, add_column_bytes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Floating point operations of training, per parameter and token: forward and backward pass.
pub(super) const TRAINING_FLOPS: f64 = 6.0;
/// The same for labelling: only the forward pass.
pub(super) const LABELLING_FLOPS: f64 = 2.0;
/// Prefix of the names of files of positions.
const POSITIONS: &str = "positions";

/// An arm's need of labels.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LabelNeed {
    /// Maximum positions whose `topk` or `samples` it learns from, summed over teachers.
    pub(super) n_tokens: u64,
    /// Bytes on disk per position of the columns of that group, of all teachers together.
    pub(super) bytes_per_token: Option<f64>,
    /// Number of teachers whose labels are counted; 1 in files of versions that supported only one.
    #[serde(default = "one")]
    pub(super) n_teachers: u64,
}

fn one() -> u64 {
    1
}

impl LabelNeed {
    /// What the steps of a run of `arm` read; nothing if it does not learn from labels.
    ///
    /// Labels that were scored come from the same pass, and are already counted in `scoring`.
    pub(super) fn of(
        arm: &str,
        overview: &Overview<'_>,
        scoring: &Scoring,
    ) -> Result<Self, ExperimentError> {
        let inputs = overview.inputs;
        let (Some(labels), Some(policy)) = (&inputs.labels, &inputs.policy) else {
            return Ok(Self::default());
        };
        let coverage = &overview.coverage;
        // Sequences read again in another epoch were labelled only once.
        let n_sequences = coverage.labelled_needed.min(coverage.labelled_available);
        let group = match policy.loss {
            _ if !inputs.stages.has_kd() => Group::Stats,
            KdLoss::Sampled => Group::Samples,
            _ => Group::Topk,
        };
        let bytes: Vec<Option<f64>> = labels
            .teachers()
            .map(|labels| bytes_of(arm, labels.dir(), group))
            .collect::<Result<_, _>>()?;
        let unscored = labels
            .teachers()
            .filter(|labels| !scoring.has(labels.dir()));
        let n_teachers = unscored.count() as u64;
        Ok(Self {
            n_tokens: n_sequences * inputs.seq_len() as u64 * n_teachers,
            bytes_per_token: bytes.into_iter().sum(),
            n_teachers,
        })
    }
}

/// Bytes per position of the columns of `group`; `None` for labels that are not finished.
fn bytes_of(arm: &str, dir: &Path, group: Group) -> Result<Option<f64>, ExperimentError> {
    let manifest = read_manifest(arm, dir)?;
    let bytes = manifest.map(|manifest| bytes_per_token(dir, &manifest, group));
    Ok(bytes.transpose()?)
}

/// Cost of the scores from which a selection was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scoring {
    /// Positions of the scored directories, each directory counted once.
    pub(super) n_tokens: u64,
    dirs: BTreeSet<PathBuf>,
}

impl Scoring {
    /// From finished label directories.
    pub(super) fn of(arm: &str, dirs: &[PathBuf]) -> Result<Self, ExperimentError> {
        let dirs: BTreeSet<PathBuf> = dirs.iter().map(|dir| resolved(dir)).collect();
        let of_dir = |dir: &PathBuf| scored_tokens(arm, dir);
        Ok(Self {
            n_tokens: dirs.iter().map(of_dir).sum::<Result<u64, _>>()?,
            dirs,
        })
    }

    /// Whether `labels` are among them.
    fn has(&self, labels: &Path) -> bool {
        self.dirs.contains(&resolved(labels))
    }
}

/// A directory that cannot be resolved has no manifest either.
fn resolved(dir: &Path) -> PathBuf {
    dir.canonicalize().unwrap_or(dir.to_path_buf())
}

fn scored_tokens(arm: &str, dir: &Path) -> Result<u64, ExperimentError> {
    let manifest = read_manifest(arm, dir)?.ok_or_else(|| ConfigError::Value {
        key: format!("arms.{arm}.scored"),
        expected: "finished label directories".to_owned(),
        got: format!("{}, which has no manifest.json", dir.display()),
        remedy: "finish it with `saltworks label`, or name another".to_owned(),
    })?;
    Ok(manifest.n_targets)
}

/// The manifest of the labels in `dir`; `None` if they are not finished.
fn read_manifest(arm: &str, dir: &Path) -> Result<Option<Manifest>, ExperimentError> {
    Manifest::read(dir).map_err(|source| ExperimentError::Labels {
        arm: arm.to_owned(),
        source: Box::new(source),
    })
}

/// Compressed bytes per position of the columns of `group`, from the footers of all shards.
fn bytes_per_token(dir: &Path, manifest: &Manifest, group: Group) -> Result<f64, ViewError> {
    let files = manifest.shards.iter().flat_map(|shard| &shard.files);
    let mut columns = Vec::new();
    for SidecarFile { name, .. } in files.filter(|file| file.name.starts_with(POSITIONS)) {
        add_column_bytes(&mut columns, POSITIONS, &dir.join(name))?;
    }
    let described = describe_columns();
    let of_group = described.iter().filter(|column| column.group == group);
    // Columns of temperatures are `log_partition_tau_X`, one for each X.
    let names: Vec<&str> = of_group
        .map(|column| column.name.trim_end_matches('X'))
        .collect();
    let is_read = |name: &str| names.iter().any(|known| name.starts_with(known));
    let read = columns.iter().filter(|column| is_read(&column.column));
    let n_bytes: u64 = read.map(|column| column.n_bytes).sum();
    Ok(n_bytes as f64 / manifest.n_targets.max(1) as f64)
}

impl TeacherCost {
    /// From the training run in `teacher.run`.
    ///
    /// # Errors
    /// A directory that does not contain a finished run.
    pub(super) fn read(teacher: &TeacherConfig) -> Result<Self, ExperimentError> {
        Self::of_run(&teacher.run).map_err(|source| ExperimentError::Teacher {
            run: teacher.run.clone(),
            source: Box::new(source),
        })
    }

    fn of_run(run: &Path) -> Result<Self, TrainError> {
        let (spec, _) = read_config(&find_model(run)?)?;
        let n_params = spec.n_parameters() as u64;
        let last = last_step(run)?;
        let n_tokens = last.map_or(0, |last| last.n_tokens);
        Ok(Self {
            n_params,
            n_tokens,
            flops: TRAINING_FLOPS * n_params as f64 * n_tokens as f64,
            seconds: last.map(|last| last.seconds),
        })
    }
}

/// A run's last step, from `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct LastStep {
    /// Positions trained on.
    pub(super) n_tokens: u64,
    /// Seconds of all steps.
    pub(super) seconds: f64,
}

/// The last logged step; `None` before the first.
pub(super) fn last_step(run: &Path) -> Result<Option<LastStep>, TrainError> {
    let lines = read_metrics(&run.join(METRICS_NAME))?;
    Ok(lines.iter().rev().find_map(|line| match line {
        MetricsLine::Train(line) => Some(LastStep {
            n_tokens: line.tokens,
            seconds: line.seconds,
        }),
        _ => None,
    }))
}
