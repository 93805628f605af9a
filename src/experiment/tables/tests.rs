use super::super::testing::{arm, labelled_arm, results, run};
use super::*;

fn two_arms() -> Results {
    let baseline = arm(
        "baseline",
        vec![
            run(0, &[(5, 5.0), (10, 4.0)]),
            run(1, &[(5, 5.2), (10, 4.2)]),
        ],
    );
    let salt = labelled_arm(
        "salt",
        vec![
            run(0, &[(5, 4.5), (10, 3.5)]),
            run(1, &[(5, 4.8), (10, 3.8)]),
        ],
    );
    results(vec![baseline, salt])
}

fn row<'a>(text: &'a str, title: &str, arm: &str) -> &'a str {
    let section = text.split("## ").find(|section| section.starts_with(title));
    let mut lines = section.unwrap().lines();
    let found = lines.find(|line| line.starts_with(&format!("| {arm} |")));
    found.unwrap()
}

#[test]
fn every_cell_has_its_mean_its_spread_and_its_seeds() {
    let text = to_markdown(&two_arms());
    assert_eq!(
        row(&text, "NLL after the whole run", "salt"),
        "| salt | 3.6500 ± 0.2121 (3.5000, 3.8000) | -0.4500 ± 0.0707 (-0.5000, -0.4000) |"
    );
    assert_eq!(
        row(&text, "Fraction of the baseline's budget", "salt"),
        "| salt | 77.5% ± 3.5% (75.0%, 80.0%) | 77.5% ± 3.5% (75.0%, 80.0%) \
         | 137.5% ± 3.5% (135.0%, 140.0%) | 77.5% ± 3.5% (75.0%, 80.0%) \
         | 137.5% ± 3.5% (135.0%, 140.0%) | 0.200, 0.200 to 0.200 (0.200, 0.200) |"
    );
    assert_eq!(
        row(&text, "NLL on books by bucket", "salt"),
        "| salt | -0.2250 ± 0.0354 (-0.2500, -0.2000) | -0.4500 ± 0.0707 (-0.5000, -0.4000) \
         | -0.6750 ± 0.1061 (-0.7500, -0.6000) |"
    );
    assert_eq!(
        row(&text, "Costs of a whole run", "salt"),
        "| salt | 4000 | 150.0 | 5.00e9 | 10 | 1.00e9 | 1.00e10 ± 0 (1.00e10, 1.00e10) \
         | 20 ± 0 (20, 20) | 0.200, 0.200 to 0.200 (0.200, 0.200) |"
    );
}

#[test]
fn what_is_missing_is_shown_as_missing() {
    let mut results = two_arms();
    results.arms[1].runs.remove(0);
    let text = to_markdown(&results);
    assert_eq!(
        row(&text, "NLL after the whole run", "salt"),
        "| salt | 3.8000 (3.8000; seed 1 only) | -0.4000 (-0.4000; seed 1 only) |"
    );
    results.arms[1].runs.clear();
    let text = to_markdown(&results);
    assert_eq!(
        row(&text, "NLL after the whole run", "salt"),
        "| salt | – | – |"
    );
}

#[test]
fn an_arm_that_never_reaches_the_target_is_shown_as_never() {
    let mut results = two_arms();
    for run in &mut results.arms[1].runs {
        run.branches[1].scores[0].nll = 4.1;
    }
    let text = to_markdown(&results);
    let reach = row(&text, "Fraction of the baseline's budget", "salt");
    let (_, first) = reach.split_once("salt | ").unwrap();
    assert!(first.starts_with("never in 1 of 2 (never, "), "{reach}");
}

#[test]
fn text_is_aligned_and_has_no_values_by_seed() {
    let text = to_text(&two_arms());
    let lines: Vec<&str> = text.lines().collect();
    let head = lines
        .iter()
        .position(|line| line.starts_with("  arm"))
        .unwrap();
    let at = lines[head].find("NLL on books").unwrap();
    assert_eq!(&lines[head + 2][at..at + 6], "3.6500");
    assert!(!text.contains("(3.5000"), "{text}");
}
