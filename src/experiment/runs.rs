//! Results of separately trained runs, by `saltworks-train` or `saltworks_lm.train`, from their own records:
//! `config.toml`, `metrics.jsonl`, `sources.json`, and the weights in `final/`.
//!
//! Their models are compared by the runs' own validations; nothing is evaluated again. A model that was
//! validated during training has not decayed.

use super::collect::write_results;
use super::cost::TRAINING_FLOPS;
use super::error::ExperimentError;
use super::output::check_output;
use super::sets::is_a_grid;
use super::{ArmResults, BranchResults, EvalSet, RESULTS_VERSION, Results, RunResults, SetScore};
use crate::storage::is_url;
use crate::train::TrainError;
use crate::train::config::{ConfigError, Mode, RunConfig, require};
use crate::train::export::n_weights;
use crate::train::metrics::{METRICS_NAME, MetricsLine, ValidLine, read_metrics};
use crate::train::run::{CONFIG_NAME, Sources};
use crate::train::schedule::Stage;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Finished runs, and the directory for their results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunsConfig {
    /// Directory of the results.
    pub output: PathBuf,
    /// Name of the arm that the others are compared with.
    pub baseline: String,
    /// Arms, in the order of the tables.
    pub arms: Vec<ArmRuns>,
}

/// The runs of one arm, one per seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArmRuns {
    /// Its name.
    pub name: String,
    /// Directories of runs.
    pub dirs: Vec<PathBuf>,
}

impl RunsConfig {
    /// From a list of `ARM=DIR`; arms are in the order of first mention, and the first is the default baseline.
    ///
    /// # Errors
    /// An item that is not `ARM=DIR`; a baseline that is not an arm.
    pub fn of(
        output: PathBuf,
        baseline: Option<String>,
        runs: &[String],
    ) -> Result<Self, ExperimentError> {
        let mut arms: Vec<ArmRuns> = Vec::new();
        for text in runs {
            let (name, dir) = named_dir(text)?;
            match arms.iter_mut().find(|arm| arm.name == name) {
                Some(arm) => arm.dirs.push(dir),
                None => arms.push(ArmRuns {
                    name,
                    dirs: vec![dir],
                }),
            }
        }
        let names: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        let baseline = baseline.or_else(|| Some((*names.first()?).to_owned()));
        let baseline = baseline.unwrap_or_default();
        require(
            names.contains(&baseline.as_str()),
            "--baseline",
            format_args!("one of the arms: {}", names.join(", ")),
            &baseline,
            "name an arm of --runs",
        )?;
        Ok(Self {
            output,
            baseline,
            arms,
        })
    }

    /// Name of the results.
    fn name(&self) -> String {
        let name = self.output.file_name();
        name.map_or("runs".to_owned(), |name| {
            name.to_string_lossy().into_owned()
        })
    }
}

fn named_dir(text: &str) -> Result<(String, PathBuf), ExperimentError> {
    let parts = text.split_once('=');
    let (name, dir) = parts.unwrap_or_default();
    require(
        !name.is_empty() && !dir.is_empty(),
        "--runs",
        "ARM=DIR, the name of an arm and the directory of a run",
        text,
        "such as baseline=runs/llm; give it once for every run",
    )?;
    require(
        !is_url(Path::new(dir)),
        "--runs",
        "a directory of this machine",
        dir,
        "copy the run from the store, and give the copy",
    )?;
    Ok((name.to_owned(), PathBuf::from(dir)))
}

/// Results of the runs of `config`; writes nothing.
///
/// # Errors
/// A run that is not finished, was never validated or cannot be read; a run whose steps, size or validation
/// text differ from the first run's; two runs of an arm with the same seed.
pub fn collect_runs(config: &RunsConfig) -> Result<Results, ExperimentError> {
    let mut arms: Vec<(&ArmRuns, Vec<FinishedRun>)> = Vec::new();
    for arm in &config.arms {
        let runs = arm.dirs.iter().map(|dir| FinishedRun::open(dir));
        let runs: Vec<FinishedRun> = runs.collect::<Result<_, _>>()?;
        check_seeds(&arm.name, &runs)?;
        arms.push((arm, runs));
    }
    let every: Vec<&FinishedRun> = arms.iter().flat_map(|(_, runs)| runs).collect();
    let first = every[0];
    every
        .iter()
        .try_for_each(|run| run.check_comparable_with(first))?;
    let seeds: BTreeSet<u64> = every.iter().map(|run| run.config.train.seed).collect();
    Ok(Results {
        format_version: RESULTS_VERSION,
        name: config.name(),
        created_by: format!("saltworks-train {}", env!("CARGO_PKG_VERSION")),
        n_steps: first.config.train.steps,
        tokens_per_step: first.tokens_per_step(),
        n_params: first.n_params,
        baseline: config.baseline.clone(),
        seeds: seeds.into_iter().collect(),
        sets: vec![first.set()],
        arms: arms
            .iter()
            .map(|(arm, runs)| arm_results(arm, runs))
            .collect(),
        teacher: None,
    })
}

/// As [`collect_runs`]; also writes `results.json` and `results.md`.
///
/// # Errors
/// As [`collect_runs`]; a directory with a grid's results; the filesystem's error.
pub fn write_runs(config: &RunsConfig) -> Result<Results, ExperimentError> {
    let results = collect_runs(config)?;
    require(
        !is_a_grid(&config.output),
        "--output",
        "a directory without the results of a grid",
        config.output.display(),
        "choose another one",
    )?;
    check_output(&config.output)?;
    write_results(&config.output, &results)?;
    Ok(results)
}

fn check_seeds(arm: &str, runs: &[FinishedRun]) -> Result<(), ConfigError> {
    let mut seeds = BTreeSet::new();
    let mut runs = runs.iter();
    let twice = runs.find(|run| !seeds.insert(run.config.train.seed));
    let shown = twice.map(|run| {
        let seed = run.config.train.seed;
        format!("a second one of seed {seed}, {}", run.dir.display())
    });
    require(
        twice.is_none(),
        &format!("--runs of {arm}"),
        "runs of different train.seed",
        shown.unwrap_or_default(),
        "leave one of them out, or give it a name of its own",
    )
}

/// A finished run.
struct FinishedRun {
    /// Absolute, since results may be read from anywhere.
    dir: PathBuf,
    config: RunConfig,
    sources: Sources,
    n_params: u64,
    lines: Vec<MetricsLine>,
    last: ValidLine,
}

impl FinishedRun {
    fn open(dir: &Path) -> Result<Self, ExperimentError> {
        let in_run = |source: TrainError| ExperimentError::FinishedRun {
            run: dir.to_path_buf(),
            source: Box::new(source),
        };
        let dir = std::path::absolute(dir).unwrap_or(dir.to_path_buf());
        require(
            dir.join(CONFIG_NAME).is_file(),
            "--runs",
            "the directory of a run, with its config.toml",
            dir.display(),
            "give the directory that a run was given as --output",
        )?;
        let config = RunConfig::read(&dir.join(CONFIG_NAME), &[]).map_err(|e| in_run(e.into()))?;
        let lines = read_metrics(&dir.join(METRICS_NAME)).map_err(|e| in_run(e.into()))?;
        let last = last_validation(&dir, &config, &lines)?;
        let n_params = n_weights(&dir.join("final")).map_err(|error| in_run(error.into()))?;
        Ok(Self {
            sources: Sources::recorded(&dir).map_err(in_run)?.unwrap_or_default(),
            n_params,
            dir,
            config,
            lines,
            last,
        })
    }

    fn tokens_per_step(&self) -> u64 {
        self.config.train.batch_size as u64 * u64::from(self.config.data.seq_len.unwrap_or(0))
    }

    /// Its validation text, which all runs share.
    fn set(&self) -> EvalSet {
        let path = self.config.data.validation.as_deref();
        let name = path.and_then(Path::file_name);
        EvalSet {
            name: name.map_or("validation".to_owned(), |name| {
                name.to_string_lossy().into()
            }),
            n_targets: self.last.val_n_targets,
            teacher_nll: None,
            bucket_borders: Vec::new(),
        }
    }

    /// Facts that compared runs must share; `None` if not recorded.
    fn facts(&self) -> [(&'static str, Option<String>); 5] {
        let number = |value: u64| Some(value.to_string());
        [
            ("train.steps", number(self.config.train.steps)),
            (
                "train.batch_size * data.seq_len",
                number(self.tokens_per_step()),
            ),
            ("the number of the model's values", number(self.n_params)),
            (
                "the number of validation targets (eval.sequences of data.validation)",
                number(self.last.val_n_targets),
            ),
            ("data.validation", self.sources.validation.clone()),
        ]
    }

    fn check_comparable_with(&self, first: &Self) -> Result<(), ExperimentError> {
        for ((key, got), (_, expected)) in self.facts().into_iter().zip(first.facts()) {
            let (Some(got), Some(expected)) = (got, expected) else {
                continue;
            };
            require(
                got == expected,
                &format!("{key} of {}", self.dir.display()),
                format_args!("{expected}, as in {}", first.dir.display()),
                got,
                "compare runs that differ only in how they were trained",
            )?;
        }
        Ok(())
    }

    /// Step and tokens at the start of stage 2; `None` without stage 2.
    fn end_of_labels(&self) -> Option<(u64, u64)> {
        self.lines.iter().find_map(|line| match line {
            MetricsLine::Stage(line) if line.stage == Stage::Two => Some((line.step, line.tokens)),
            _ => None,
        })
    }

    /// Positions whose labels were used within the first `n_tokens`, counted once per teacher.
    fn n_labelled(&self, n_tokens: u64) -> u64 {
        let labels = self.config.data.labels.as_ref();
        let n_teachers = labels.map_or(0, |labels| labels.all().len() as u64);
        match self.config.kd.mode {
            Mode::Baseline | Mode::DsCe => 0,
            Mode::Rkd | Mode::Salt | Mode::SaltDs => {
                let read = self
                    .end_of_labels()
                    .map_or(n_tokens, |(_, end)| end.min(n_tokens));
                read * n_teachers
            }
        }
    }

    fn at(&self, line: &ValidLine) -> BranchResults {
        BranchResults {
            share: line.step as f64 / self.config.train.steps as f64,
            n_steps: line.step,
            n_tokens: line.tokens,
            seconds: line.seconds,
            flops: TRAINING_FLOPS * self.n_params as f64 * line.tokens as f64,
            n_labelled_tokens: Some(self.n_labelled(line.tokens)),
            scores: vec![SetScore {
                nll: line.val_nll,
                accuracy: f64::NAN,
                ece: f64::NAN,
                buckets: Vec::new(),
            }],
        }
    }

    fn results(&self) -> RunResults {
        let validations = self.lines.iter().filter_map(|line| match line {
            MetricsLine::Valid(line) if line.val_nll.is_finite() => Some(self.at(line)),
            _ => None,
        });
        RunResults {
            seed: self.config.train.seed,
            dir: self.dir.clone(),
            stage_2_step: self.end_of_labels().map(|(step, _)| step),
            branches: vec![self.at(&self.last)],
            validations: validations.collect(),
        }
    }
}

/// The validation after the last step, which every finished run with held-out text has.
fn last_validation(
    dir: &Path,
    config: &RunConfig,
    lines: &[MetricsLine],
) -> Result<ValidLine, ExperimentError> {
    let n_steps = config.train.steps;
    let done = lines.iter().map(MetricsLine::step).max().unwrap_or(0);
    require(
        dir.join("final").is_dir(),
        "--runs",
        format_args!("a finished run, with its model in final/ after {n_steps} steps"),
        format_args!("{}, which has logged {done}", dir.display()),
        "resume it first",
    )?;
    let last = lines.iter().rev().find_map(|line| match line {
        MetricsLine::Valid(line) if line.step == n_steps => Some(line.clone()),
        _ => None,
    });
    Ok(last.ok_or_else(|| ConfigError::Value {
        key: "--runs".to_owned(),
        expected: format!("runs that were validated after their last step, {n_steps}"),
        got: dir.display().to_string(),
        remedy: "train it with data.validation, on which its results are computed".to_owned(),
    })?)
}

/// A run records neither its teacher nor the source of a selection, so their costs are unknown.
fn arm_results(arm: &ArmRuns, runs: &[FinishedRun]) -> ArmResults {
    let n_labelled = runs.iter().map(|run| run.n_labelled(run.last.tokens));
    let n_labelled_tokens = n_labelled.max().unwrap_or(0);
    let is_free = n_labelled_tokens == 0;
    let mut modes: Vec<String> = runs.iter().map(mode_of).collect();
    modes.dedup();
    let mut results: Vec<RunResults> = runs.iter().map(FinishedRun::results).collect();
    results.sort_by_key(|run| run.seed);
    ArmResults {
        name: arm.name.clone(),
        settings: modes,
        n_labelled_tokens,
        label_bytes_per_token: None,
        label_flops: if is_free { 0.0 } else { f64::NAN },
        label_seconds: is_free.then_some(0.0),
        teacher: None,
        runs: results,
    }
}

/// `kd.mode=salt`, as it would be set.
fn mode_of(run: &FinishedRun) -> String {
    let mode = toml::Value::try_from(run.config.kd.mode);
    let name = mode.ok().and_then(|mode| mode.as_str().map(str::to_owned));
    format!("kd.mode={}", name.unwrap_or_default())
}

#[cfg(test)]
mod tests;
