//! Writes the report's files.

use super::compare::Comparison;
use super::error::ReportError;
use super::figure;
use super::gather::{Gathered, History, Settings, gather_runs, warnings};
use super::inputs::{ReportInputs, Written};
use super::page::{Contents, page as page_of};
use super::samples::{Samples, weights_of};
use crate::experiment::results::Results;
use crate::figure::png;
use crate::page::{self, Figure, PAGE_NAME, WIDE};
use crate::shards::LabelSet;
use crate::storage::{self, StorageError, sweep_abandoned_where};
use crate::train::plot::XAxis;
use crate::view::report::{
    Passage, SelectionRows, TeacherNotes, label_facts, passages, read_selection, score_figure,
    scored_sequences, teacher_figure, teacher_notes,
};
use std::path::{Path, PathBuf};

/// Name of the directory of the figures.
const FIGURES_NAME: &str = "figures";
/// Pixels per point of a figure's PNG, enough for a high-density screen.
const DENSITY: f32 = 2.0;

/// Writes `report.html` and `figures/` in `dir`, which is created if missing; existing files are replaced.
/// Parts without input are omitted.
///
/// # Errors
/// Results without a run or without their baseline; existing metrics, labels, a selection or a tokenizer that
/// cannot be read; the filesystem's error.
pub fn write(dir: &Path, results: &Results, inputs: &ReportInputs) -> Result<Written, ReportError> {
    if dir.exists() && !dir.is_dir() {
        let dir = dir.to_path_buf();
        return Err(ReportError::NotADirectory { dir });
    }
    let page_path = dir.join(PAGE_NAME);
    page::check_replaceable(&page_path, inputs.overwrite)?;
    let comparison = Comparison::new(results)?;
    let gathered = gather_runs(&comparison, &inputs.root)?;
    let contents = contents(&comparison, inputs, &gathered)?;
    let figures = write_figures(&dir.join(FIGURES_NAME), &contents.figures)?;
    page::replace(&page_path, &page_of(&contents).html())?;
    Ok(Written {
        page: page_path,
        figures,
        notes: contents
            .warnings
            .into_iter()
            .chain(contents.notes)
            .collect(),
    })
}

/// Only the page, as it would be written.
///
/// # Errors
/// As [`write()`], except the filesystem's.
pub fn render(results: &Results, inputs: &ReportInputs) -> Result<String, ReportError> {
    let comparison = Comparison::new(results)?;
    let gathered = gather_runs(&comparison, &inputs.root)?;
    Ok(page_of(&contents(&comparison, inputs, &gathered)?).html())
}

fn contents<'a>(
    comparison: &'a Comparison<'a>,
    inputs: &'a ReportInputs,
    gathered: &'a Gathered,
) -> Result<Contents<'a>, ReportError> {
    let labels = labels_of(inputs)?;
    let mut notes = gathered.notes.clone();
    let samples = current_samples(comparison, inputs, &mut notes)?;
    let axes = [XAxis::Step, XAxis::Tokens, XAxis::Seconds];
    let curves = axes.map(|axis| figure::curves(comparison, &gathered.curves, axis));
    let others = [
        figure::finals(comparison),
        figure::shares(comparison),
        figure::gap(&gathered.curves),
        figure::buckets(comparison),
        figure::variance(&gathered.variances),
        labels.teacher.as_ref().map(teacher_figure),
        labels.scores,
    ];
    Ok(Contents {
        comparison,
        inputs,
        figures: curves.into_iter().chain(others).flatten().collect(),
        teacher: labels.teacher,
        passages: labels.passages,
        facts: labels.facts,
        warnings: warnings(comparison, inputs)?,
        settings: Settings::of(comparison, &inputs.root),
        history: History::of(
            inputs
                .teacher_run
                .as_deref()
                .into_iter()
                .chain([&*inputs.root]),
        )?,
        samples,
        notes,
    })
}

/// Samples of the current models, without those of earlier models.
fn current_samples(
    comparison: &Comparison<'_>,
    inputs: &ReportInputs,
    notes: &mut Vec<String>,
) -> Result<Option<Samples>, ReportError> {
    let Some(mut samples) = Samples::read(&inputs.root).map_err(Box::new)? else {
        return Ok(None);
    };
    let mut current = Vec::new();
    for sample in std::mem::take(&mut samples.texts) {
        let mut runs = comparison
            .arms
            .iter()
            .filter(|arm| arm.name() == sample.arm);
        let run = runs.find_map(|arm| arm.data.runs.iter().find(|run| run.seed == sample.seed));
        let dir = run.map(|run| inputs.root.join(&run.dir).join("final"));
        match dir.map(|dir| weights_of(&dir)).transpose()? {
            Some(weights) if weights == sample.model => current.push(sample),
            _ => notes.push(format!(
                "no text for {}, seed {}: the one in samples.json is by another model; generate it again with --prompt",
                sample.arm, sample.seed
            )),
        }
    }
    samples.texts = current;
    Ok(Some(samples))
}

/// The parts from labels and selection.
#[derive(Default)]
struct LabelParts {
    scores: Option<Figure>,
    teacher: Option<TeacherNotes>,
    passages: Vec<Passage>,
    facts: Vec<(String, String)>,
}

fn labels_of(inputs: &ReportInputs) -> Result<LabelParts, ReportError> {
    let shown = &inputs.shown;
    let mut found = LabelParts::default();
    let path = shown.selection.as_deref();
    let selection = path.map(read_selection).transpose()?;
    if let Some(dir) = shown.scores.as_ref().or(shown.labels.as_ref()) {
        found.scores = histogram(&open_for(dir, selection.as_ref())?, selection.as_ref())?;
    }
    let Some(dir) = &shown.labels else {
        return Ok(found);
    };
    let set = open_for(dir, selection.as_ref())?;
    let scored = scored_sequences(&set, selection.as_ref())?;
    found.teacher = Some(teacher_notes(&set, shown.held_out.as_deref())?);
    found.passages = passages(&set, &scored, shown.tokenizer.as_deref())?;
    found.facts = label_facts(&set, selection)?;
    Ok(found)
}

/// The labels in `dir`, checked to be of the same sequences as `selection`.
fn open_for(dir: &Path, selection: Option<&SelectionRows>) -> Result<LabelSet, ReportError> {
    let set = LabelSet::open(dir)?;
    selection.map_or(Ok(()), |selection| selection.check_of(&set))?;
    Ok(set)
}

/// Figure of the scores of `set`, with the kept part.
fn histogram(
    set: &LabelSet,
    selection: Option<&SelectionRows>,
) -> Result<Option<Figure>, ReportError> {
    let scored = scored_sequences(set, selection)?;
    let own_scores = selection.is_some_and(|selection| selection.has_scores);
    Ok(score_figure(&scored, own_scores))
}

fn write_figures(dir: &Path, figures: &[Figure]) -> Result<Vec<PathBuf>, ReportError> {
    std::fs::create_dir_all(dir)
        .map_err(|source| StorageError::io("create the directory", dir, source))?;
    // The directory contains nothing but figures.
    sweep_abandoned_where(dir, |_| true)?;
    let mut written = Vec::new();
    for figure in figures {
        let [svg_path, png_path, csv_path] =
            ["svg", "png", "csv"].map(|ending| dir.join(format!("{}.{ending}", figure.name)));
        let svg = figure.picture.standalone(WIDE, &figure.label);
        storage::replace(&svg_path, svg.as_bytes())?;
        let pixels = png(&svg, DENSITY).map_err(|source| ReportError::Draw {
            path: png_path.clone(),
            source,
        })?;
        storage::replace(&png_path, &pixels)?;
        storage::replace(&csv_path, figure.data.csv().as_bytes())?;
        written.extend([svg_path, png_path, csv_path]);
    }
    Ok(written)
}
