//! Results as tables: Markdown for a page, aligned text for a terminal.

use super::summary::{ArmReach, Budget, OverSeeds, Reach};
use super::{ArmResults, Results};
use crate::train::eval::BUCKET_NAMES;
use std::fmt::Write;

/// Shown for a value that is unknown or not there yet.
const NOTHING: &str = "–";

/// Heading of the column that accompanies times.
const SECONDS_PER_STEP: &str = "seconds a step";

/// How "reaches" is measured in a grid.
const REACHED_BY_BRANCHES: &str = "For decayed models, with the NLL interpolated linearly between them, compared with the baseline's run of the same seed. `never`: not even with all steps; `≤`: already with the first branch.";

/// The same for runs outside a grid.
const REACHED_BY_VALIDATION: &str = "By the validations of the runs, with the NLL interpolated linearly between them, compared with the baseline's run of the same seed; models validated before the last steps have not decayed, so an arm gets there later than a run of fewer steps would. `never`: not even with all steps; `≤`: already at the first validation.";

/// A table of results.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultTable {
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub note: String,
    /// Column headings; the first is for the names of the arms.
    pub columns: Vec<String>,
    /// One row per arm.
    pub rows: Vec<Vec<TableCell>>,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableCell {
    /// Mean and spread.
    pub short: String,
    /// The values by seed, if any.
    pub by_seed: Option<String>,
}

impl TableCell {
    fn text(text: impl Into<String>) -> Self {
        Self {
            short: text.into(),
            by_seed: None,
        }
    }
}

/// All tables of `results`, in the order of a report.
pub fn tables(results: &Results) -> Vec<ResultTable> {
    let sets = 0..results.sets.len();
    let mut tables = vec![final_nll(results), reaches(results)];
    if !results.is_by_validation() {
        tables.extend(sets.clone().map(|set| by_share(results, set)));
        tables.extend(sets.filter_map(|set| by_bucket(results, set)));
        tables.push(calibration(results));
    }
    tables.push(costs(results));
    tables
}

/// `results.md`: all tables, every cell with its values by seed.
pub fn to_markdown(results: &Results) -> String {
    let mut text = format!("# {}\n\n{}\n", results.name, heading(results));
    for table in tables(results) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}", table.to_markdown());
    }
    text
}

/// The same for a terminal, without the values by seed.
pub fn to_text(results: &Results) -> String {
    let tables = tables(results);
    let texts: Vec<String> = tables.iter().map(ResultTable::to_text).collect();
    format!("{}\n\n{}", heading(results), texts.join("\n"))
}

fn heading(results: &Results) -> String {
    format!(
        "{} steps of {} tokens, {} parameters; {}. Cells: mean over seeds ± sample standard deviation; in parentheses the values of the seeds, in this order.",
        results.n_steps,
        results.tokens_per_step,
        results.n_params,
        named_seeds(&results.seeds)
    )
}

impl ResultTable {
    /// As a Markdown section.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        if !self.note.is_empty() {
            text.push_str(&format!("{}\n\n", self.note));
        }
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        text.push_str(&line(self.columns.clone()));
        text.push_str(&line(
            self.columns.iter().map(|_| "---".to_owned()).collect(),
        ));
        for row in &self.rows {
            let cells = row.iter().map(|cell| match &cell.by_seed {
                Some(values) => format!("{} ({values})", cell.short),
                None => cell.short.clone(),
            });
            text.push_str(&line(cells.collect()));
        }
        text
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        let head: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        let rows = self.rows.iter();
        let rows = rows.map(|row| row.iter().map(|cell| cell.short.as_str()).collect());
        let lines: Vec<Vec<&str>> = [head].into_iter().chain(rows).collect();
        let width = |column: usize| {
            let cells = lines.iter().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = format!("{}\n", self.title);
        for line in &lines {
            for (cell, width) in line.iter().zip(&widths) {
                text.push_str(&format!("  {cell:<width$}"));
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        text
    }
}

/// One row per arm: its name, and its `cells`.
fn table(
    results: &Results,
    title: String,
    note: &str,
    columns: Vec<String>,
    cells: impl Fn(&ArmResults) -> Vec<TableCell>,
) -> ResultTable {
    let row = |arm: &ArmResults| [vec![TableCell::text(&arm.name)], cells(arm)].concat();
    ResultTable {
        title,
        note: note.to_owned(),
        columns: [vec!["arm".to_owned()], columns].concat(),
        rows: results.arms.iter().map(row).collect(),
    }
}

fn final_nll(results: &Results) -> ResultTable {
    let sets = || 0..results.sets.len();
    let columns = results.sets.iter().flat_map(|set| {
        [
            format!("NLL on {}", set.name),
            format!("{} minus the baseline's", set.name),
        ]
    });
    table(
        results,
        "NLL after the whole run, nats/token".to_owned(),
        "Differences are paired by seed.",
        columns.collect(),
        |arm| {
            let of_set = |set| {
                [
                    nll(results, &results.nll(arm, set, 1.0)),
                    difference(results, &results.nll_difference(arm, set, 1.0)),
                ]
            };
            sets().flat_map(of_set).collect()
        },
    )
}

fn by_share(results: &Results, set: usize) -> ResultTable {
    let shares = results.shares();
    let columns = shares.iter().map(|share| percent(*share, 0)).collect();
    table(
        results,
        format!(
            "NLL on {} of models decayed at a fraction of the steps, nats/token",
            results.sets[set].name
        ),
        "",
        columns,
        |arm| {
            let cell = |&share| nll(results, &results.nll(arm, set, share));
            shares.iter().map(cell).collect()
        },
    )
}

fn reaches(results: &Results) -> ResultTable {
    let columns = Budget::ALL.map(|budget| budget.name().to_owned());
    let columns = [&columns[..], &[SECONDS_PER_STEP.to_owned()]].concat();
    table(
        results,
        format!(
            "Fraction of the baseline's budget at which an arm reaches the baseline's final NLL on {}",
            results.sets.first().map_or("", |set| &set.name)
        ),
        &format!(
            "{} With teacher and labels: the teacher's training, everything that was scored, and the labels read up to that step. Compare FLOPs: seconds depend on what else ran on the machine; seconds per step are given from the fastest to the slowest run of an arm.",
            match results.is_by_validation() {
                true => REACHED_BY_VALIDATION,
                false => REACHED_BY_BRANCHES,
            }
        ),
        columns,
        |arm| {
            let cell = |budget| reach_cell(results, results.reach(arm, budget));
            let budgets = Budget::ALL.map(cell).into_iter();
            budgets.chain([seconds_per_step(results, arm)]).collect()
        },
    )
}

/// Mean over the whole runs, with the range from fastest to slowest.
fn seconds_per_step(results: &Results, arm: &ArmResults) -> TableCell {
    let number = |value: f64| format!("{value:.3}");
    let Some(value) = results.seconds_per_step(arm) else {
        return TableCell::text(NOTHING);
    };
    let range = match value.values.len() {
        1 => String::new(),
        _ => format!(", {} to {}", number(value.min), number(value.max)),
    };
    TableCell {
        short: format!("{}{range}", number(value.mean)),
        ..spread(results, &Some(value), number)
    }
}

fn by_bucket(results: &Results, set: usize) -> Option<ResultTable> {
    let set_facts = &results.sets[set];
    let [easy, medium] = set_facts.bucket_borders[..] else {
        return None;
    };
    let of_baseline = |arm: &ArmResults| arm.name == results.baseline;
    let cell = |arm: &ArmResults, bucket| match of_baseline(arm) {
        true => nll(results, &results.bucket_nll(arm, set, bucket)),
        false => difference(results, &results.bucket_difference(arm, set, bucket)),
    };
    Some(table(
        results,
        format!(
            "NLL on {} by bucket of the teacher's NLL, minus the baseline's, nats/token",
            set_facts.name
        ),
        &format!(
            "Easy positions: the teacher's NLL is at most {easy:.3}; medium: at most {medium:.3}; hard: all others. The baseline's row is its own NLL; differences are paired by seed."
        ),
        BUCKET_NAMES.map(str::to_owned).to_vec(),
        |arm| {
            (0..BUCKET_NAMES.len())
                .map(|bucket| cell(arm, bucket))
                .collect()
        },
    ))
}

fn calibration(results: &Results) -> ResultTable {
    let columns = results.sets.iter().flat_map(|set| {
        [
            format!("accuracy on {}", set.name),
            format!("ECE on {}", set.name),
        ]
    });
    table(
        results,
        "Accuracy and calibration after the whole run".to_owned(),
        "Fraction of positions whose target is the model's top id, and expected calibration error of that id's probability.",
        columns.collect(),
        |arm| {
            let of_set = |set| {
                let accuracy = results.accuracy(arm, set);
                let number = |value: f64| percent(value, 2);
                [
                    spread(results, &accuracy, number),
                    spread(results, &results.ece(arm, set), |value| {
                        format!("{value:.4}")
                    }),
                ]
            };
            (0..results.sets.len()).flat_map(of_set).collect()
        },
    )
}

fn costs(results: &Results) -> ResultTable {
    let columns = [
        "labelled or scored tokens",
        "label bytes per token",
        "labelling FLOPs",
        "labelling seconds",
        "teacher's training FLOPs",
        "own training FLOPs",
        "own training seconds",
        SECONDS_PER_STEP,
    ];
    table(
        results,
        "Costs of a whole run".to_owned(),
        "FLOPs: 6 per parameter and token for training, 2 for labelling. Labels are made once for all seeds, and a teacher is trained once. Labelling seconds assume teacher.label_tokens_per_s, or else are estimated from the recorded speed of the teacher's training (labelling takes a third of the FLOPs). Training seconds depend on what else ran on the machine.",
        columns.map(str::to_owned).to_vec(),
        |arm| {
            let optional =
                |value: Option<String>| TableCell::text(value.unwrap_or(NOTHING.to_owned()));
            let needs_teacher = arm.n_labelled_tokens > 0;
            let of_whole = |value: fn(&super::BranchResults) -> f64, number: fn(f64) -> String| {
                let whole = arm
                    .runs
                    .iter()
                    .filter_map(|run| Some((run.seed, run.at(1.0)?)));
                let values = whole.map(|(seed, branch)| (seed, value(branch))).collect();
                spread(results, &OverSeeds::of(values), number)
            };
            vec![
                TableCell::text(arm.n_labelled_tokens.to_string()),
                optional(arm.label_bytes_per_token.map(|bytes| format!("{bytes:.1}"))),
                optional(Some(arm.label_flops).filter(|f| f.is_finite()).map(flops)),
                optional(arm.label_seconds.map(|seconds| format!("{seconds:.0}"))),
                match needs_teacher {
                    false => TableCell::text("0"),
                    true => optional(results.teacher_of(arm).map(|teacher| flops(teacher.flops))),
                },
                of_whole(|branch| branch.flops, flops),
                of_whole(|branch| branch.seconds, |seconds| format!("{seconds:.0}")),
                seconds_per_step(results, arm),
            ]
        },
    )
}

fn flops(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        value => format!("{value:.2e}"),
    }
}

fn percent(share: f64, digits: usize) -> String {
    format!("{:.digits$}%", 100.0 * share)
}

fn nll(results: &Results, value: &Option<OverSeeds>) -> TableCell {
    spread(results, value, |value| format!("{value:.4}"))
}

fn difference(results: &Results, value: &Option<OverSeeds>) -> TableCell {
    spread(results, value, |value| format!("{value:+.4}"))
}

/// Mean ± standard deviation; lists the seeds if some are missing.
fn spread(
    results: &Results,
    value: &Option<OverSeeds>,
    number: impl Fn(f64) -> String,
) -> TableCell {
    let Some(value) = value else {
        return TableCell::text(NOTHING);
    };
    let sd = value.sd.map_or(String::new(), |sd| {
        format!(" ± {}", number(sd).trim_start_matches('+'))
    });
    let values: Vec<String> = value
        .values
        .iter()
        .map(|&(_, value)| number(value))
        .collect();
    let seeds: Vec<u64> = value.values.iter().map(|&(seed, _)| seed).collect();
    TableCell {
        short: format!("{}{sd}", number(value.mean)),
        by_seed: Some(values.join(", ") + &only(results, &seeds)),
    }
}

fn only(results: &Results, seeds: &[u64]) -> String {
    if seeds == results.seeds {
        return String::new();
    }
    format!("; {} only", named_seeds(seeds))
}

/// `seed 0`, `seeds 0, 1`.
fn named_seeds(seeds: &[u64]) -> String {
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    let seeds: Vec<String> = seeds.iter().map(u64::to_string).collect();
    format!("{noun} {}", seeds.join(", "))
}

fn reach_cell(results: &Results, reach: Option<ArmReach>) -> TableCell {
    let Some(reach) = reach else {
        return TableCell::text(NOTHING);
    };
    let n_never = reach
        .by_seed
        .iter()
        .filter(|(_, reach)| *reach == Reach::Never);
    let short = match (reach.spread(), n_never.count()) {
        (Some(spread), _) => {
            let bound = if reach.is_bound() { "≤ " } else { "" };
            let sd = spread
                .sd
                .map_or(String::new(), |sd| format!(" ± {}", percent(sd, 1)));
            format!("{bound}{}{sd}", percent(spread.mean, 1))
        }
        (None, n) if n == reach.by_seed.len() => "never".to_owned(),
        (None, n) => format!("never in {n} of {}", reach.by_seed.len()),
    };
    let shown = |reach| match reach {
        Reach::AtMost(share) => format!("≤ {}", percent(share, 1)),
        Reach::At(share) => percent(share, 1),
        Reach::Never => "never".to_owned(),
    };
    let values: Vec<String> = reach
        .by_seed
        .iter()
        .map(|&(_, reach)| shown(reach))
        .collect();
    let seeds: Vec<u64> = reach.by_seed.iter().map(|&(seed, _)| seed).collect();
    TableCell {
        short,
        by_seed: Some(values.join(", ") + &only(results, &seeds)),
    }
}

#[cfg(test)]
mod tests;
