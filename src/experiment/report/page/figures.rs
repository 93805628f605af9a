//! The sections that are figures.

use super::Contents;
use super::html::{Section, figure};

/// Curves, one axis at a time: which one is chosen by radio buttons, which need no script.
pub(super) fn curves(contents: &Contents<'_>) -> Option<Section> {
    let tab = |(i, name): (usize, &str)| {
        let checked = if i == 0 { " checked" } else { "" };
        let label = match name {
            "curves-tokens" => "By tokens",
            "curves-time" => "By time",
            _ => "By steps",
        };
        let input = format!("<input type=\"radio\" name=\"curves\" id=\"tab-{i}\"{checked}>");
        format!("{input}<label for=\"tab-{i}\">{label}</label>\n")
    };
    let names = contents.curves.iter().map(|figure| figure.name).enumerate();
    let tabs: String = names.map(tab).collect();
    let panels = contents.curves.iter().enumerate();
    let panels: String = panels
        .map(|(i, it)| format!("<div class=\"panel p{i}\">{}</div>\n", figure(it)))
        .collect();
    let gap = contents.gap.as_ref().map_or(String::new(), figure);
    (!contents.curves.is_empty()).then(|| Section {
        id: "curves",
        title: "While training",
        body: format!("<div class=\"tabs\">\n{tabs}{panels}</div>\n{gap}"),
    })
}

pub(super) fn reaching(contents: &Contents<'_>) -> Option<Section> {
    contents.shares.as_ref().map(|it| Section {
        id: "reaching",
        title: "Reaching the baseline",
        body: figure(it),
    })
}

pub(super) fn buckets(contents: &Contents<'_>) -> Option<Section> {
    contents.buckets.as_ref().map(|it| Section {
        id: "buckets",
        title: "Easy, medium, hard",
        body: figure(it),
    })
}

pub(super) fn scores(contents: &Contents<'_>) -> Option<Section> {
    contents.scores.as_ref().map(|it| Section {
        id: "scores",
        title: "Which sequences",
        body: figure(it),
    })
}
