//! What came out, in plain words and the fewest numbers.

use super::super::compare::{Arm, Comparison, Reach};
use super::super::numbers::{Spread, duration, fixed, grouped, percent, short, signed};
use super::Contents;
use super::html::{Section, arm_name, cells, escape, figure, paragraph, table};

/// Name and size of the experiment.
pub(super) fn header(comparison: &Comparison<'_>) -> String {
    let results = comparison.results;
    let n_runs: usize = results.arms.iter().map(|arm| arm.runs.len()).sum();
    let n_seeds = results.seeds.len();
    let facts = [
        counted(results.arms.len() as u64, "arm"),
        counted(n_seeds as u64, "seed"),
        counted(n_runs as u64, "run"),
        format!("{} parameters", short(results.n_params as f64)),
        format!(
            "{} steps of {} tokens",
            grouped(results.n_steps),
            grouped(results.tokens_per_step)
        ),
    ];
    format!(
        "<header><p class=\"eyebrow\">Saltworks experiment</p>\n<h1>{}</h1>\n<p class=\"meta\">{}</p></header>",
        escape(&results.name),
        facts
            .map(|fact| format!("<span>{}</span>", escape(&fact)))
            .join("\n"),
    )
}

fn counted(n: u64, name: &str) -> String {
    match n {
        1 => format!("1 {name}"),
        n => format!("{} {name}s", grouped(n)),
    }
}

pub(super) fn section(contents: &Contents<'_>) -> Option<Section> {
    let comparison = contents.comparison;
    let sentences = sentences(comparison);
    let body = tiles(comparison)
        + &format!(
            "<div class=\"lead\">{}</div>\n",
            sentences.iter().map(|s| paragraph(s)).collect::<String>()
        )
        + &headline_table(comparison)
        + &contents.finals.as_ref().map_or(String::new(), figure);
    Some(Section {
        id: "result",
        title: "What came out",
        body,
    })
}

/// Whatever can be said in a sentence.
fn sentences(comparison: &Comparison<'_>) -> Vec<String> {
    let results = comparison.results;
    let set = comparison.first_set();
    let base = &results.baseline;
    let tokens = short(results.n_steps as f64 * results.tokens_per_step as f64);
    let mut said = vec![format!(
        "The same model of {} parameters was trained in {} for {} steps ({tokens} tokens); the arms differ in what the table of arms says. \
         Final models are compared by their mean negative log-likelihood (NLL, nats per token, lower is better) on {set}.",
        short(results.n_params as f64),
        if results.arms.len() == 1 {
            "one way".to_owned()
        } else {
            format!("{} ways", results.arms.len())
        },
        grouped(results.n_steps),
    )];
    match comparison.baseline().and_then(Arm::nll) {
        Some(nll) => said.push(best_sentence(comparison, nll)),
        None => said.push(format!(
            "No run of {base} is finished, so nothing can be compared with it yet."
        )),
    }
    said.extend(reach_sentence(comparison));
    if !comparison.has_spread() {
        said.push(
            "There is one seed only: how much of a difference is chance is not known.".to_owned(),
        );
    }
    said
}

/// The arm with the least mean gap.
fn best<'c>(comparison: &'c Comparison<'_>) -> Option<(&'c Arm<'c>, &'c Spread)> {
    let gaps = comparison
        .others()
        .filter_map(|arm| Some((arm, arm.gap()?)));
    gaps.min_by(|a, b| a.1.mean().total_cmp(&b.1.mean()))
}

fn best_sentence(comparison: &Comparison<'_>, baseline: &Spread) -> String {
    let base = &comparison.results.baseline;
    let ends = format!("{base} ends at {}", with_seeds(baseline));
    match best(comparison) {
        None => format!("{ends}. No other arm has a finished run of the same seed."),
        Some((arm, gap)) if gap.mean() < 0.0 => format!(
            "{ends}. The best arm is {}: {} nats below {base} of the same seed.",
            arm.name(),
            spread_text(&Spread {
                values: gap.values.iter().map(|gap| -gap).collect()
            }),
        ),
        Some((arm, gap)) => format!(
            "{ends}, and no other arm ends below it: the nearest is {}, {} nats above.",
            arm.name(),
            spread_text(gap)
        ),
    }
}

fn with_seeds(spread: &Spread) -> String {
    match spread.values.len() {
        1 => format!("an NLL of {}", spread.text(3)),
        n => format!(
            "an NLL of {} (mean and standard deviation of {n} seeds)",
            spread.text(3)
        ),
    }
}

fn spread_text(spread: &Spread) -> String {
    spread.text(3)
}

fn reach_sentence(comparison: &Comparison<'_>) -> Option<String> {
    let base = &comparison.results.baseline;
    let has_branches = comparison
        .results
        .arms
        .iter()
        .flat_map(|arm| &arm.runs)
        .any(|run| run.branches.len() > 1);
    if !has_branches {
        return None;
    }
    let texts: Vec<String> = comparison
        .others()
        .filter(|arm| !arm.reach.is_empty())
        .map(|arm| format!("{} {}", arm.name(), reach_words(arm)))
        .collect();
    (!texts.is_empty()).then(|| {
        format!(
            "Share of {base}\u{2019}s steps after which a decayed model is as good as {base}\u{2019}s final one: {}.",
            texts.join(", ")
        )
    })
}

/// `72 %`, `70 to 75 %`, `never`, or how many seeds of how many.
fn reach_words(arm: &Arm<'_>) -> String {
    let n = arm.reach.len();
    let shares = Spread::of(arm.reach.iter().filter_map(|(_, reach)| share_of(*reach)));
    let Some(shares) = shares else {
        return "never".to_owned();
    };
    let is_before = arm
        .reach
        .iter()
        .any(|(_, reach)| matches!(reach, Reach::Before(_)));
    let sign = if is_before { "\u{2264}\u{202f}" } else { "" };
    let mean = format!("{sign}{}", percent(shares.mean()));
    match shares.values.len() {
        found if found < n => format!("{mean} in {found} of {n} seeds, never in the others"),
        1 => mean,
        _ => format!(
            "{mean} ({} to {})",
            percent(shares.low()),
            percent(shares.high())
        ),
    }
}

fn share_of(reach: Reach) -> Option<f64> {
    match reach {
        Reach::At(share) | Reach::Before(share) => Some(share),
        Reach::Never => None,
    }
}

/// The three or four numbers to remember.
fn tiles(comparison: &Comparison<'_>) -> String {
    let base = &comparison.results.baseline;
    let mut tiles = Vec::new();
    if let Some(nll) = comparison.baseline().and_then(Arm::nll) {
        tiles.push((fixed(nll.mean(), 3), format!("final NLL of {base}")));
    }
    if let Some((arm, gap)) = best(comparison) {
        tiles.push((
            signed(gap.mean(), 3),
            format!("{}, the best other arm, to {base}", arm.name()),
        ));
    }
    let reached = comparison.others().filter_map(|arm| {
        let shares = Spread::of(arm.reach.iter().filter_map(|(_, reach)| share_of(*reach)))?;
        (shares.values.len() == arm.reach.len()).then_some((arm, shares.mean()))
    });
    if let Some((arm, share)) = reached
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .filter(|(_, share)| *share < 0.995)
    {
        tiles.push((
            percent(share),
            format!("of {base}\u{2019}s steps until {} is as good", arm.name()),
        ));
    }
    let seconds = comparison.baseline().and_then(|arm| {
        Spread::of(
            arm.data
                .runs
                .iter()
                .filter_map(|run| Some(run.branches.last()?.seconds)),
        )
    });
    if let Some(seconds) = seconds {
        tiles.push((
            duration(seconds.mean()),
            format!("of training for a run of {base}"),
        ));
    }
    let tile = |(number, what): &(String, String)| {
        format!(
            "<div><b>{}</b><span>{}</span></div>",
            escape(number),
            escape(what)
        )
    };
    format!(
        "<div class=\"tiles\">{}</div>\n",
        tiles.iter().map(tile).collect::<String>()
    )
}

fn headline_table(comparison: &Comparison<'_>) -> String {
    let has_branches = comparison
        .results
        .arms
        .iter()
        .flat_map(|arm| &arm.runs)
        .any(|run| run.branches.len() > 1);
    let mut heads = cells(["Arm", "Final NLL", "Difference"]);
    if has_branches {
        heads.push("As good at".to_owned());
    }
    let row = |arm: &Arm<'_>| {
        let gap = match (arm.slot, arm.gap()) {
            (0, _) | (_, None) => "\u{2013}".to_owned(),
            (_, Some(gap)) => signed_text(gap),
        };
        let nll = arm.nll().map_or("under way".to_owned(), |nll| nll.text(3));
        let mut row = vec![arm_name(arm.name(), arm.slot), escape(&nll), escape(&gap)];
        if has_branches {
            let reach = match (arm.slot, arm.reach.is_empty()) {
                (0, _) | (_, true) => "\u{2013}".to_owned(),
                _ => reach_cell(arm),
            };
            row.push(escape(&reach));
        }
        row
    };
    let rows: Vec<Vec<String>> = comparison.arms.iter().map(row).collect();
    let base = &comparison.results.baseline;
    let spread = match comparison.has_spread() {
        true => "Mean \u{b1} standard deviation over seeds. ",
        false => "",
    };
    let caption = format!(
        "{spread}Difference: to {base} of the same seed, nats per token.{}",
        match has_branches {
            true => format!(
                " As good at: share of the steps at which a decayed model reaches {base}\u{2019}s final NLL, mean over the seeds that reach it."
            ),
            false => String::new(),
        }
    );
    format!(
        "<div class=\"headline\">{}</div>",
        table(&caption, &heads, &rows, 1)
    )
}

fn signed_text(gap: &Spread) -> String {
    match gap.deviation() {
        Some(deviation) => format!("{} \u{b1} {deviation:.3}", signed(gap.mean(), 3)),
        None => signed(gap.mean(), 3),
    }
}

fn reach_cell(arm: &Arm<'_>) -> String {
    let shares = Spread::of(arm.reach.iter().filter_map(|(_, reach)| share_of(*reach)));
    let Some(shares) = shares else {
        return "never".to_owned();
    };
    let is_before = arm
        .reach
        .iter()
        .any(|(_, reach)| matches!(reach, Reach::Before(_)));
    let sign = if is_before { "\u{2264}\u{202f}" } else { "" };
    let (found, n) = (shares.values.len(), arm.reach.len());
    match found < n {
        true => format!("{sign}{} ({found} of {n})", percent(shares.mean())),
        false => format!("{sign}{}", percent(shares.mean())),
    }
}
