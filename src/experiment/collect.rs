//! Collects results from the directory of an experiment.

use super::arm::ArmFacts;
use super::config::{ExperimentConfig, TeacherConfig};
use super::cost::{LABELLING_FLOPS, TRAINING_FLOPS};
use super::error::ExperimentError;
use super::grid::{Cell, RunPlan};
use super::scores::ModelScores;
use super::sets::{SetFacts, read_sets};
use super::tables::to_markdown;
use super::{
    ArmResults, BranchResults, EvalSet, RESULTS_VERSION, Results, RunResults, TeacherCost, json,
};
use crate::storage;
use crate::train::TrainError;
use crate::train::metrics::{METRICS_NAME, MetricsLine, read_metrics};
use crate::train::schedule::Stage;
use std::path::Path;

/// File of the results, in the directory of the experiment.
pub const RESULTS_NAME: &str = "results.json";

/// File of the same results as tables.
pub const MARKDOWN_NAME: &str = "results.md";

/// The results so far of all arms and seeds of `config`, whether the grid is finished or not. Reads only the
/// directory of the experiment and the teacher's run.
///
/// # Errors
/// Files of the experiment that cannot be read; an experiment without any results yet.
pub fn collect(config: &ExperimentConfig) -> Result<Results, ExperimentError> {
    let sets = read_sets(&config.output)?;
    let cost_of = |teacher: Option<&TeacherConfig>| teacher.map(TeacherCost::read).transpose();
    let teacher = cost_of(config.teacher.as_ref())?;
    let mut arms = Vec::new();
    let mut last = None;
    for (name, arm) in &config.arms.0 {
        if let Some(facts) = ArmFacts::read(&config.output, name)? {
            let own = cost_of(arm.teacher.as_ref())?;
            let mut results = arm_results(
                config,
                name,
                &facts,
                &sets,
                own.as_ref().or(teacher.as_ref()),
            )?;
            results.teacher = own;
            arms.push(results);
            last = Some(facts);
        }
    }
    let Some(facts) = last.filter(|_| !sets.is_empty()) else {
        return Err(ExperimentError::Nothing {
            output: config.output.clone(),
        });
    };
    Ok(Results {
        format_version: RESULTS_VERSION,
        name: config.name(),
        created_by: format!("saltworks-train {}", env!("CARGO_PKG_VERSION")),
        n_steps: facts.n_steps,
        tokens_per_step: facts.tokens_per_step,
        n_params: facts.n_params,
        baseline: config.baseline.clone(),
        seeds: config.seeds.clone(),
        sets: sets
            .into_iter()
            .map(|facts| facts.set)
            .collect::<Vec<EvalSet>>(),
        arms,
        teacher,
    })
}

/// As [`collect`]; also writes `results.json` and `results.md`.
///
/// # Errors
/// As [`collect`]; the filesystem's error.
pub fn write(config: &ExperimentConfig) -> Result<Results, ExperimentError> {
    let results = collect(config)?;
    write_results(&config.output, &results)?;
    Ok(results)
}

/// Writes `results.json` and `results.md` in the directory `output`.
pub(super) fn write_results(output: &Path, results: &Results) -> Result<(), ExperimentError> {
    json::write(&output.join(RESULTS_NAME), results)?;
    storage::sweep_abandoned(output, MARKDOWN_NAME)?;
    Ok(storage::replace(
        &output.join(MARKDOWN_NAME),
        to_markdown(results).as_bytes(),
    )?)
}

fn arm_results(
    config: &ExperimentConfig,
    name: &str,
    facts: &ArmFacts,
    sets: &[SetFacts],
    teacher: Option<&TeacherCost>,
) -> Result<ArmResults, ExperimentError> {
    let n_labelled_tokens = facts.labels.n_tokens + facts.n_scored_tokens;
    let configured = config.teacher_of(name).and_then(|t| t.label_tokens_per_s);
    let speed = configured.or_else(|| labelling_speed(teacher?));
    let flops = |teacher: &TeacherCost| {
        LABELLING_FLOPS * teacher.n_params as f64 * n_labelled_tokens as f64
    };
    let mut runs = Vec::new();
    for &seed in &config.seeds {
        let cell = Cell::new(config, name, seed, facts.n_steps);
        runs.extend(run_results(config, facts, &cell, sets)?);
    }
    Ok(ArmResults {
        name: name.to_owned(),
        settings: facts.settings.clone(),
        n_labelled_tokens,
        label_bytes_per_token: facts.labels.bytes_per_token,
        label_flops: match n_labelled_tokens {
            0 => 0.0,
            _ => teacher.map_or(f64::NAN, flops),
        },
        label_seconds: match n_labelled_tokens {
            0 => Some(0.0),
            n => speed.map(|speed| n as f64 / speed),
        },
        teacher: None,
        runs,
    })
}

/// Positions per second that the teacher would label if labelling ran at as many operations per second as its
/// recorded training; labelling needs fewer operations per position.
fn labelling_speed(teacher: &TeacherCost) -> Option<f64> {
    let speed = teacher.n_tokens as f64 / teacher.seconds?;
    Some(speed * TRAINING_FLOPS / LABELLING_FLOPS).filter(|speed| speed.is_normal())
}

/// The runs of a cell; `None` if the whole run has not begun.
fn run_results(
    config: &ExperimentConfig,
    facts: &ArmFacts,
    cell: &Cell,
    sets: &[SetFacts],
) -> Result<Option<RunResults>, ExperimentError> {
    let dir = &cell.whole.dir;
    if !dir.join(METRICS_NAME).is_file() {
        return Ok(None);
    }
    let stage_2_of = |run: &RunPlan| {
        stage_2_step(&run.dir).map_err(|source| ExperimentError::Cell {
            cell: run.full_name(),
            source: Box::new(source),
        })
    };
    let stage_2_step = stage_2_of(&cell.whole)?;
    let mut branches = Vec::new();
    for run in cell.branches.iter().chain([&cell.whole]) {
        if let Some(known) = ModelScores::read(run)? {
            // What the whole run did after the branch point is not part of the branch.
            let before = stage_2_step.filter(|&step| step <= run.first_step);
            let stage_2 = before.map_or_else(|| stage_2_of(run), |step| Ok(Some(step)))?;
            branches.extend(branch_results(facts, run, &known, stage_2, sets));
        }
    }
    Ok(Some(RunResults {
        seed: cell.seed,
        dir: dir.strip_prefix(&config.output).unwrap_or(dir).to_owned(),
        stage_2_step,
        branches,
        validations: Vec::new(),
    }))
}

/// `None` if the model is not scored on all sets yet. `stage_2` is its first step of stage 2.
fn branch_results(
    facts: &ArmFacts,
    run: &RunPlan,
    known: &ModelScores,
    stage_2: Option<u64>,
    sets: &[SetFacts],
) -> Option<BranchResults> {
    let scores = sets.iter().map(|set| known.on(set).cloned());
    let scores: Vec<_> = scores.collect::<Option<_>>()?;
    let n_stage_1 = stage_2.map_or(run.n_steps, |step| run.n_steps.min(step.saturating_sub(1)));
    // Sequences read again in another epoch were labelled only once.
    let n_read = n_stage_1 * facts.tokens_per_step * facts.labels.n_teachers;
    let n_read = facts.labels.n_tokens.min(n_read);
    Some(BranchResults {
        share: run.share,
        n_steps: run.n_steps,
        n_tokens: known.n_tokens,
        seconds: known.seconds,
        flops: TRAINING_FLOPS * facts.n_params as f64 * known.n_tokens as f64,
        n_labelled_tokens: Some(facts.n_scored_tokens + n_read),
        scores,
    })
}

/// First step of stage 2, from 1.
fn stage_2_step(run: &Path) -> Result<Option<u64>, TrainError> {
    let lines = read_metrics(&run.join(METRICS_NAME))?;
    Ok(lines.iter().find_map(|line| match line {
        MetricsLine::Stage(line) if line.stage == Stage::Two => Some(line.step),
        _ => None,
    }))
}
