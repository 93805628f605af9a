//! The results in plain words and few numbers.

use super::super::compare::{Arm, Comparison, reach_text};
use super::contents::Contents;
use crate::experiment::OverSeeds;
use crate::page::{
    NONE, Section, arm_name, cells, escape, fixed, grouped, paragraph, percent, short, signed,
    table, tiles, uppercase_first, value_cell, warnings,
};

/// The size of the experiment.
pub(super) fn facts(comparison: &Comparison<'_>) -> Vec<String> {
    let results = comparison.results;
    let n_runs: usize = results.arms.iter().map(|arm| arm.runs.len()).sum();
    vec![
        counted(results.arms.len() as u64, "arm"),
        counted(results.seeds.len() as u64, "seed"),
        counted(n_runs as u64, "run"),
        format!("{} parameters", short(results.n_params as f64)),
        format!(
            "{} steps of {} tokens",
            grouped(results.n_steps),
            grouped(results.tokens_per_step)
        ),
    ]
}

fn counted(n: u64, name: &str) -> String {
    match n {
        1 => format!("1 {name}"),
        n => format!("{} {name}s", grouped(n)),
    }
}

pub(super) fn section(contents: &Contents<'_>) -> Option<Section> {
    let comparison = contents.comparison;
    let warning_texts: Vec<String> = contents
        .warnings
        .iter()
        .map(|text| uppercase_first(text))
        .collect();
    let sentences: String = sentences(comparison).iter().map(|s| paragraph(s)).collect();
    let body = warnings(&warning_texts)
        + &tiles(&numbers(comparison))
        + &format!("<div class=\"lead\">{sentences}</div>\n")
        + &headline_table(comparison)
        + &contents.figure("final");
    Section::of("result", "Results", body)
}

/// The results as sentences.
fn sentences(comparison: &Comparison<'_>) -> Vec<String> {
    let base = the_baseline(comparison);
    let mut sentences = vec![run_summary(comparison)];
    match comparison.baseline().and_then(Arm::nll) {
        Some(nll) => sentences.push(best_sentence(comparison, nll)),
        None => sentences.push(format!(
            "No run of {base} is finished, so nothing can be compared with it yet."
        )),
    }
    sentences.extend(reach_sentence(comparison));
    if !comparison.has_spread() {
        sentences.push(
            "There is only one seed, so it is unknown how much of a difference is chance."
                .to_owned(),
        );
    }
    sentences
}

/// The baseline's name in a sentence.
fn the_baseline(comparison: &Comparison<'_>) -> String {
    match comparison.results.baseline.as_str() {
        "baseline" => "the baseline".to_owned(),
        name => format!("the baseline ({name})"),
    }
}

fn run_summary(comparison: &Comparison<'_>) -> String {
    let results = comparison.results;
    let tokens = short(results.n_steps as f64 * results.tokens_per_step as f64);
    let n_ways = match results.arms.len() {
        1 => "one way".to_owned(),
        n => format!("{n} ways"),
    };
    format!(
        "A model of {} parameters was trained in {n_ways} for {} steps ({tokens} tokens); what each arm sets is in the \
         table of arms. Final models are compared by their mean negative log-likelihood (NLL, nats per token, lower is \
         better) on {}.",
        short(results.n_params as f64),
        grouped(results.n_steps),
        comparison.first_set(),
    )
}

/// The arm with the smallest mean gap.
fn best<'c>(comparison: &'c Comparison<'_>) -> Option<(&'c Arm<'c>, &'c OverSeeds)> {
    let gaps = comparison
        .others()
        .filter_map(|arm| Some((arm, arm.gap()?)));
    gaps.min_by(|a, b| a.1.mean.total_cmp(&b.1.mean))
}

fn best_sentence(comparison: &Comparison<'_>, baseline: &OverSeeds) -> String {
    let base = the_baseline(comparison);
    let spread = match baseline.values.len() {
        1 => String::new(),
        n => format!(" (mean and standard deviation over {n} seeds)"),
    };
    let ends = format!(
        "{} ends at {}{spread}",
        uppercase_first(&base),
        baseline.text(3)
    );
    match best(comparison) {
        None => format!("{ends}; no other arm has a finished run of the same seed."),
        Some((arm, gap)) if gap.mean < 0.0 => {
            let gain = OverSeeds {
                mean: -gap.mean,
                ..gap.clone()
            };
            format!(
                "{ends}. The best arm is {}, {} nats below it.",
                arm.name(),
                gain.text(3)
            )
        }
        Some((arm, gap)) => format!(
            "{ends}. No other arm ends below it: the nearest is {}, {} nats above.",
            arm.name(),
            gap.text(3)
        ),
    }
}

/// Which arms become as good as the baseline's final model before their last step, starting with the earliest.
fn reach_sentence(comparison: &Comparison<'_>) -> Option<String> {
    if !comparison.has_branches() {
        return None;
    }
    let base = the_baseline(comparison);
    let arms: Vec<&Arm<'_>> = comparison
        .others()
        .filter(|arm| !arm.reach.is_empty())
        .collect();
    let n_reached = |arm: &Arm<'_>| arm.shares().map_or(0, |shares| shares.values.len());
    let names = |is_wanted: &dyn Fn(&Arm<'_>) -> bool| -> Vec<&str> {
        let wanted = arms.iter().filter(|arm| is_wanted(arm));
        wanted.map(|arm| arm.name()).collect()
    };
    let some = names(&|arm| (1..arm.reach.len()).contains(&n_reached(arm)));
    let never = names(&|arm| n_reached(arm) == 0);
    let always = arms.iter().filter(|arm| n_reached(arm) == arm.reach.len());
    let earliest = always.min_by(|a, b| mean_share(a).total_cmp(&mean_share(b)));
    let mut sentences = Vec::new();
    sentences.extend(earliest.map(|arm| {
        let after = match comparison.results.is_by_validation() {
            true => "After",
            false => "Decayed after",
        };
        format!(
            "{after} {} of the steps, {} is as good as {base}\u{2019}s final model, the earliest of all arms.",
            reach_words(arm),
            arm.name()
        )
    }));
    if !some.is_empty() {
        sentences.push(format!("In some seeds only: {}.", some.join(", ")));
    }
    match (never.is_empty(), never.len() == arms.len()) {
        (true, _) => {}
        (_, true) => sentences.push(format!(
            "No arm ever gets as good as {base}\u{2019}s final model."
        )),
        _ => sentences.push(format!("Never as good: {}.", never.join(", "))),
    }
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

fn mean_share(arm: &Arm<'_>) -> f64 {
    arm.shares().map_or(f64::INFINITY, |shares| shares.mean)
}

/// `72 %`, or `72 % (70 to 75 % over seeds)`.
fn reach_words(arm: &Arm<'_>) -> String {
    let mean = reach_text(&arm.reach);
    match arm.shares() {
        Some(shares) if shares.values.len() > 1 => format!(
            "{mean} ({:.0} to {} over seeds)",
            100.0 * shares.min,
            percent(shares.max)
        ),
        _ => mean,
    }
}

/// The key numbers.
fn numbers(comparison: &Comparison<'_>) -> Vec<(String, String)> {
    let base = &the_baseline(comparison);
    let mut tiles = Vec::new();
    if let Some(nll) = comparison.baseline().and_then(Arm::nll) {
        tiles.push((fixed(nll.mean, 3), format!("final NLL of {base}")));
    }
    if let Some((arm, gap)) = best(comparison) {
        let which = if gap.mean < 0.0 { "best" } else { "nearest" };
        tiles.push((
            signed(gap.mean, 3),
            format!("nats: {}, the {which} arm, to {base}", arm.name()),
        ));
    }
    let reached = comparison.others().filter_map(|arm| {
        let shares = arm.shares()?;
        (shares.values.len() == arm.reach.len()).then_some((arm, shares.mean))
    });
    if let Some((arm, _)) = reached
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, share)| *share < 0.995)
    {
        tiles.push((
            reach_text(&arm.reach),
            format!("of {base}\u{2019}s steps until {} is as good", arm.name()),
        ));
    }
    if let Some(tile) = best(comparison).and_then(|(arm, _)| operations_tile(comparison, arm)) {
        tiles.push(tile);
    }
    let flops = comparison
        .baseline()
        .and_then(|arm| comparison.results.all_flops(arm.data));
    if let Some(flops) = flops {
        tiles.push((
            short(flops.mean),
            format!("FLOPs of training for a run of {base}"),
        ));
    }
    tiles
}

/// An arm's total cost.
fn operations_tile(comparison: &Comparison<'_>, arm: &Arm<'_>) -> Option<(String, String)> {
    let results = comparison.results;
    let all = results.all_flops(arm.data)?.mean;
    let baseline = results.all_flops(comparison.baseline()?.data)?.mean;
    let times = fixed(all / baseline, 2);
    let base = the_baseline(comparison);
    Some((
        short(all),
        format!(
            "FLOPs for {} with its teacher, labels and scores counted: {times} times {base}\u{2019}s",
            arm.name()
        ),
    ))
}

fn headline_table(comparison: &Comparison<'_>) -> String {
    let has_branches = comparison.has_branches();
    let mut heads = cells(["Arm", "Final NLL", "Difference"]);
    if has_branches {
        heads.push("As good at".to_owned());
    }
    let row = |arm: &Arm<'_>| {
        let gap = match (arm.slot, arm.gap()) {
            (0, _) | (_, None) => NONE.to_owned(),
            (_, Some(gap)) => gap.signed_text(3),
        };
        let nll = arm.nll().map_or("under way".to_owned(), |nll| nll.text(3));
        let mut row = vec![
            arm_name(arm.name(), arm.slot),
            value_cell(&nll),
            value_cell(&gap),
        ];
        if has_branches {
            let reach = match (arm.slot, arm.reach.is_empty()) {
                (0, _) | (_, true) => NONE.to_owned(),
                _ => reach_text(&arm.reach),
            };
            row.push(escape(&reach));
        }
        row
    };
    let rows: Vec<Vec<String>> = comparison.arms.iter().map(row).collect();
    let base = &the_baseline(comparison);
    let spread = match comparison.has_spread() {
        true => "Mean \u{b1} standard deviation over seeds. ",
        false => "",
    };
    let caption = format!(
        "{spread}Difference: from {base} of the same seed, nats per token.{}",
        match has_branches {
            true => format!(
                " As good at: fraction of the steps at which {} reaches {base}\u{2019}s final NLL, mean over the seeds that reach it.",
                match comparison.results.is_by_validation() {
                    true => "a validation during the run, not decayed,",
                    false => "a decayed model",
                }
            ),
            false => String::new(),
        }
    );
    format!(
        "<div class=\"headline\">{}</div>",
        table(&caption, &heads, &rows, 1)
    )
}
