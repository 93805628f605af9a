//! The sections that are figures.

use super::super::compare::{Arm, Comparison, reach_text};
use super::super::numbers::upper_first;
use super::Contents;
use super::html::{Section, arm_name, cells, escape, figure, table};
use crate::experiment::summary::Budget;

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
        body: figure(it) + &budgets_table(contents.comparison),
    })
}

/// The same share of whatever a run costs, with the teacher counted and not.
fn budgets_table(comparison: &Comparison<'_>) -> String {
    let mut heads = cells(["Arm"]);
    heads.extend(Budget::ALL.map(|budget| escape(&upper_first(budget.name()))));
    let cell = |arm: &Arm<'_>, budget| match comparison.results.reach(arm.data, budget) {
        Some(reach) => escape(&reach_text(&reach.by_seed)),
        None => "\u{2013}".to_owned(),
    };
    let row = |arm: &Arm<'_>| {
        let name = arm_name(arm.name(), arm.slot);
        let budgets = Budget::ALL.map(|budget| cell(arm, budget));
        std::iter::once(name).chain(budgets).collect()
    };
    let rows: Vec<Vec<String>> = comparison.others().map(row).collect();
    let base = &comparison.results.baseline;
    let caption = format!(
        "How much of what a whole run of {base} costs is spent when an arm is as good as its final model: means over the \
         seeds that get there. With teacher: its training and the scores of a selection are counted from the first step, as \
         if this one arm had to pay for them, and of the labels those that were read until then. Above 100\u{202f}% an arm costs more than {base}."
    );
    table(&caption, &heads, &rows, 1)
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
