//! The sections with figures.

use super::super::compare::{Arm, Comparison, reach_text};
use super::contents::Contents;
use crate::experiment::summary::Budget;
use crate::page::{NONE, Section, arm_name, cells, escape, fixed, or_none, table, uppercase_first};

/// Curves over one axis at a time, chosen by radio buttons, which need no script.
pub(super) fn curves(contents: &Contents<'_>) -> Option<Section> {
    let axes = [
        ("curves-steps", "By steps"),
        ("curves-tokens", "By tokens"),
        ("curves-time", "By time"),
    ];
    let found = axes.map(|(name, label)| (contents.figure(name), label));
    let found = found.iter().filter(|(figure, _)| !figure.is_empty());
    let (mut tabs, mut panels) = (String::new(), String::new());
    for (i, (figure, label)) in found.enumerate() {
        let checked = if i == 0 { " checked" } else { "" };
        tabs += &format!(
            "<input type=\"radio\" name=\"curves\" id=\"tab-{i}\"{checked}><label for=\"tab-{i}\">{label}</label>\n"
        );
        panels += &format!("<div class=\"panel p{i}\">{figure}</div>\n");
    }
    let gap = contents.figure("difference");
    if panels.is_empty() {
        return None;
    }
    let body = format!("<div class=\"tabs\">\n{tabs}{panels}</div>\n{gap}");
    Section::of("curves", "While training", body)
}

pub(super) fn reaching(contents: &Contents<'_>) -> Option<Section> {
    let figure = contents.figure("shares");
    // Without decayed models, validations, which are in the curves, may still show it.
    if figure.is_empty() && !contents.comparison.results.is_by_validation() {
        return None;
    }
    let body = figure + &budgets_table(contents.comparison);
    Section::of("reaching", "Reaching the baseline", body)
}

/// A section that is one figure.
pub(super) fn section(
    contents: &Contents<'_>,
    id: &'static str,
    title: &'static str,
    figure: &str,
) -> Option<Section> {
    Section::of(id, title, contents.figure(figure))
}

/// When each arm reaches the baseline, by each kind of cost, with and without the teacher.
fn budgets_table(comparison: &Comparison<'_>) -> String {
    let mut heads = cells(["Arm"]);
    heads.extend(Budget::ALL.map(|budget| escape(&uppercase_first(budget.name()))));
    heads.push("Seconds per step".to_owned());
    let cell = |arm: &Arm<'_>, budget| {
        let reach = comparison.results.reach(arm.data, budget);
        or_none(reach.map(|reach| reach_text(&reach.by_seed)))
    };
    let row = |arm: &Arm<'_>| {
        let name = arm_name(arm.name(), arm.slot);
        let budgets = Budget::ALL.map(|budget| cell(arm, budget));
        let pace = pace_cell(comparison, arm);
        std::iter::once(name).chain(budgets).chain([pace]).collect()
    };
    let rows: Vec<Vec<String>> = comparison.others().map(row).collect();
    let base = &comparison.results.baseline;
    let of_base = comparison.baseline();
    let pace_of_base = of_base.map_or(NONE.to_owned(), |arm| pace_text(comparison, arm));
    let caption = format!(
        "What an arm has cost when it is as good as the final model of {base}, as a percentage of a whole run of \
         {base}: means over the seeds that get there. With teacher: the teacher\u{2019}s training and the scores of \
         a selection are counted from the first step, as if this arm alone had to pay for them, and so are the \
         labels read up to that point. Above 100\u{202f}% an arm costs more than {base}. Compare FLOPs: seconds \
         depend on what else ran on the machine. Seconds per step, from the fastest run of an arm to the slowest, \
         show how much they varied; {base} took {pace_of_base}."
    );
    table(&caption, &heads, &rows, 1)
}

pub(super) fn pace_cell(comparison: &Comparison<'_>, arm: &Arm<'_>) -> String {
    escape(&pace_text(comparison, arm))
}

/// `0.330`, or `0.330 (0.310 to 0.352)` for several runs.
fn pace_text(comparison: &Comparison<'_>, arm: &Arm<'_>) -> String {
    match comparison.results.seconds_per_step(arm.data) {
        None => NONE.to_owned(),
        Some(pace) if pace.values.len() == 1 => fixed(pace.mean, 3),
        Some(pace) => format!(
            "{} ({} to {})",
            fixed(pace.mean, 3),
            fixed(pace.min, 3),
            fixed(pace.max, 3)
        ),
    }
}
