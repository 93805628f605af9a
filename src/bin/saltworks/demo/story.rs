//! What the demo found, in a few lines.

use crate::common::exit::Result;
use crate::common::print::out;
use saltworks::experiment::report::read_results;
use saltworks::experiment::{ArmResults, Budget, Reach, Results};
use std::path::Path;
use std::time::Duration;

pub(super) fn print_summary(dir: &Path, took: Duration, is_quick: bool) -> Result<()> {
    let results = read_results(&dir.join("experiment"))?;
    out!();
    out!("After {} s:", took.as_secs());
    out!();
    for line in lines(&results) {
        out!("  {line}");
    }
    if is_quick {
        out!();
        out!("  With --quick these numbers mean nothing.");
    }
    let report = dir.join("experiment/report.html");
    out!();
    out!("The report: {}", report.display());
    Ok(())
}

/// A count with the letter of its magnitude.
fn count(n: u64) -> String {
    match n {
        0..1_000_000 => format!("{:.0}k", n as f64 / 1e3),
        _ => format!("{:.1}M", n as f64 / 1e6),
    }
}

fn lines(results: &Results) -> Vec<String> {
    let (Some(set), Some(baseline)) = (results.sets.first(), results.arm(&results.baseline)) else {
        return vec!["no run is finished yet".to_owned()];
    };
    let mut lines = Vec::new();
    if let (Some(teacher), Some(nll)) = (&results.teacher, set.teacher_nll) {
        lines.push(format!(
            "The small model ({} parameters) has a loss of {nll:.3} nats/token on held-out text.",
            count(teacher.n_params)
        ));
    }
    let Some(own) = last_nll(baseline) else {
        return lines;
    };
    lines.push(format!(
        "A model of {} parameters, trained on {} tokens without labels: {own:.3}.",
        count(results.n_params),
        count(results.n_steps * results.tokens_per_step)
    ));
    let others = results.arms.iter().filter(|arm| arm.name != baseline.name);
    lines.extend(others.filter_map(|arm| compared(results, arm)));
    lines.push("This is one seed on one small text: a hint, not proof.".to_owned());
    lines
}

fn last_nll(arm: &ArmResults) -> Option<f64> {
    let last = arm.runs.first()?.branches.last()?;
    Some(last.scores.first()?.nll)
}

/// Decayed models compared with the last one of the baseline.
fn compared(results: &Results, arm: &ArmResults) -> Option<String> {
    let own = last_nll(arm)?;
    let reached = results.reach(arm, Budget::Steps)?;
    let when = match reached.by_seed.first()?.1 {
        Reach::AtMost(share) => format!(
            "reaches the final loss of the model without labels in at most {:.0}% of the steps",
            100.0 * share
        ),
        Reach::At(share) => format!(
            "reaches the final loss of the model without labels in {:.0}% of the steps",
            100.0 * share
        ),
        Reach::Never => "does not reach the final loss of the model without labels".to_owned(),
    };
    Some(format!(
        "The same model with labels (`{}`): {own:.3}; it {when}.",
        arm.name
    ))
}
