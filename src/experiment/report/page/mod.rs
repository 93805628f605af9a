//! The page: its sections, without the empty ones.

mod contents;
mod costs;
mod figures;
mod provenance;
mod samples;
mod settings;
mod story;

pub(super) use contents::Contents;

use crate::page::{Page, Section};
use crate::view::report::{teacher_text, text_section};

/// The whole page.
pub(super) fn page(contents: &Contents<'_>) -> Page {
    let sections = [
        story::section(contents),
        figures::curves(contents),
        figures::reaching(contents),
        figures::section(contents, "buckets", "Easy, medium, hard", "buckets"),
        teacher(contents),
        figures::section(contents, "scores", "Which sequences", "scores"),
        text_section(&contents.passages),
        samples::section(contents),
        settings::section(contents),
        costs::section(contents.comparison),
        provenance::section(contents),
    ];
    Page {
        kind: "Saltworks experiment",
        title: contents.comparison.results.name.clone(),
        facts: story::facts(contents.comparison),
        sections: sections.into_iter().flatten().collect(),
    }
}

fn teacher(contents: &Contents<'_>) -> Option<Section> {
    let text = contents.teacher.as_ref().map(teacher_text);
    let figures = contents.figure("variance") + &contents.figure("teacher");
    Section::of(
        "teacher",
        "The teacher",
        figures + &text.unwrap_or_default(),
    )
}
