//! What is known of the teacher.

use super::super::gather::TeacherNotes;
use super::super::numbers::{fixed, grouped};
use super::contents::Contents;
use super::html::{Section, cells, escape, paragraph, table};
use crate::bounds::{Estimate, HeldOut, TeacherFigures};

pub(super) fn section(contents: &Contents<'_>) -> Option<Section> {
    let mut body = contents.figure("variance") + &contents.figure("teacher");
    if let Some(notes) = &contents.teacher {
        body += &nll_table(notes);
        body += &notes.held_out.as_ref().map_or(String::new(), gap);
    }
    (!body.is_empty()).then_some(Section {
        id: "teacher",
        title: "The teacher",
        body,
    })
}

/// The texts beneath each other, with what is easy, medium and hard on each.
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
        "The teacher by text: mean NLL in nats per token, \u{b1} a standard error that takes neighbouring text as one. Easy, \
         medium and hard are thirds of the positions by that NLL, chosen by the outcome: they describe, and bound nothing.",
        &heads,
        &rows,
        1,
    )
}

fn nll_row(name: &str, figures: &TeacherFigures, n_buckets: usize) -> Vec<String> {
    let none = || "\u{2013}".to_owned();
    let mut row = vec![
        escape(name),
        grouped(figures.n_targets),
        escape(&with_error(&figures.nll)),
        figures.accuracy.as_ref().map_or_else(none, with_error),
    ];
    let buckets = (0..n_buckets).map(|i| figures.nll_buckets.get(i));
    row.extend(buckets.map(|bucket| bucket.map_or_else(none, |bucket| fixed(bucket.nll.mean, 3))));
    row
}

fn gap(held_out: &HeldOut) -> String {
    let gap = with_error(&held_out.nll_gap);
    let note = match held_out.of_selection {
        true => {
            " But one of the two is the text of a selection: unless that was drawn at random, the gap is that of the \
                 choice as much as of memorising."
        }
        false => "",
    };
    let said = match held_out.auto_margin {
        Some(_) => format!(
            "On the labelled text the teacher is {gap} nats better than on held-out text. As far as both are of one kind, \
             it has memorised that much of the former, and its labels say more there than it knows."
        ),
        None => format!(
            "Held-out text costs the teacher {gap} nats more than the labelled text: not more than noise, or the texts are not of one kind."
        ),
    };
    paragraph(&(said + note))
}

fn with_error(estimate: &Estimate) -> String {
    match estimate.standard_error {
        Some(error) => format!("{} \u{b1} {error:.3}", fixed(estimate.mean, 3)),
        None => fixed(estimate.mean, 3),
    }
}
