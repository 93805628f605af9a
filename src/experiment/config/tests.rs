use super::*;
use crate::error::Classified;

const MINIMAL: &str = r#"
output = "out"
base = "run.toml"
seeds = [0, 1]
baseline = "b"
[arms.z]
set = { "kd.mode" = "salt", kd.n_kd = 20, data.selection = "" }
[arms.b]
[[sets]]
name = "books"
tokens = "valid"
"#;

fn parse(text: &str) -> Result<ExperimentConfig, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("experiment.toml");
    std::fs::write(&path, text).unwrap();
    ExperimentConfig::read(&path)
}

fn refusal(text: &str) -> String {
    let error = parse(text).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Usage);
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[test]
fn remote_paths_are_refused_by_key() {
    for (from, to, key) in [
        ("\"out\"", "\"s4://bucket/out\"", "output"),
        ("\"run.toml\"", "\"~/run.toml\"", "base"),
        ("\"valid\"", "\"hdfs://datasets/x\"", "sets.tokens"),
        (
            "data.selection = \"\"",
            "data.selection = \"gcs://b/s\"",
            "arms.z.set.data.selection",
        ),
    ] {
        let message = refusal(&MINIMAL.replace(from, to));
        let words = format!("{key} is ");
        assert!(message.starts_with(&words), "{message}");
        assert!(message.contains("expected a local path"), "{message}");
    }
    let stored = refusal(&MINIMAL.replace("\"out\"", "\"s3://bucket/out\""));
    assert!(
        stored.contains("expected a directory of this machine"),
        "{stored}"
    );
}

#[test]
fn arms_keep_the_order_of_the_file_and_set_what_run_sets() {
    let config = parse(MINIMAL).unwrap();
    let names: Vec<&str> = config.arms.0.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["z", "b"]);
    let overrides = config.arms.0[0].1.overrides();
    assert_eq!(
        overrides,
        ["data.selection=", "kd.n_kd=20", "kd.mode=\"salt\""]
    );
    assert_eq!(config.name(), "out");
    assert_eq!(config.branches.shares.len(), 6);
}

#[test]
fn invalid_experiments_are_refused_by_key() {
    for (from, to, expected) in [
        ("seeds = [0, 1]", "seeds = []", "seeds is []"),
        ("seeds = [0, 1]", "seeds = [1, 1]", "seeds is [1, 1]"),
        ("baseline = \"b\"", "baseline = \"c\"", "baseline is c"),
        ("[arms.b]", "[arms.\"a/b\"]\n[arms.b]", "arms is \"a/b\""),
        ("base = \"run.toml\"", "", "base is neither"),
        ("[arms.z]", "[run]\n[arms.z]", "base is both"),
        ("tokens = \"valid\"", "", "sets.books is neither"),
        (
            "tokens = \"valid\"",
            "tokens = \"valid\"\nlabels = \"l\"",
            "sets.books is both",
        ),
        (
            "tokens = \"valid\"",
            "labels = \"l\"\neod = 1",
            "sets.books is labels, with tokens_format, dtype or eod",
        ),
        (
            "name = \"books\"",
            "name = \"books\"\nwhat = 1",
            "unknown field `what`",
        ),
        (
            "[arms.z]",
            "[branches]\nshares = [0.5, 0.9]\n[arms.z]",
            "branches.shares is [0.5, 0.9]",
        ),
        (
            "[arms.z]",
            "[branches]\nshares = [0.9, 0.5, 1.0]\n[arms.z]",
            "branches.shares is",
        ),
        (
            "[arms.z]",
            "[branches]\ndecay = 0.5\n[arms.z]",
            "branches.decay is 0.5",
        ),
        (
            "[arms.z]",
            "[teacher]\nrun = \"r\"\nlabel_tokens_per_s = 0\n[arms.z]",
            "teacher.label_tokens_per_s is 0",
        ),
    ] {
        assert!(MINIMAL.contains(from));
        let refused = refusal(&MINIMAL.replacen(from, to, 1));
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn the_examples_are_experiments() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (file, n_arms, decay_steps) in [
        ("experiment.toml", 8, 120),
        ("overtaken/experiment.toml", 33, 240),
        ("overtaken/small.toml", 22, 200),
    ] {
        let config = ExperimentConfig::read(&root.join(file)).unwrap();
        assert_eq!(config.arms.0.len(), n_arms, "{file}");
        for (name, arm) in &config.arms.0 {
            let run = super::super::arm::run_config(&config, name, arm).unwrap();
            run.validate()
                .unwrap_or_else(|error| panic!("{file}, {name}: {error}"));
            assert_eq!(run.schedule.decay_steps, Some(decay_steps));
        }
    }
}
