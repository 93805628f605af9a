//! The embedded default input, started from nothing, and inspecting its results.
#![cfg(feature = "label")]
// clippy.toml exempts tests, but not the functions that they call.
#![allow(clippy::unwrap_used)]

#[path = "support/markup.rs"]
mod markup;
mod support;

use markup::{check_is_alone, check_markup, linked_file, text_of};
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
    assert!(text(&run()).contains("labelled already"));
    assert_same_files(&snapshot(dir.path()), &first);
    // A function of its settings: another directory, the same labels, made from other paths, which only their
    // record and their list of documents name.
    let labels = [dir.path().join("labels"), labels()].map(|dir| {
        let mut files = snapshot(&dir);
        assert!(files.remove("label.toml").is_some());
        files.retain(|name, _| !name.starts_with("documents/"));
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
    assert!(printed.contains("from 1 to the 32 stored ids"), "{printed}");
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

#[test]
fn a_page_of_the_labels_shows_what_stats_know_and_needs_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("labels.html");
    let mut command = saltworks();
    command
        .arg("report")
        .arg(labels())
        .args(["--tokenizer", &tokenizer()])
        .arg("-o")
        .arg(&output);
    let printed = text(&succeed(&mut command));
    assert!(printed.contains(&output.display().to_string()), "{printed}");
    let page = std::fs::read_to_string(&output).unwrap();
    let tags = check_markup(&page);
    check_is_alone(&page, &tags);
    for id in [
        "overview",
        "positions",
        "sequences",
        "documents",
        "teacher",
        "text",
        "columns",
        "provenance",
    ] {
        assert!(page.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    // Every value is in a bar of its histogram.
    let stats = json_of("stats", &[]);
    for (name, file, n) in [
        ("target_nll", "positions.csv", &stats["n_targets"]),
        ("entropy", "positions.csv", &stats["n_targets"]),
        ("score_mean_nll", "sequences.csv", &stats["n_rows"]),
    ] {
        let csv = linked_file(&tags, file);
        let lines = csv.lines().filter_map(|line| line.strip_prefix(name));
        let counts = lines.map(|line| line.rsplit(',').next().unwrap().parse::<u64>().unwrap());
        assert_eq!(Some(counts.sum::<u64>()), n.as_u64(), "{name}: {csv}");
    }
    let csv = linked_file(&tags, "documents.csv");
    let of_all = csv.lines().filter(|line| line.starts_with(','));
    let counts = of_all.map(|line| line.rsplit(',').next().unwrap().parse::<u64>().unwrap());
    let n_documents = counts.sum::<u64>();
    let shown = text_of(&page);
    assert!(n_documents > 0 && shown.contains("bits per byte of their text"));
    let nll = stats["positions"][0]["mean"].as_f64().unwrap();
    assert!(shown.contains(&format!("{nll:.3}")), "{nll}");
    let plan = std::fs::read_to_string(labels().join("plan.json")).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert!(shown.contains(plan["teacher"]["fingerprint"].as_str().unwrap()));
}

#[test]
fn a_page_of_the_labels_spares_files_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("report.html");
    std::fs::write(&output, "mine").unwrap();
    let report = |arguments: &[&str]| {
        let mut command = saltworks();
        command
            .arg("report")
            .arg(labels())
            .args(arguments)
            .arg("--output")
            .arg(dir.path());
        command
    };
    let refused = fail_with(&mut report(&[]), 2);
    assert!(
        refused.contains("was not written by saltworks"),
        "{refused}"
    );
    assert_eq!(std::fs::read_to_string(&output).unwrap(), "mine");
    let printed = succeed(&mut report(&["--overwrite", "--json"]));
    let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(printed["page"], output.display().to_string());
    assert_eq!(printed["warnings"], serde_json::json!([]));
    succeed(&mut report(&[]));
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
