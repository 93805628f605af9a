use super::*;

fn config(baseline: Option<&str>, runs: &[&str]) -> Result<RunsConfig, ExperimentError> {
    let runs: Vec<String> = runs.iter().map(|&text| text.to_owned()).collect();
    RunsConfig::of("out".into(), baseline.map(str::to_owned), &runs)
}

#[test]
fn runs_of_a_name_are_one_arm_and_the_first_arm_is_the_baseline() {
    let read = config(None, &["llm=a", "salt=b=c", "llm=d"]).unwrap();
    assert_eq!(read.baseline, "llm");
    let arms: Vec<(&str, usize)> = read
        .arms
        .iter()
        .map(|arm| (arm.name.as_str(), arm.dirs.len()))
        .collect();
    assert_eq!(arms, [("llm", 2), ("salt", 1)]);
    assert_eq!(read.arms[1].dirs, [PathBuf::from("b=c")]);
    assert_eq!(
        config(Some("salt"), &["llm=a", "salt=b"]).unwrap().baseline,
        "salt"
    );
}

#[test]
fn unknown_runs_and_arms_are_refused() {
    for (baseline, runs, expected) in [
        (None, &["llm"][..], "--runs is llm: expected ARM=DIR"),
        (None, &["=a"][..], "--runs is =a: expected ARM=DIR"),
        (None, &["llm="][..], "--runs is llm=: expected ARM=DIR"),
        (
            Some("salt"),
            &["llm=a"][..],
            "--baseline is salt: expected one of the arms: llm",
        ),
    ] {
        let error = config(baseline, runs).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_directory_that_is_not_a_run_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let named = format!("llm={}", dir.path().display());
    let error = collect_runs(&config(None, &[&named]).unwrap()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("expected the directory of a run"),
        "{error}"
    );
}
