//! The page of a label set.

use super::collect::collect_labels;
use super::distributions::{positions_figure, sequences_figure, summary_table, tercile_table};
use super::documents::{DocumentNotes, document_notes};
use super::documents_section::documents_section;
use super::facts::label_facts;
use super::passages::{Passage, passages};
use super::scores::{score_figure, scored_sequences};
use super::selection::{SelectionRows, read_selection};
use super::teacher::{TeacherNotes, teacher_figure, teacher_text};
use super::text::text_section;
use crate::page::{
    Figure, PAGE_NAME, Page, Section, cells, check_replaceable, escape, facts, fixed, grouped,
    paragraph, percent, replace, short, table, tiles, uppercase_first, warnings,
};
use crate::shards::{LabelSet, Manifest};
use crate::storage::{self, resolved_path};
use crate::view::error::ViewError;
use crate::view::set::{ColumnCost, SetStats};
use std::path::{Path, PathBuf};

/// Maximum number of bars of a histogram.
const N_BARS: usize = 40;

/// What a page shows besides the labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageInputs {
    /// The tokenizer.json of the labels; by default the one next to their plan. Without one, tokens are shown
    /// as ids.
    pub tokenizer: Option<PathBuf>,
    /// Labels of held-out text by the same teacher.
    pub held_out: Option<PathBuf>,
    /// A selection from these sequences.
    pub selection: Option<PathBuf>,
    /// Whether to replace a file that is not a report of this program.
    pub overwrite: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelPage {
    /// The page, a self-contained file.
    pub page: PathBuf,
    /// Reasons why the numbers may mislead, one sentence each.
    pub warnings: Vec<String>,
}

/// Everything that the page shows.
struct Contents<'a> {
    set: &'a LabelSet,
    stats: SetStats,
    teacher: TeacherNotes,
    scores: Option<Figure>,
    documents: Option<DocumentNotes>,
    passages: Vec<Passage>,
    facts: Vec<(String, String)>,
    warnings: Vec<String>,
}

/// Writes the page of `set` to `output`: a file, or a directory in which it is called `report.html`; by default
/// the labels' directory. `on_targets` is called with the number of positions read so far.
///
/// # Errors
/// An existing file that is not a report of this program; labels, a selection or a tokenizer that cannot be
/// read or do not belong together; a set without a finished shard; the filesystem's errors.
pub fn write_label_page(
    set: &LabelSet,
    output: Option<&Path>,
    inputs: &PageInputs,
    on_targets: impl FnMut(u64),
) -> Result<LabelPage, ViewError> {
    let path = page_path(output.unwrap_or(&set.dir))?;
    check_replaceable(&path, inputs.overwrite)?;
    if let Some(dir) = path.parent() {
        storage::check_writable(dir)?;
    }
    let contents = gather(set, inputs, on_targets)?;
    replace(&path, &page(&contents).html())?;
    Ok(LabelPage {
        page: path,
        warnings: contents.warnings,
    })
}

fn page_path(output: &Path) -> Result<PathBuf, ViewError> {
    Ok(match storage::is_dir(output)? {
        true => output.join(PAGE_NAME),
        false => output.to_path_buf(),
    })
}

fn gather<'a>(
    set: &'a LabelSet,
    inputs: &PageInputs,
    on_targets: impl FnMut(u64),
) -> Result<Contents<'a>, ViewError> {
    let selection = inputs
        .selection
        .as_deref()
        .map(read_selection)
        .transpose()?;
    if let Some(selection) = &selection {
        selection.check_of(set)?;
    }
    let other = inputs.held_out.as_deref().map(LabelSet::open).transpose()?;
    let scored = scored_sequences(set, selection.as_ref())?;
    // Before the long part, since this refuses a tokenizer that is not theirs.
    let passages = passages(set, &scored, inputs.tokenizer.as_deref())?;
    let documents = document_notes(set)?;
    let (stats, figures) = collect_labels(set, None, N_BARS, on_targets)?;
    let teacher = TeacherNotes::of(set, figures, other.as_ref())?;
    let own_scores = selection
        .as_ref()
        .is_some_and(|selection| selection.has_scores);
    let scores = selection
        .as_ref()
        .and_then(|_| score_figure(&scored, own_scores));
    Ok(Contents {
        set,
        scores,
        passages,
        facts: all_facts(set, selection)?,
        warnings: warnings_of(set, &stats, &teacher, documents.as_ref())?,
        documents,
        stats,
        teacher,
    })
}

fn all_facts(
    set: &LabelSet,
    selection: Option<SelectionRows>,
) -> Result<Vec<(String, String)>, ViewError> {
    let mut facts = label_facts(set, selection)?;
    let version = env!("CARGO_PKG_VERSION");
    facts.push((
        "Report written by".to_owned(),
        format!("saltworks {version}"),
    ));
    Ok(facts)
}

fn warnings_of(
    set: &LabelSet,
    stats: &SetStats,
    teacher: &TeacherNotes,
    documents: Option<&DocumentNotes>,
) -> Result<Vec<String>, ViewError> {
    let (plan, mut found) = (&set.segments[0], Vec::new());
    let (n_done, n_shards) = (stats.n_shards_finished, stats.n_shards);
    if n_done < n_shards {
        found.push(format!(
            "{n_done} of {n_shards} shards are finished: everything here covers only those."
        ));
    }
    let manifest = Manifest::read(&set.dir)?;
    if manifest.is_some_and(|manifest| manifest.runtimes.len() > 1) {
        found.push("Shards were made by different runtimes: their values are equal within tolerances only.".to_owned());
    }
    if !plan.teacher.allowed.is_empty() {
        found.push(format!(
            "The teacher was used although it failed a check ({}): labels may depend on more than their sequence.",
            plan.teacher.allowed.join(", ")
        ));
    }
    if plan.teacher.ignored_tokenizer.is_some() {
        found.push(
            "The teacher's own tokenizer is not the one that made the tokens; it was ignored."
                .to_owned(),
        );
    }
    if stats.labels.n_without_nll > 0 {
        found.push(format!(
            "{} sequences have a target with zero probability: they have no NLL scores, and are left out of the \
             means of these.",
            grouped(stats.labels.n_without_nll)
        ));
    }
    if plan.sequences.selection.is_some() {
        found.push(
            "These labels are of a selection. Unless it was made at random, its text is not a fair sample, and \
             bounds on the teacher hold only for this text."
                .to_owned(),
        );
    }
    let spelling = documents.and_then(|documents| documents.index.spelling);
    let note = spelling.and_then(|spelling| spelling.note());
    found.extend(note.map(|note| uppercase_first(&note) + "."));
    let held_out = teacher.held_out.as_ref();
    if let Some(margin) = held_out.and_then(|held_out| held_out.auto_margin) {
        found.push(format!(
            "The teacher is {} nats better on this text than on held-out text: if both texts are of the same kind, \
             the labels overstate how good it is by that much.",
            fixed(margin, 3)
        ));
    }
    Ok(found)
}

fn page(contents: &Contents<'_>) -> Page {
    let sections = [
        overview(contents),
        positions(contents),
        sequences(contents),
        documents_section(contents.documents.as_ref()),
        teacher(contents),
        text_section(&contents.passages),
        Section::of(
            "columns",
            "What it costs on disk",
            columns_table(&contents.stats),
        ),
        Section::of("provenance", "Provenance", facts(&contents.facts)),
    ];
    let dir = &contents.set.dir;
    let name = resolved_path(dir);
    let name = name
        .file_name()
        .map(|name| name.to_string_lossy().into_owned());
    Page {
        kind: "Saltworks labels",
        title: name.unwrap_or_else(|| "labels".to_owned()),
        facts: size(contents),
        sections: sections.into_iter().flatten().collect(),
    }
}

fn size(contents: &Contents<'_>) -> Vec<String> {
    let (stats, plan) = (&contents.stats, &contents.set.segments[0]);
    let mut facts = vec![
        format!("{} sequences", grouped(stats.labels.n_rows)),
        format!("{} targets", grouped(stats.labels.n_targets)),
        format!("T = {}", plan.sequences.seq_len),
        format!("V = {}", grouped(u64::from(plan.teacher.vocab_size))),
    ];
    if plan.signals.top_k > 0 {
        facts.push(format!("K = {}", plan.signals.top_k));
    }
    facts.extend(
        plan.signals
            .samples
            .iter()
            .map(|samples| format!("N = {}", samples.n_draws)),
    );
    facts
}

fn overview(contents: &Contents<'_>) -> Option<Section> {
    let numbers = numbers(contents);
    let notes_text = "Means over the predicted positions of the finished shards. The teacher\u{2019}s negative log-likelihood (NLL) \
        is in nats per token, under its full softmax.";
    let body = warnings(&contents.warnings)
        + &tiles(&numbers)
        + &format!("<div class=\"lead\">{}</div>\n", paragraph(notes_text));
    Section::of("overview", "At a glance", body)
}

/// The key numbers.
fn numbers(contents: &Contents<'_>) -> Vec<(String, String)> {
    let figures = &contents.teacher.labelled;
    let nll = figures.nll.mean;
    let mut tiles = vec![(
        fixed(nll, 3),
        format!(
            "mean NLL of the teacher: a perplexity of {}",
            fixed(nll.exp(), 1)
        ),
    )];
    let accuracy = figures.accuracy.iter();
    tiles.extend(accuracy.map(|it| {
        (
            percent(it.mean),
            "of the targets are its best id".to_owned(),
        )
    }));
    let by_scores = &figures.by_scores;
    tiles.push((
        percent(by_scores.hit_rate.mean),
        format!(
            "of the targets are among its {} best: learnable",
            by_scores.k
        ),
    ));
    if let Some(loss) = &contents.stats.labels.truncation {
        let k = contents.set.segments[0].signals.top_k;
        tiles.push((
            percent(1.0 - loss.mean_tail_mass),
            format!("of its probability is in the {k} stored ids"),
        ));
    }
    let bytes = contents.stats.bytes_per_target;
    tiles.push((short(bytes), "bytes on disk per target".to_owned()));
    tiles
}

fn positions(contents: &Contents<'_>) -> Option<Section> {
    let labels = &contents.stats.labels;
    let figure = positions_figure(labels, &contents.teacher.labelled);
    let loss = labels.truncation.map(|loss| {
        paragraph(&format!(
            "What is lost by keeping the stored ids alone: a mean probability of {}, and a mean KL(truncated, teacher) of {} nats.",
            fixed(loss.mean_tail_mass, 4),
            fixed(loss.mean_kl_nats, 4)
        ))
    });
    let body = figure.as_ref().map_or(String::new(), Figure::html)
        + &loss.unwrap_or_default()
        + &summary_table(&labels.positions)
        + &tercile_table(&contents.teacher.labelled);
    Section::of("positions", "Positions", body)
}

fn sequences(contents: &Contents<'_>) -> Option<Section> {
    let labels = &contents.stats.labels;
    let figures = [sequences_figure(labels), contents.scores.clone()];
    let figures: String = figures.iter().flatten().map(Figure::html).collect();
    Section::of(
        "sequences",
        "Sequences",
        figures + &summary_table(&labels.scores),
    )
}

fn teacher(contents: &Contents<'_>) -> Option<Section> {
    let body = teacher_figure(&contents.teacher).html() + &teacher_text(&contents.teacher);
    Section::of("teacher", "The teacher", body)
}

fn columns_table(stats: &SetStats) -> String {
    let all: u64 = stats.columns.iter().map(|cost| cost.column.n_bytes).sum();
    let row = |name: String, n_bytes: u64, each: f64| {
        let share = percent(n_bytes as f64 / all.max(1) as f64);
        vec![escape(&name), grouped(n_bytes), fixed(each, 3), share]
    };
    let column = |cost: &ColumnCost| {
        let name = format!("{}/{}", cost.column.file, cost.column.column);
        row(name, cost.column.n_bytes, cost.bytes_per_target)
    };
    let mut rows: Vec<Vec<String>> = stats.columns.iter().map(column).collect();
    rows.push(row("all columns".to_owned(), all, stats.bytes_per_target));
    let heads = cells(["Column", "Bytes", "Per target", "Of all"]);
    table(
        "Compressed bytes of the columns in the Parquet files.",
        &heads,
        &rows,
        1,
    )
}
