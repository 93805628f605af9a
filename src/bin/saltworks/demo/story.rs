//! What the demo found, in a few lines.

use anyhow::Context;
use saltworks::experiment::{ArmResults, BranchResults, Results};
use std::path::Path;
use std::time::Duration;

pub(super) fn tell(dir: &Path, took: Duration, is_quick: bool) -> anyhow::Result<()> {
    let path = dir.join("experiment/results.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let results: Results =
        serde_json::from_slice(&text).with_context(|| format!("cannot read {}", path.display()))?;
    anstream::println!("\nAfter {} s:\n", took.as_secs());
    for line in lines(&results) {
        anstream::println!("  {line}");
    }
    if is_quick {
        anstream::println!("\n  With --quick these numbers mean nothing.");
    }
    let report = dir.join("experiment/report.html");
    anstream::println!("\nAll of it, with pictures: {}", report.display());
    Ok(())
}

fn lines(results: &Results) -> Vec<String> {
    let (Some(set), Some(baseline)) = (results.sets.first(), arm(results, &results.baseline))
    else {
        return vec!["no run is finished yet".to_owned()];
    };
    let mut lines = Vec::new();
    if let (Some(teacher), Some(nll)) = (&results.teacher, set.teacher_nll) {
        lines.push(format!(
            "The small model ({:.1}M parameters) reads held-out text at {nll:.3} nats a token.",
            teacher.n_params as f64 / 1e6
        ));
    }
    let Some(own) = last_nll(baseline) else {
        return lines;
    };
    lines.push(format!(
        "A model of {:.1}M parameters, trained on {:.2}M tokens without it: {own:.3}.",
        results.n_params as f64 / 1e6,
        (results.n_steps * results.tokens_per_step) as f64 / 1e6
    ));
    let others = results.arms.iter().filter(|arm| arm.name != baseline.name);
    lines.extend(others.filter_map(|arm| compared(arm, own)));
    lines.push("One seed of one small text: a hint, and no proof.".to_owned());
    lines
}

fn arm<'a>(results: &'a Results, name: &str) -> Option<&'a ArmResults> {
    results.arms.iter().find(|arm| arm.name == name)
}

fn nll_of(branch: &BranchResults) -> Option<f64> {
    Some(branch.scores.first()?.nll)
}

fn last_nll(arm: &ArmResults) -> Option<f64> {
    nll_of(arm.runs.first()?.branches.last()?)
}

fn compared(arm: &ArmResults, baseline: f64) -> Option<String> {
    let own = last_nll(arm)?;
    let reached = arm.runs.first()?.branches.iter();
    let mut reached = reached.filter(|branch| nll_of(branch).is_some_and(|nll| nll <= baseline));
    let when = match reached.next() {
        Some(branch) if branch.share < 1.0 => format!(
            "; what the other needed all its steps for, it reaches in {:.0}% of them, or fewer",
            100.0 * branch.share
        ),
        Some(_) => String::new(),
        None => "; it does not come to where the other one is".to_owned(),
    };
    Some(format!(
        "The same with its help (`{}`): {own:.3}{when}.",
        arm.name
    ))
}
