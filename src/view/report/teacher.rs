//! What labels say about their teacher.

use crate::bounds::{
    DivergenceBounds, Estimate, HeldOut, TeacherFigures, compare_held_out, teacher_figures,
};
use crate::figure::{Axis, Paint, Panel, Picture, Shape, Unit, range_of};
use crate::page::{Data, Figure, cells, escape, fixed, grouped, or_none, paragraph, table};
use crate::shards::LabelSet;
use crate::view::error::ViewError;

/// The teacher on the labelled text, and on held-out text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TeacherNotes {
    pub(crate) labelled: TeacherFigures,
    pub(crate) held_out: Option<HeldOut>,
}

impl TeacherNotes {
    /// Compares `labelled`, the figures of `set`, with those of the labels `held_out`.
    pub(super) fn of(
        set: &LabelSet,
        labelled: TeacherFigures,
        held_out: Option<&LabelSet>,
    ) -> Result<Self, ViewError> {
        let compare = |other| {
            let figures = teacher_figures(other, None, |_| {})?;
            compare_held_out(set, &labelled, other, figures)
        };
        let held_out = held_out.map(compare).transpose()?;
        Ok(Self { labelled, held_out })
    }

    /// The figures of held-out text, for which bounds are valid, if there are any.
    pub(crate) fn best(&self) -> &TeacherFigures {
        let held_out = self.held_out.as_ref().map(|held_out| &held_out.figures);
        held_out.unwrap_or(&self.labelled)
    }
}

/// Reads all finished labels of `set`, and of those in `held_out`.
#[cfg(feature = "train")]
pub(crate) fn teacher_notes(
    set: &LabelSet,
    held_out: Option<&std::path::Path>,
) -> Result<TeacherNotes, ViewError> {
    let held_out = held_out.map(LabelSet::open).transpose()?;
    TeacherNotes::of(set, teacher_figures(set, None, |_| {})?, held_out.as_ref())
}

/// Height of a row, in points.
const ROW: f64 = 34.0;

/// Name, lower bound and upper bound of a row.
type Row = (String, f64, f64);

/// Bars from the lower to the upper bound, over all positions and by the teacher's entropy.
pub(crate) fn teacher_figure(notes: &TeacherNotes) -> Figure {
    let figures = notes.best();
    let all = figures.by_topk.as_ref().unwrap_or(&figures.by_scores);
    let thirds = figures.entropy_buckets.iter();
    let thirds = thirds.map(|third| (format!("{} entropy", third.name), &third.bounds));
    let rows: Vec<_> = std::iter::once(("all".to_owned(), all))
        .chain(thirds)
        .collect();
    let panel = |heading, of: fn(&DivergenceBounds) -> (f64, f64)| {
        let rows = rows.iter().map(|(name, bounds)| {
            let (low, high) = of(bounds);
            (name.clone(), low, high)
        });
        panel(heading, &rows.collect::<Vec<_>>())
    };
    let panels = vec![
        // Total variation is at most 1.
        panel("Total variation, 0 to 1", |bounds| {
            (
                bounds.tv_at_least,
                bounds.tv_at_most.map_or(1.0, |most| most.mean),
            )
        }),
        panel("KL(P, T), nats per token", |bounds| {
            (bounds.kl_at_least, bounds.kl_at_most.mean)
        }),
    ];
    Figure {
        name: "teacher",
        label: "Bounds on the teacher\u{2019}s divergence from the data".to_owned(),
        picture: Picture::of(Vec::new(), vec![panels]),
        shows: shows(notes, all),
        caveats: caveats(notes, all),
        data: data(&rows),
    }
}

fn data(rows: &[(String, &DivergenceBounds)]) -> Data {
    let columns = &[
        "positions",
        "tv_at_least",
        "tv_at_most",
        "kl_at_least",
        "kl_at_most",
    ];
    let mut data = Data::of(columns);
    for (name, bounds) in rows {
        let tv_at_most = bounds.tv_at_most.map_or(1.0, |most| most.mean);
        let (tv, kl) = (bounds.tv_at_least, bounds.kl_at_least);
        data.add(&[name, &tv, &tv_at_most, &kl, &bounds.kl_at_most.mean]);
    }
    data
}

fn shows(notes: &TeacherNotes, all: &DivergenceBounds) -> String {
    let text = match notes.held_out {
        Some(_) => "text that it was not trained on",
        None => "the labelled text",
    };
    format!(
        "Between which values the mean divergence of the teacher T from the data P lies on {text}, over all positions \
         and by thirds of its entropy. Total variation: at least | fraction of targets among its {k} best \u{2212} the mass it \
         gives them |, at most the mean of 1\u{a0}\u{2212}\u{a0}p of the target. KL: at least twice the square of that lower bound, \
         at most the mean NLL.",
        k = all.k
    )
}

fn caveats(notes: &TeacherNotes, all: &DivergenceBounds) -> String {
    let mut text = "Where between its bounds the divergence is: the upper bounds include the data\u{2019}s own \
        entropy, so a long bar does not mean a bad teacher."
        .to_owned();
    if all.tv_at_least_beyond_noise == 0.0 {
        text += " The lower bound over all positions is within its sampling noise.";
    }
    if notes.held_out.is_none() {
        text += " The bounds hold on text that is new to the teacher; if it was trained on this text, they need not \
            hold: give labels of held-out text.";
    }
    text
}

fn panel(heading: &str, rows: &[Row]) -> Panel {
    let range = range_of(rows.iter().map(|row| row.2).chain([0.0]));
    let end = range.map_or(1.0, |range| *range.end());
    // The first row is on top.
    let shapes = (0..)
        .zip(rows.iter().rev())
        .flat_map(|(i, (name, low, high))| {
            let tip = format!("{name}: {} to {}", fixed(*low, 4), fixed(*high, 3));
            let (y, high) = (f64::from(i) + 0.5, high.min(end));
            let bar = Shape::bar((*low, y - 0.2), (high, y + 0.2), Paint::Chosen);
            let end = |x| Shape::line(vec![(x, y - 0.3), (x, y + 0.3)], 2.4, Paint::Chosen);
            [bar.opacity(0.4).tip(tip), end(*low), end(high)]
        });
    Panel {
        heading: heading.to_owned(),
        x: Axis::of(0.0..=end, Unit::plain("")).with_grid(),
        y: Axis::names(rows.iter().rev().map(|row| (row.0.clone(), None))),
        heights: [ROW * rows.len() as f64; 2],
        shapes: shapes.collect(),
    }
}

/// Tables and sentences.
pub(crate) fn teacher_text(notes: &TeacherNotes) -> String {
    let gap = notes.held_out.as_ref().map(gap);
    nll_table(notes) + &gap.unwrap_or_default()
}

/// One row per text, with the NLL of easy, medium and hard positions.
fn nll_table(notes: &TeacherNotes) -> String {
    let mut heads = cells(["Text", "Positions", "NLL", "Best id right"]);
    let buckets = &notes.labelled.nll_buckets;
    heads.extend(
        buckets
            .iter()
            .map(|bucket| escape(&format!("NLL, {}", bucket.name))),
    );
    let held_out = notes.held_out.as_ref().map(|held_out| &held_out.figures);
    let texts = [
        ("the labelled text", Some(&notes.labelled)),
        ("held-out text", held_out),
    ];
    let rows = texts
        .into_iter()
        .filter_map(|(name, figures)| Some(nll_row(name, figures?, buckets.len())));
    let rows: Vec<Vec<String>> = rows.collect();
    table(
        "The teacher by text: mean NLL in nats per token, \u{b1} a standard error that treats neighbouring text as \
         one unit. Easy, medium and hard are thirds of the positions by that NLL; as they are chosen by the outcome, \
         they are descriptive and give no bounds.",
        &heads,
        &rows,
        1,
    )
}

fn nll_row(name: &str, figures: &TeacherFigures, n_buckets: usize) -> Vec<String> {
    let mut row = vec![
        escape(name),
        grouped(figures.n_targets),
        escape(&with_error(&figures.nll)),
        or_none(figures.accuracy.as_ref().map(with_error)),
    ];
    let buckets = (0..n_buckets).map(|i| figures.nll_buckets.get(i));
    row.extend(buckets.map(|bucket| or_none(bucket.map(|bucket| fixed(bucket.nll.mean, 3)))));
    row
}

fn gap(held_out: &HeldOut) -> String {
    let gap = with_error(&held_out.nll_gap);
    let note = match held_out.of_selection {
        true => {
            " But one of the two texts is a selection: unless it was made at random, the gap may come from the \
                 selection as much as from memorization."
        }
        false => "",
    };
    let text = match held_out.auto_margin {
        Some(_) => format!(
            "On the labelled text the teacher is {gap} nats better than on held-out text. If both texts are of the \
             same kind, it has memorized that much of the former, and its labels overstate there what it knows."
        ),
        None => format!(
            "Held-out text costs the teacher {gap} nats more than the labelled text: this is within noise, or the texts are not of the same kind."
        ),
    };
    paragraph(&(text + note))
}

fn with_error(estimate: &Estimate) -> String {
    match estimate.standard_error {
        Some(error) => format!("{} \u{b1} {error:.3}", fixed(estimate.mean, 3)),
        None => fixed(estimate.mean, 3),
    }
}
