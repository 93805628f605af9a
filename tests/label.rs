//! `saltworks label` as a process: the same bytes whether run at once, resumed, split or interrupted.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use crate::support::models::DecoderSpec;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::process::{signal, spawn, wait_for};
use support::{Inputs, assert_same_files, fail_with, python, saltworks, snapshot, succeed, text};

/// Enough tokens for some ten shards of the test options.
const N_TOKENS: usize = 6_000;

#[test]
fn threads_and_batches_do_not_change_a_byte() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(&mut inputs.label("reference"));
    let want = snapshot(&inputs.path("reference"));
    assert!(
        want.keys()
            .filter(|name| name.starts_with("positions/"))
            .count()
            >= 5,
        "{:?}",
        want.keys()
    );
    for (i, options) in [
        ["--threads", "1"],
        ["--threads", "2"],
        ["--batch-tokens", "1"],
        ["--batch-tokens", "4096"],
    ]
    .iter()
    .enumerate()
    {
        let output = format!("other-{i}");
        succeed(inputs.label(&output).args(options));
        assert_same_files(&snapshot(&inputs.path(&output)), &want);
    }
}

#[test]
fn document_packing_does_not_depend_on_the_batches_either() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(
        inputs
            .label("one")
            .args(["--packing", "document", "--batch-tokens", "1"]),
    );
    succeed(
        inputs
            .label("many")
            .args(["--packing", "document", "--batch-tokens", "700"]),
    );
    assert_same_files(
        &snapshot(&inputs.path("many")),
        &snapshot(&inputs.path("one")),
    );
}

#[test]
fn a_run_killed_at_random_moments_resumes_to_the_same_bytes() {
    let inputs = Inputs::new(N_TOKENS);
    let started = Instant::now();
    succeed(&mut inputs.label("reference"));
    let whole_run = started.elapsed();
    let want = snapshot(&inputs.path("reference"));
    let mut n_killed = 0;
    let mut round = 0_u32;
    // Moments spread over a whole run, and a new directory whenever one got finished.
    while n_killed < 20 {
        round += 1;
        let output = format!("killed-{}", round / 5);
        let moment = whole_run.mul_f64(f64::from(round * 7919 % 100) / 100.0);
        n_killed += u32::from(kill_after(&mut inputs.label(&output), moment));
        assert!(
            round < 200,
            "only {n_killed} of {round} runs lived long enough to be killed"
        );
    }
    for i in 0..=round / 5 {
        let output = format!("killed-{i}");
        succeed(&mut inputs.label(&output));
        assert_same_files(&snapshot(&inputs.path(&output)), &want);
    }
}

/// Kills with SIGKILL after `moment`; false if the process had ended before.
fn kill_after(command: &mut Command, moment: Duration) -> bool {
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(moment);
    let was_running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    was_running
}

#[test]
fn two_processes_on_the_same_task_make_one_set() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(&mut inputs.label("reference"));
    let children: Vec<_> = (0..2)
        .map(|_| spawn(&mut inputs.label("together")))
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    assert_same_files(
        &snapshot(&inputs.path("together")),
        &snapshot(&inputs.path("reference")),
    );
}

#[test]
fn four_tasks_at_once_make_what_one_process_makes() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(&mut inputs.label("reference"));
    let tasks = ["0/4", "1/4", "2/4", "3/4"];
    let children: Vec<_> = tasks
        .iter()
        .map(|task| spawn(inputs.label("tasks").args(["--task", task])))
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
    succeed(saltworks().arg("finalize").arg(inputs.path("tasks")));
    assert_same_files(
        &snapshot(&inputs.path("tasks")),
        &snapshot(&inputs.path("reference")),
    );
}

/// `label` as an engine would start it: nothing but these variables of any engine.
fn by_engine(inputs: &Inputs, output: &str, variables: &[(&str, &str)]) -> Command {
    let mut command = inputs.label(output);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("SLURM_") || text.starts_with("SKYPILOT_") {
            command.env_remove(&name);
        }
    }
    for name in ["RANK", "WORLD_SIZE", "JOB_COMPLETION_INDEX"] {
        command.env_remove(name);
    }
    command
        .envs(variables.iter().copied())
        .args(["--task", "auto"]);
    command
}

#[test]
fn an_engines_numbers_make_tasks_and_the_one_that_waits_finishes_their_set() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(&mut inputs.label("reference"));
    let array = |id| {
        vec![
            ("SLURM_ARRAY_TASK_ID", id),
            ("SLURM_ARRAY_TASK_MIN", "1"),
            ("SLURM_ARRAY_TASK_MAX", "2"),
            ("SLURM_ARRAY_TASK_COUNT", "2"),
        ]
    };
    let first = succeed(&mut by_engine(&inputs, "tasks", &array("1")));
    assert!(
        text(&first).contains("task 0/2 from Slurm"),
        "{}",
        text(&first)
    );
    let labels = inputs.path("tasks");
    let printed = fail_with(
        saltworks()
            .arg("finalize")
            .arg(&labels)
            .args(["--wait", "0"]),
        1,
    );
    assert!(printed.contains("4 of 8 shards are missing"), "{printed}");
    let waiting = spawn(
        saltworks()
            .arg("finalize")
            .arg(&labels)
            .args(["--wait", "300"]),
    );
    succeed(by_engine(&inputs, "tasks", &[("JOB_COMPLETION_INDEX", "1")]).args(["--tasks", "2"]));
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_same_files(&snapshot(&labels), &snapshot(&inputs.path("reference")));
    let printed = fail_with(&mut by_engine(&inputs, "none", &[]), 2);
    assert!(printed.contains("SLURM_ARRAY_TASK_ID"), "{printed}");
    // What is done before the tasks needs no engine.
    succeed(by_engine(&inputs, "none", &[]).arg("--dry-run"));
}

#[test]
fn status_says_how_far_a_set_is_while_tasks_work_and_when_it_is_finished() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(inputs.label("labels").args(["--task", "0/2"]));
    let labels = inputs.path("labels");
    let status = |code: i32| -> serde_json::Value {
        let output = saltworks()
            .arg("status")
            .arg(&labels)
            .arg("--json")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let half = status(1);
    assert_eq!(
        (&half["n_shards_done"], &half["n_shards"]),
        (&4.into(), &8.into())
    );
    let odd: Vec<_> = [1, 3, 5, 7]
        .map(|n| serde_json::json!({"first": n, "last": n}))
        .into();
    assert_eq!(half["missing"], serde_json::Value::from(odd));
    assert_eq!(half["is_finalized"], false);
    // A shard in work is not counted: another task's temporary, and a file whose sidecar is not there yet.
    std::fs::write(
        labels.join("scores/.part-00001.parquet.host.1.0123456789abcdef"),
        "x",
    )
    .unwrap();
    std::fs::write(labels.join("scores/part-00001.parquet"), "x").unwrap();
    std::fs::write(labels.join(".part-00001.json.host.1.0123456789abcdef"), "{").unwrap();
    assert_eq!(status(1)["n_bytes"], half["n_bytes"]);
    assert_eq!(status(1)["n_shards_done"], 4);
    std::fs::remove_file(labels.join("scores/part-00001.parquet")).unwrap();
    succeed(inputs.label("labels").args(["--task", "1/2"]));
    let done = status(0);
    assert_eq!(
        (&done["n_targets_done"], &done["missing"]),
        (&done["n_targets"], &serde_json::json!([]))
    );
    assert_eq!(
        (&done["is_finalized"], &done["eta_s"]),
        (&false.into(), &serde_json::json!(0.0))
    );
    let files = ["scores", "positions"].map(|kind| std::fs::read_dir(labels.join(kind)).unwrap());
    let files = files.into_iter().flatten().flatten();
    let files = files.filter(|file| !file.file_name().to_string_lossy().starts_with('.'));
    let n_bytes: u64 = files.map(|file| file.metadata().unwrap().len()).sum();
    assert_eq!(done["n_bytes"], n_bytes);
    succeed(saltworks().arg("finalize").arg(&labels));
    assert_eq!(status(0)["is_finalized"], true);
    let printed = text(&succeed(saltworks().arg("status").arg(&labels)));
    assert!(printed.contains("8 of 8 done"), "{printed}");
    fail_with(saltworks().arg("status").arg(inputs.path("elsewhere")), 2);
}

#[test]
fn a_set_with_shards_missing_is_not_finalized() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(inputs.label("labels").args(["--task", "0/2"]));
    let printed = fail_with(saltworks().arg("finalize").arg(inputs.path("labels")), 1);
    assert!(printed.contains("4 of 8 shards"), "{printed}");
    let printed = fail_with(saltworks().arg("finalize").arg(inputs.path("elsewhere")), 2);
    assert!(printed.contains("elsewhere"), "{printed}");
}

#[test]
fn a_plan_made_first_gives_the_same_labels() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(&mut inputs.label("reference"));
    let mut plan = saltworks();
    plan.args(["plan", "--no-probe"]);
    inputs.add_options(&mut plan, "planned");
    succeed(&mut plan);
    assert_eq!(
        snapshot(&inputs.path("planned")).keys().collect::<Vec<_>>(),
        ["label.toml", "plan.json"]
    );
    succeed(&mut inputs.label("planned"));
    assert_same_files(
        &snapshot(&inputs.path("planned")),
        &snapshot(&inputs.path("reference")),
    );
    // What was recorded does the same again, from any directory.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut again = saltworks();
    again.args(["label", "--device", "cpu", "--config"]);
    again.arg(inputs.path("planned/label.toml"));
    let printed = text(&succeed(again.current_dir(elsewhere.path())));
    assert!(printed.contains("nothing to do"), "{printed}");
}

#[test]
fn a_finished_set_is_extended_by_another_range() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(inputs.label("labels").args(["--sequences", "0..100"]));
    let before = snapshot(&inputs.path("labels"));
    succeed(inputs.label("labels").args(["--sequences", "100..150"]));
    let after = snapshot(&inputs.path("labels"));
    let rewritten = ["manifest.json", "README.md", "label.toml"];
    for (name, bytes) in before
        .iter()
        .filter(|(name, _)| !rewritten.contains(&name.as_str()))
        // What is said of a document is of all of its targets.
        .filter(|(name, _)| !name.starts_with("documents/"))
    {
        assert_eq!(&after[name], bytes, "{name} changed");
    }
    let mut verify = saltworks();
    verify.args(["verify", "--json"]).arg(inputs.path("labels"));
    let report: serde_json::Value = serde_json::from_slice(&succeed(&mut verify).stdout).unwrap();
    assert_eq!(report["files"]["n_rows"], 150, "{report}");
    assert_eq!(report["files"]["n_findings"], 0, "{report}");
    let overlap = fail_with(inputs.label("labels").args(["--sequences", "140..160"]), 2);
    assert!(
        overlap.contains("has sequences 100..150 and 140..160 overlaps them: start at 150"),
        "{overlap}"
    );
}

#[test]
fn sigterm_is_heard_while_the_inputs_are_opened() {
    let inputs = Inputs::new(500);
    // Opening a pipe that nobody writes to takes for ever, as a hung file system does.
    let pipe = inputs.path("pipe.json");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let mut child = spawn(inputs.label("labels").arg("--tokenizer").arg(&pipe));
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().unwrap().is_none(), "it should be waiting");
    signal(&child, libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(75));
    assert!(!inputs.path("labels").exists());
}

#[test]
fn sigterm_stops_before_the_last_shard_and_leaves_no_temporaries() {
    let inputs = Inputs::new(60_000);
    let mut child = spawn(&mut inputs.label("labels"));
    let sidecar = inputs.path("labels").join("part-00000.json");
    wait_for(&sidecar, &mut child);
    signal(&child, libc::SIGTERM);
    let output = child.wait_with_output().unwrap();
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(75), "{printed}");
    assert!(
        printed.contains("interrupted") && printed.contains("the same command resumes"),
        "{printed}"
    );
    let files = snapshot(&inputs.path("labels"));
    assert!(!files.contains_key("manifest.json"));
    assert!(
        files
            .keys()
            .all(|name| !name.contains("/.") && !name.starts_with('.')),
        "{:?}",
        files.keys()
    );
    succeed(&mut inputs.label("labels"));
    succeed(saltworks().arg("verify").arg(inputs.path("labels")));
}

#[test]
fn labelled_again_by_verify_nothing_differs() {
    let inputs = Inputs::new(N_TOKENS);
    succeed(inputs.label("labels").args(["--round", "bf16"]));
    let mut verify = saltworks();
    verify.arg("verify").arg(inputs.path("labels"));
    verify.arg("--teacher").arg(inputs.path("teacher.onnx"));
    verify.arg("--tokens").arg(inputs.path("tokens.bin"));
    verify.args(["--sample", "40", "--seed", "7", "--json", "--device", "cpu"]);
    let printed = text(&succeed(&mut verify));
    assert!(
        printed.contains("\"n_sequences\": 40") || printed.contains("\"n_sequences\":40"),
        "{printed}"
    );
}

#[test]
fn a_dry_run_says_what_it_costs_and_writes_nothing() {
    let inputs = Inputs::new(N_TOKENS);
    let printed = text(&succeed(inputs.label("labels").arg("--dry-run")));
    for word in ["tokens", "shards", "size", "time"] {
        assert!(printed.contains(word), "{printed}");
    }
    assert!(!inputs.path("labels").exists());
}

/// Every value of a set, as pyarrow, DuckDB and Polars read it, against numpy in f64 over the
/// model's raw logits.
fn check_in_python(inputs: &Inputs, labels: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/check_labels.py");
    let mut check = python();
    check
        .arg(script)
        .arg(inputs.path(labels))
        .arg(inputs.path("teacher.onnx"));
    text(&succeed(&mut check))
}

#[test]
fn three_readers_and_numpy_agree_with_every_value_at_every_rounding() {
    let inputs = Inputs::new(1_500);
    for rounding in ["f32", "f16", "bf16", "m6", "m5", "m4"] {
        let labels = format!("labels-{rounding}");
        succeed(inputs.label(&labels).args(["--round", rounding]));
        let printed = check_in_python(&inputs, &labels);
        assert!(
            printed.contains("\"targets\": 1499, \"draws\": 17988"),
            "{printed}"
        );
    }
}

/// K, the other groups, the range and the order of rows: none of it is in the key of a draw.
#[test]
fn draws_are_the_same_whatever_else_is_labelled() {
    let inputs = Inputs::new(1_500);
    let options = [
        "--samples",
        "12",
        "--samples-tau",
        "0.8",
        "--samples-seed",
        "5",
    ];
    succeed(&mut inputs.label("all"));
    let mut alone = saltworks();
    alone.arg("label");
    inputs.add_inputs(&mut alone, "alone");
    alone.args([
        "--seq-len",
        "32",
        "--groups",
        "samples",
        "--order-seed",
        "none",
    ]);
    succeed(alone.args(options).args(["--sequences", "5..30"]));
    let mut compare = python();
    compare
        .args(["-c", COMPARE_DRAWS])
        .arg(inputs.path("all"))
        .arg(inputs.path("alone"));
    succeed(&mut compare);
    succeed(saltworks().arg("verify").arg(inputs.path("alone")));
    let shown = text(&succeed(
        saltworks()
            .args(["inspect", "--row", "3"])
            .arg(inputs.path("alone")),
    ));
    assert!(
        shown.contains("  samples\n") && shown.contains("> x"),
        "{shown}"
    );
    let shown = text(&succeed(saltworks().arg("stats").arg(inputs.path("alone"))));
    assert!(shown.contains("distinct_draws: mean "), "{shown}");
}

const COMPARE_DRAWS: &str = r"
import sys, polars, polars.testing
columns = ['seq_id', 'sampled_ids', 'sampled_counts', 'sample_offsets']
a, b = (polars.read_parquet(d + '/positions/*.parquet').select(columns).sort('seq_id') for d in sys.argv[1:])
polars.testing.assert_frame_equal(a.filter(polars.col('seq_id').is_between(5, 29)), b)
assert len(b) == 25
";

#[test]
fn draws_of_other_settings_are_another_plan() {
    let inputs = Inputs::new(1_500);
    succeed(&mut inputs.label("labels"));
    let mut other = saltworks();
    other.arg("label");
    inputs.add_inputs(&mut other, "labels");
    other.args(["--seq-len", "32", "--top-k", "8", "--temperatures", "2"]);
    other.args([
        "--samples",
        "12",
        "--samples-tau",
        "0.8",
        "--samples-seed",
        "6",
    ]);
    let printed = fail_with(other.args(["--shard-bytes", "50500"]), 2);
    assert!(
        printed.contains("signals.samples.seed is 5 there and 6 here"),
        "{printed}"
    );
    let seed_alone = ["--groups", "stats", "--samples-seed", "6"];
    let mut refused = saltworks();
    refused.arg("label");
    inputs.add_inputs(&mut refused, "other");
    let printed = fail_with(refused.args(["--seq-len", "32"]).args(seed_alone), 2);
    assert!(printed.contains("--samples-seed is 6"), "{printed}");
}

#[test]
fn three_readers_and_numpy_agree_on_documents_packed_alone_behind_a_bos() {
    let inputs = Inputs::new(1_500);
    let options = [
        "--packing",
        "document",
        "--sequence-bos",
        "298",
        "--order-seed",
        "none",
    ];
    succeed(inputs.label("labels").args(options));
    let printed = check_in_python(&inputs, "labels");
    assert!(printed.contains("\"targets\": 1500"), "{printed}");
}

#[test]
fn scores_alone_make_no_positions_and_the_same_scores() {
    let inputs = Inputs::new(1_500);
    let whole = ["--shard-bytes", "100000000"];
    let label = |output: &str, groups: &[&str]| {
        let mut command = saltworks();
        command.arg("label");
        inputs.add_inputs(&mut command, output);
        succeed(
            command
                .args(["--seq-len", "32", "--top-k", "8"])
                .args(whole)
                .args(groups),
        );
    };
    label("all", &[]);
    label("scores", &["--groups", "scores"]);
    assert!(!inputs.path("scores/positions").exists());
    let mut compare = python();
    compare
        .args(["-c", COMPARE_SCORES])
        .arg(inputs.path("all"))
        .arg(inputs.path("scores"));
    succeed(&mut compare);
    succeed(saltworks().arg("verify").arg(inputs.path("scores")));
}

const COMPARE_SCORES: &str = r"
import sys, polars, polars.testing
a, b = (polars.read_parquet(d + '/scores/*.parquet').sort('seq_id') for d in sys.argv[1:])
# The sum over the vocabulary is split at K, so another K moves the last digits.
polars.testing.assert_frame_equal(a, b, abs_tol=1e-6)
assert len(a) == 47
";

#[test]
fn a_teacher_is_known_by_its_contents_external_data_included() {
    let spec = DecoderSpec {
        vocab_size: support::VOCAB_SIZE,
        width: 32,
        n_layers: 1,
        n_heads: 2,
        max_seq_len: 128,
        external_data: true,
        ..DecoderSpec::default()
    };
    let inputs = Inputs::with_teacher(1_000, &spec);
    succeed(&mut inputs.label("labels"));
    let data = inputs.path("teacher.onnx.data");
    let mut bytes = std::fs::read(&data).unwrap();
    // The last weights: also far from the blocks that a quick look would sample in a large file.
    let last = bytes.len() - 2;
    bytes[last] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    let printed = fail_with(&mut inputs.label("labels"), 2);
    assert!(printed.contains("teacher.files[1]"), "{printed}");
}
