//! The embedded default from nothing, and what can be looked at afterwards.
#![cfg(feature = "label")]
// clippy.toml exempts tests, but not the functions that they call.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;
use support::{assert_same_files, fail_with, python, saltworks, snapshot, succeed, text};

/// One demo for all tests: the directory that its directory `demo` is in, and what it printed.
fn demo() -> &'static (tempfile::TempDir, Output) {
    static DEMO: OnceLock<(tempfile::TempDir, Output)> = OnceLock::new();
    DEMO.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("demo");
        let printed = succeed(
            saltworks()
                .args(["demo", "--teacher", "ngram", "--megabytes", "1", "--output"])
                .arg(output),
        );
        (dir, printed)
    })
}

fn demo_dir() -> PathBuf {
    demo().0.path().join("demo")
}

fn labels() -> PathBuf {
    demo_dir().join("labels")
}

/// The JSON that a command over the demo's labels prints.
fn json_of(command: &str, arguments: &[&str]) -> Value {
    let output = succeed(
        saltworks()
            .arg(command)
            .arg(labels())
            .arg("--json")
            .args(arguments),
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn tokenizer() -> String {
    demo_dir().join("tokenizer.json").display().to_string()
}

#[test]
fn the_query_that_the_demo_prints_works_in_duckdb() {
    let printed = text(&demo().1);
    let query = printed
        .split("SELECT")
        .nth(1)
        .and_then(|rest| rest.split(';').next());
    let query = format!("SELECT{}", query.unwrap());
    let script = "import duckdb, json, sys; print(json.dumps(duckdb.sql(sys.argv[1]).fetchall()))";
    let output = succeed(python().args(["-c", script, &query]));
    let rows: Vec<(u64, u64, f64, f64)> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows.len(), 5);
    assert!(rows.is_sorted_by(|a, b| a.2 >= b.2), "{rows:?}");
}

#[test]
fn a_second_demo_in_the_same_directory_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = || {
        succeed(
            saltworks()
                .args(["demo", "--teacher", "ngram", "--megabytes", "1", "--output"])
                .arg(dir.path()),
        )
    };
    run();
    let first = snapshot(dir.path());
    assert!(text(&run()).contains("there already"));
    assert_same_files(&snapshot(dir.path()), &first);
    // A function of its settings: another directory, the same labels, made from other paths.
    let labels = [dir.path().join("labels"), labels()].map(|dir| {
        let mut files = snapshot(&dir);
        assert!(files.remove("label.toml").is_some());
        files
    });
    assert_same_files(&labels[0], &labels[1]);
}

#[test]
fn a_directory_with_other_content_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let printed = fail_with(
        saltworks()
            .args(["demo", "--teacher", "ngram", "--output"])
            .arg(dir.path()),
        2,
    );
    assert!(printed.contains("not empty"), "{printed}");
    assert_eq!(snapshot(dir.path()).len(), 1);
    let printed = fail_with(
        saltworks()
            .args(["demo", "--teacher", "ngram", "--seed", "2", "--output"])
            .arg(demo_dir()),
        2,
    );
    assert!(printed.contains("other settings"), "{printed}");
}

#[test]
fn stats_say_that_the_teacher_knows_more_than_frequencies() {
    let stats = json_of("stats", &[]);
    let nll = &stats["positions"][0];
    assert_eq!(nll["name"], "target_nll");
    let mean = nll["mean"].as_f64().unwrap();
    assert!((1.0..3.5).contains(&mean), "{mean}");
    assert_eq!(stats["n_shards"], stats["n_shards_finished"]);
    assert_eq!(nll["n_values"], stats["n_targets"]);
    let tail_mass = stats["truncation"]["mean_tail_mass"].as_f64().unwrap();
    let kl = stats["truncation"]["mean_kl_nats"].as_f64().unwrap();
    assert!(
        0.0 < tail_mass && tail_mass < kl && kl < 1.0,
        "{tail_mass} {kl}"
    );

    let drawn = succeed(saltworks().arg("stats").arg(labels()).env("COLUMNS", "100"));
    let drawn = text(&drawn);
    assert!(
        drawn.contains("target_nll: mean") && drawn.contains('█'),
        "{drawn}"
    );
    assert!(!drawn.contains('\x1b'), "a pipe gets no colours");
    assert!(
        drawn.lines().all(|line| line.chars().count() <= 100),
        "{drawn}"
    );
}

#[test]
fn stats_bound_how_far_the_teacher_is_from_the_text() {
    let stats = json_of("stats", &["--bound-k", "5"]);
    let (teacher, nll) = (&stats["teacher"], &stats["positions"][0]["mean"]);
    let number = |value: &Value| value.as_f64().unwrap();
    assert!((number(&teacher["nll"]["mean"]) - number(nll)).abs() < 1e-4);
    assert_eq!(teacher["n_targets"], stats["n_targets"]);
    assert_eq!(teacher["blocks_of"], "documents");
    let bounds = &teacher["by_topk"];
    assert_eq!(bounds["k"], 5);
    assert!(number(&bounds["tv_at_least"]) < number(&bounds["tv_at_most"]["mean"]));
    assert!(number(&bounds["kl_at_least"]) < number(&bounds["kl_at_most"]["mean"]));
    assert_eq!(teacher["entropy_buckets"].as_array().unwrap().len(), 3);

    let mut stats = saltworks();
    stats.arg("stats").arg(labels());
    let printed = fail_with(stats.args(["--bound-k", "999"]), 2);
    assert!(printed.contains("from 1 to the 32 ids"), "{printed}");
    let mut stats = saltworks();
    stats.arg("stats").arg(labels());
    let printed = fail_with(stats.arg("--held-out").arg(labels()), 2);
    assert!(printed.contains("is not held out"), "{printed}");
}

#[test]
fn inspect_shows_text_of_the_corpus_and_what_the_teacher_thought() {
    let row = json_of(
        "inspect",
        &[
            "--seq-id",
            "3",
            "--positions",
            "1..9",
            "--tokenizer",
            &tokenizer(),
        ],
    );
    assert_eq!(row["seq_id"], 3);
    assert_eq!(row["tokens"].as_array().unwrap().len(), 8);
    for token in row["tokens"].as_array().unwrap() {
        let (prob, logprob) = (
            token["prob"].as_f64().unwrap(),
            token["logprob"].as_f64().unwrap(),
        );
        assert!((prob.ln() - logprob).abs() < 1e-5);
        let best = &token["alternatives"][0];
        let is_best = token["rank"] == 0;
        assert_eq!(best["id"] == token["id"], is_best);
    }
    assert!(corpus_text(&demo_dir()).contains(row["text"].as_str().unwrap()));

    let shown = succeed(
        saltworks()
            .arg("inspect")
            .arg(labels())
            .args(["--tokenizer", &tokenizer()]),
    );
    assert!(
        text(&shown).contains("the teacher's best"),
        "{}",
        text(&shown)
    );
}

#[test]
fn inspect_refuses_a_row_that_is_not_there_and_a_foreign_tokenizer() {
    let printed = fail_with(
        saltworks()
            .arg("inspect")
            .arg(labels())
            .args(["--row", "999999"]),
        2,
    );
    assert!(printed.contains("has no row 999999"), "{printed}");
    let other = tempfile::tempdir().unwrap();
    let path = other.path().join("tokenizer.json");
    let json = std::fs::read_to_string(tokenizer()).unwrap();
    std::fs::write(&path, json.replace("<|endoftext|>", "<|other|>")).unwrap();
    let printed = fail_with(
        saltworks()
            .arg("inspect")
            .arg(labels())
            .arg("--tokenizer")
            .arg(&path),
        2,
    );
    assert!(
        printed.contains("is not the tokenizer of these labels"),
        "{printed}"
    );
}

/// All documents, with the mark that stands between them in the token stream.
fn corpus_text(dir: &Path) -> String {
    let lines = std::fs::read_to_string(dir.join("corpus.jsonl")).unwrap();
    let text_of = |line: &str| {
        let document: Value = serde_json::from_str(line).unwrap();
        document["text"].as_str().unwrap().to_owned() + "<|endoftext|>"
    };
    lines.lines().map(text_of).collect()
}
