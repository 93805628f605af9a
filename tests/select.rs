//! Two passes as a user makes them: score everything, select, label the selection.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use saltworks::shards::{LabelSet, Row, Selection, ShardReader};
use saltworks::tokens::Packing;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use support::{Inputs, assert_same_files, fail_with, saltworks, snapshot, succeed, text};

/// Enough tokens for some ten shards of the test options.
const N_TOKENS: usize = 6_000;

fn rows(dir: &Path) -> BTreeMap<u64, Row> {
    let set = LabelSet::open(dir).unwrap();
    let mut rows = BTreeMap::new();
    for plan in &set.segments {
        for shard in plan.shards() {
            for group in ShardReader::open(dir, plan, shard).unwrap() {
                rows.extend(group.unwrap().into_iter().map(|row| (row.seq_id, row)));
            }
        }
    }
    rows
}

/// `saltworks select` of `labels` into `selection.parquet`.
fn select(inputs: &Inputs, labels: &str) -> Command {
    let mut command = saltworks();
    command.arg("select").arg(inputs.path(labels));
    command
        .arg("--output")
        .arg(inputs.path("selection.parquet"));
    command
}

/// A pass of scores alone, and the selection of the hardest 40% of what is learnable.
fn score_and_select(inputs: &Inputs, options: &[&str]) {
    let mut scoring = saltworks();
    scoring.arg("label");
    inputs.add_inputs(&mut scoring, "scores");
    scoring.args(["--seq-len", "32", "--groups", "scores"]);
    succeed(scoring.args(options));
    succeed(select(inputs, "scores").args(["--fraction", "0.4"]));
}

fn label_selection(inputs: &Inputs, output: &str) -> Command {
    let mut command = inputs.label(output);
    command
        .arg("--selection")
        .arg(inputs.path("selection.parquet"));
    command
}

#[test]
fn labelling_a_selection_gives_the_rows_of_labelling_all_and_filtering() {
    for packing in [Packing::Concat, Packing::Document] {
        let inputs = Inputs::new(N_TOKENS);
        let packing = match packing {
            Packing::Concat => ["--packing", "concat"],
            Packing::Document => ["--packing", "document"],
        };
        score_and_select(&inputs, &packing);
        succeed(label_selection(&inputs, "selected").args(packing));
        succeed(inputs.label("all").args(packing));
        let all = rows(&inputs.path("all"));
        let selected = rows(&inputs.path("selected"));
        let n_kept = (all.len() as f64 * 0.4).round() as usize;
        assert_eq!(selected.len(), n_kept);
        // The highest SALT scores, and of every column the same values.
        let mut scores: Vec<f64> = all.values().filter_map(|row| row.scores.salt).collect();
        scores.sort_by(|a, b| b.total_cmp(a));
        for (seq_id, row) in &selected {
            assert_eq!(row, &all[seq_id]);
            assert!(row.scores.salt.unwrap() >= scores[n_kept - 1]);
        }
    }
}

#[test]
fn labels_of_a_selection_are_verified_shown_and_counted_like_any() {
    let inputs = Inputs::new(N_TOKENS);
    score_and_select(&inputs, &[]);
    succeed(&mut label_selection(&inputs, "selected"));
    let dir = inputs.path("selected");
    let mut verify = saltworks();
    verify.arg("verify").arg(&dir).args(["--device", "cpu"]);
    verify.arg("--teacher").arg(inputs.path("teacher.onnx"));
    verify.arg("--tokens").arg(inputs.path("tokens.bin"));
    succeed(&mut verify);
    let shown = succeed(saltworks().arg("stats").arg(&dir));
    let n_rows = rows(&dir).len();
    assert!(text(&shown).contains(&format!("{n_rows} rows")));
    let seq_id = *rows(&dir).keys().last().unwrap();
    let mut inspect = saltworks();
    inspect.arg("inspect").arg(&dir);
    let shown = succeed(inspect.args(["--seq-id", &seq_id.to_string()]));
    assert!(text(&shown).contains(&format!("sequence {seq_id}")));
    let dropped = (0..).find(|id| !rows(&dir).contains_key(id)).unwrap();
    let mut inspect = saltworks();
    inspect.arg("inspect").arg(&dir);
    let printed = fail_with(inspect.args(["--seq-id", &dropped.to_string()]), 2);
    assert!(
        printed.contains(&format!("has no sequence {dropped}; it holds only what")),
        "{printed}"
    );
}

#[test]
fn tasks_and_resuming_make_the_same_bytes_of_a_selection() {
    let inputs = Inputs::new(N_TOKENS);
    score_and_select(&inputs, &[]);
    succeed(&mut label_selection(&inputs, "whole"));
    let want = snapshot(&inputs.path("whole"));
    assert!(want.contains_key("selection.parquet"));
    for task in ["1/2", "0/2"] {
        succeed(label_selection(&inputs, "tasks").args(["--task", task]));
    }
    succeed(saltworks().arg("finalize").arg(inputs.path("tasks")));
    assert_same_files(&snapshot(&inputs.path("tasks")), &want);
    // A shard that is lost is made again.
    for name in ["part-00001.json", "manifest.json"] {
        std::fs::remove_file(inputs.path("tasks").join(name)).unwrap();
    }
    succeed(&mut label_selection(&inputs, "tasks"));
    assert_same_files(&snapshot(&inputs.path("tasks")), &want);
}

#[test]
fn a_selection_of_other_sequences_is_refused() {
    let inputs = Inputs::new(N_TOKENS);
    score_and_select(&inputs, &[]);
    let printed = fail_with(
        label_selection(&inputs, "other").args(["--packing", "document"]),
        2,
    );
    assert!(
        printed.contains("was made for the sequences blake3:"),
        "{printed}"
    );
    let kept = Selection::read(&inputs.path("selection.parquet"), u64::MAX).unwrap();
    let dropped = (0..).find(|&id| !kept.kept.contains(id)).unwrap();
    let range = format!("{dropped}..{}", dropped + 1);
    let mut nothing = label_selection(&inputs, "other");
    let printed = fail_with(nothing.args(["--sequences", &range]), 2);
    assert!(printed.contains(&format!("none of {range}")), "{printed}");
    assert!(!inputs.path("other").join("plan.json").exists());
}

#[test]
fn the_summary_says_what_is_kept_and_shows_examples() {
    let inputs = Inputs::new(N_TOKENS);
    score_and_select(&inputs, &[]);
    let mut command = select(&inputs, "scores");
    command.args([
        "--token-budget",
        "1000",
        "--min-learnable",
        "0.01",
        "--json",
    ]);
    let output = succeed(&mut command);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (n_kept, n_tokens) = (report["n_kept"].as_u64(), report["n_tokens_kept"].as_u64());
    assert!(n_tokens.unwrap() <= 1000 && n_tokens.unwrap() > 1000 - 32);
    assert_eq!(report["scores"]["kept"]["n"].as_u64(), n_kept);
    assert_eq!(report["policy"]["order"], "top");
    // A set with only scores has no tokens to show.
    let mut command = select(&inputs, "scores");
    let printed = fail_with(command.args(["--rows", "20", "--preview"]), 2);
    assert!(printed.contains("--tokens"), "{printed}");
    let mut command = select(&inputs, "scores");
    command.args(["--rows", "20", "--preview", "--tokens"]);
    let printed = text(&succeed(command.arg(inputs.path("tokens.bin"))));
    for words in [
        "20 of 188 sequences",
        "score_salt, nats",
        "█ kept  ░ dropped",
        "hardest kept",
        "near the median",
        "least learnable",
    ] {
        assert!(printed.contains(words), "{printed}");
    }
    let first = rows(&inputs.path("scores"));
    let hardest = first.values().max_by(|a, b| {
        let (a, b) = (a.scores.salt.unwrap_or(-1.0), b.scores.salt.unwrap_or(-1.0));
        a.total_cmp(&b)
    });
    let hardest = hardest.unwrap().seq_id;
    assert!(
        printed.contains(&format!("sequence {hardest}: score")),
        "{printed}"
    );
}

#[test]
fn amounts_that_are_missing_or_impossible_are_refused() {
    let inputs = Inputs::new(1_000);
    score_and_select(&inputs, &[]);
    let refused = |options: &[&str], words: &str| {
        let printed = fail_with(select(&inputs, "scores").args(options), 2);
        assert!(printed.contains(words), "{printed}");
    };
    refused(&[], "--fraction");
    refused(&["--rows", "3", "--fraction", "0.5"], "cannot be used with");
    refused(&["--fraction", "1.5"], "the fraction is 1.5, expected");
    refused(&["--rows", "3", "--score", "score_luck"], "score_luck");
    refused(
        &["--rows", "3", "--policy", "weighted", "--temperature", "0"],
        "the temperature is 0, expected a positive number",
    );
    let printed = fail_with(select(&inputs, "nowhere").args(["--rows", "3"]), 2);
    assert!(printed.contains("nowhere does not exist"), "{printed}");
}

#[test]
fn a_selection_takes_the_place_of_an_earlier_one_and_of_nothing_else() {
    let inputs = Inputs::new(N_TOKENS);
    score_and_select(&inputs, &[]);
    succeed(select(&inputs, "scores").args(["--rows", "5"]));
    let before = snapshot(&inputs.path("scores"));
    let shard = "scores/scores/part-00000.parquet";
    for place in [
        "scores/manifest.json",
        shard,
        "scores",
        "absent/selection.parquet",
    ] {
        let mut command = saltworks();
        command
            .arg("select")
            .arg(inputs.path("scores"))
            .args(["--rows", "5", "--output"]);
        let printed = fail_with(command.arg(inputs.path(place)), 2);
        assert!(printed.contains(place), "{printed}");
        assert_same_files(&before, &snapshot(&inputs.path("scores")));
    }
}

#[test]
fn what_labels_are_of_is_not_written_over() {
    let inputs = Inputs::new(N_TOKENS);
    score_and_select(&inputs, &[]);
    succeed(&mut label_selection(&inputs, "selected"));
    let before = snapshot(&inputs.path("selected"));
    let mut command = saltworks();
    command.arg("select").arg(inputs.path("selected"));
    command.args(["--rows", "5", "--output"]);
    let printed = fail_with(command.arg(inputs.path("selected/selection.parquet")), 2);
    assert!(printed.contains("outside the inputs"), "{printed}");
    assert_same_files(&before, &snapshot(&inputs.path("selected")));
}

/// A training run of 20 steps of 4 on labels that are not there yet.
#[cfg(feature = "train")]
fn write_run(inputs: &Inputs, data: &str) -> std::path::PathBuf {
    let tokens = inputs.path("tokens.bin");
    let text = format!(
        "output = \"run\"\n[model]\nd_model = 16\nn_layers = 1\nn_heads = 2\nd_ff = 16\n\
         [data]\ntokens = {tokens:?}\ntokens_format = \"nanogpt\"\neod = 299\nlabels = \"labels\"\n\
         seq_len = 32\n{data}\n[train]\nsteps = 40\nbatch_size = 4\n[kd]\nmode = \"salt\"\nn_kd = 20\n"
    );
    let path = inputs.path("run.toml");
    std::fs::write(&path, text).unwrap();
    path
}

#[cfg(feature = "train")]
fn plan_training(inputs: &Inputs, run: &Path) -> Command {
    let mut command = saltworks();
    command.args(["plan", "--device", "cpu", "--top-k", "8", "--training"]);
    command.arg(run).arg("--teacher");
    command.arg(inputs.path("teacher.onnx"));
    command
}

#[cfg(feature = "train")]
#[test]
fn a_training_run_is_told_what_labels_and_what_a_live_teacher_cost() {
    let inputs = Inputs::new(N_TOKENS);
    let run = write_run(&inputs, "");
    let output = succeed(plan_training(&inputs, &run).args(["--json", "--runs", "3"]));
    let costs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(costs["demand"]["n_sequences"], 80);
    assert_eq!(costs["n_sequences_there"], 80);
    assert_eq!(costs["n_tokens"], 80 * 32);
    let live = &costs["live_teacher"];
    assert_eq!(live["n_tokens"], 3 * 80 * 32);
    assert_eq!(live["logits_bytes"], 4 * 32 * 300 * 4);
    let weights = std::fs::metadata(inputs.path("teacher.onnx"))
        .unwrap()
        .len();
    assert_eq!(live["weight_bytes"], weights);
    // Three runs of a live teacher take three times what labels take once.
    let ratio = live["seconds"].as_f64().unwrap() / costs["labels"]["seconds"].as_f64().unwrap();
    assert!((ratio - 3.0).abs() < 1e-9, "{ratio}");
    assert!(costs["bytes_per_token"].as_f64().unwrap() > 8.0);
    // Seen four times each, a quarter of the sequences are enough; the teacher would see all of them.
    let run = write_run(&inputs, "label_epochs = 4");
    let output = succeed(plan_training(&inputs, &run).arg("--json"));
    let costs: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&costs["demand"]["n_sequences"], &costs["n_tokens"]),
        (&20.into(), &640.into())
    );
    assert_eq!(costs["live_teacher"]["n_tokens"], 80 * 32);
    assert!(!inputs.path("labels").exists());
}

#[cfg(feature = "train")]
#[test]
fn a_selection_that_is_too_small_for_a_training_run_is_warned_of() {
    let inputs = Inputs::new(N_TOKENS);
    score_and_select(&inputs, &[]);
    let selection = inputs.path("selection.parquet");
    let run = write_run(&inputs, "");
    let mut by_flag = plan_training(&inputs, &run);
    by_flag.arg("--selection").arg(&selection);
    let by_flag = text(&succeed(&mut by_flag));
    let run = write_run(&inputs, &format!("selection = {selection:?}"));
    let of_salt = std::fs::read_to_string(&run).unwrap();
    std::fs::write(&run, of_salt.replace("\"salt\"", "\"salt-ds\"")).unwrap();
    let by_run = text(&succeed(&mut plan_training(&inputs, &run)));
    for printed in [by_flag, by_run] {
        for words in [
            "20 steps of 4 sequences",
            "80 labelled sequences, 2,560 tokens",
            "live teacher, 1 run",
            "warning: only 75 of the 80 sequences exist",
        ] {
            assert!(printed.contains(words), "{words:?}\n{printed}");
        }
    }
    std::fs::remove_file(&selection).unwrap();
    let ahead = text(&succeed(&mut plan_training(&inputs, &run)));
    assert!(ahead.contains("does not exist yet"), "{ahead}");
    std::fs::write(&run, "output = 3").unwrap();
    let printed = fail_with(&mut plan_training(&inputs, &run), 2);
    assert!(printed.contains("run.toml"), "{printed}");
}
