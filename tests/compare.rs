//! `saltworks-train compare` as a process: whatever stops a grid, running the same command again gives the same
//! results.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use support::process::{self, flip, spawn, wait_for};
use support::{Inputs, fail_with, succeed, text};

/// Tokens of the test corpus: some 190 sequences of 32 targets.
const N_TOKENS: usize = 6_000;

/// Labels and tokens, made once and never changed.
fn inputs() -> &'static Inputs {
    static INPUTS: OnceLock<Inputs> = OnceLock::new();
    INPUTS.get_or_init(|| {
        let inputs = Inputs::new(N_TOKENS);
        succeed(&mut inputs.label("labels"));
        let mut scoring = support::saltworks();
        scoring.arg("label");
        inputs.add_inputs(&mut scoring, "scores");
        succeed(scoring.args(["--seq-len", "32", "--groups", "scores"]));
        inputs
    })
}

/// A directory of one test, with the configuration of an experiment.
struct Bench {
    dir: tempfile::TempDir,
    config: String,
}

impl Bench {
    /// Two arms, two seeds, branches at half and at three quarters of 24 steps.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let inputs = inputs();
        let config = format!(
            r#"
output = {output:?}
seeds = [0, 1]
baseline = "baseline"

[run.model]
d_model = 16
n_layers = 2
n_heads = 2
d_ff = 24
[run.data]
tokens = {tokens:?}
tokens_format = "nanogpt"
eod = {eod}
labels = {labels:?}
shuffle_row_groups = 2
[run.train]
steps = 24
batch_size = 4
threads = 2
[run.schedule]
lr = 1e-2
shape = "wsd"
warmup_steps = 2
[run.eval]
every = 0
[run.checkpoint]
every = 4
[run.log]
every = 1
tensorboard = false
[run.kd]
mode = "salt"
n_kd = 10
loss = "tail-bucket"

[branches]
shares = [0.5, 0.75, 1.0]
decay = 0.25

[arms.salt]
scored = [{scores:?}]
[arms.baseline]
set = {{ "kd.mode" = "baseline", kd.loss = "" }}

[[sets]]
name = "labelled"
labels = {labels:?}
[[sets]]
name = "raw"
tokens = {tokens:?}
tokens_format = "nanogpt"
eod = {eod}
"#,
            output = dir.path().join("out"),
            tokens = inputs.path("tokens.bin"),
            labels = inputs.path("labels"),
            scores = inputs.path("scores"),
            eod = support::EOD,
        );
        Self { dir, config }
    }

    /// Steps that take some ten times as long as the usual ones.
    fn slow() -> Self {
        Self::new()
            .with("d_model = 16", "d_model = 128")
            .with("d_ff = 24", "d_ff = 256")
    }

    fn with(mut self, from: &str, to: &str) -> Self {
        assert!(self.config.contains(from), "{from}");
        self.config = self.config.replacen(from, to, 1);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn compare(&self) -> Command {
        let config = self.path("experiment.toml");
        std::fs::write(&config, &self.config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
        command.arg("compare").arg("--config").arg(config);
        command
    }

    fn results(&self) -> Value {
        let json = std::fs::read(self.path("out/results.json")).unwrap();
        without_times(serde_json::from_slice(&json).unwrap())
    }

    fn run_dir(&self, name: &str) -> PathBuf {
        self.path("out/runs").join(name)
    }

    /// Ends the command by `signal` as soon as `path` is there.
    fn end_at(&self, path: &Path, signal: i32) -> std::process::Output {
        let mut child = spawn(&mut self.compare());
        wait_for(path, &mut child);
        process::signal(&child, signal);
        child.wait_with_output().unwrap()
    }
}

/// Seconds of training are the only numbers that depend on the clock, and the checksum is of them too.
fn without_times(mut results: Value) -> Value {
    let checksum = results
        .as_object_mut()
        .unwrap()
        .remove(saltworks::storage::CHECKSUM_KEY);
    assert!(checksum.is_some());
    for arm in results["arms"].as_array_mut().unwrap() {
        for run in arm["runs"].as_array_mut().unwrap() {
            for branch in run["branches"].as_array_mut().unwrap() {
                let seconds = branch.as_object_mut().unwrap().remove("seconds");
                assert!(seconds.unwrap().as_f64().unwrap() > 0.0);
            }
        }
    }
    results
}

/// The results of [`Bench::slow`], uninterrupted.
fn reference() -> &'static Value {
    static REFERENCE: OnceLock<Value> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let bench = Bench::slow();
        succeed(&mut bench.compare());
        bench.results()
    })
}

fn branches(results: &Value, arm: usize, run: usize) -> &Vec<Value> {
    results["arms"][arm]["runs"][run]["branches"]
        .as_array()
        .unwrap()
}

#[test]
fn a_grid_trains_every_arm_with_every_seed_and_looks_at_decayed_models_on_the_way() {
    let bench = Bench::new();
    let printed = text(&succeed(&mut bench.compare()));
    assert!(
        printed.contains("Fraction of the baseline's budget"),
        "{printed}"
    );
    let results = bench.results();
    assert_eq!(results["n_steps"], 24);
    assert_eq!(results["tokens_per_step"], 128);
    let names: Vec<&str> = (0..2)
        .map(|arm| results["arms"][arm]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["salt", "baseline"], "in the order of the file");
    for (arm, run) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        assert_eq!(results["arms"][arm]["runs"][run]["seed"], run);
        assert_eq!(results["arms"][arm]["runs"][run]["stage_2_step"], 11);
        let branches = branches(&results, arm, run);
        let steps: Vec<u64> = branches
            .iter()
            .map(|b| b["n_steps"].as_u64().unwrap())
            .collect();
        assert_eq!(steps, [12, 18, 24]);
        for branch in branches {
            assert_eq!(
                branch["n_tokens"],
                128 * branch["n_steps"].as_u64().unwrap()
            );
            let buckets = branch["scores"][0]["buckets"].as_array().unwrap();
            let sum: f64 = buckets
                .iter()
                .map(|b| b["nll"].as_f64().unwrap() * b["n_targets"].as_f64().unwrap())
                .sum();
            let n_targets = results["sets"][0]["n_targets"].as_f64().unwrap();
            let nll = branch["scores"][0]["nll"].as_f64().unwrap();
            assert!((sum / n_targets - nll).abs() < 1e-9, "{sum} {nll}");
            assert_eq!(branch["scores"][1]["buckets"].as_array().unwrap().len(), 0);
        }
    }
    // Ten steps of four sequences learn from labels, and the whole corpus was scored beside them.
    let n_targets = results["sets"][0]["n_targets"].as_u64().unwrap();
    assert_eq!(
        results["arms"][0]["n_labelled_tokens"],
        10 * 128 + n_targets
    );
    assert_eq!(results["arms"][1]["n_labelled_tokens"], 0);
    // All models are past the end of stage 1, the branches too.
    for branch in branches(&results, 0, 0) {
        assert_eq!(branch["n_labelled_tokens"], 10 * 128 + n_targets);
    }
    assert_eq!(branches(&results, 1, 0)[0]["n_labelled_tokens"], 0);
    let markdown = std::fs::read_to_string(bench.path("out/results.md")).unwrap();
    assert!(
        markdown.contains("## NLL on labelled by bucket"),
        "{markdown}"
    );
}

#[test]
fn a_branch_is_the_run_that_was_meant_to_be_so_short() {
    let bench = Bench::new().with("seeds = [0, 1]", "seeds = [0]");
    succeed(&mut bench.compare());
    let long = bench.results();
    // The schedule of the short run says how long it is, and so the same decay is twice the share.
    let short = Bench::new()
        .with("seeds = [0, 1]", "seeds = [0]")
        .with("steps = 24", "steps = 12")
        .with("shares = [0.5, 0.75, 1.0]", "shares = [1.0]")
        .with("shape = \"wsd\"", "shape = \"wsd\"\ndecay_steps = 6");
    succeed(&mut short.compare());
    let short = short.results();
    for arm in [0, 1] {
        let (of_long, of_short) = (&branches(&long, arm, 0)[0], &branches(&short, arm, 0)[0]);
        assert_eq!(of_long["scores"], of_short["scores"]);
    }
}

#[test]
fn a_grid_that_was_asked_to_stop_goes_on_to_the_same_results() {
    let bench = Bench::slow();
    for stopped_at in [
        "salt/seed-0/metrics.jsonl",
        "baseline/seed-0/at-50/metrics.jsonl",
    ] {
        let stopped = bench.end_at(&bench.run_dir(stopped_at), libc::SIGTERM);
        assert_eq!(stopped.status.code(), Some(75), "{}", text(&stopped));
        let said = text(&stopped);
        assert!(said.contains("the same command resumes"), "{said}");
    }
    succeed(&mut bench.compare());
    assert_eq!(&bench.results(), reference());
}

#[test]
fn a_killed_grid_goes_on_to_the_same_results() {
    let bench = Bench::slow();
    for killed_at in [
        "salt/seed-0/checkpoints/step-8",
        "salt/seed-0/at-50/config.toml",
        "salt/seed-0/at-75/final",
        "baseline/seed-0/final",
        "salt/seed-1/at-50/scores.json",
    ] {
        bench.end_at(&bench.run_dir(killed_at), libc::SIGKILL);
    }
    succeed(&mut bench.compare());
    assert_eq!(&bench.results(), reference());
}

#[test]
fn a_finished_grid_is_not_worked_on_again_and_takes_no_more_room_than_it_must() {
    let bench = Bench::new();
    succeed(&mut bench.compare());
    let results = bench.results();
    let whole = bench.run_dir("salt/seed-0");
    let branch = bench.run_dir("salt/seed-0/at-50");
    for run in [&whole, &branch] {
        assert!(!run.join("checkpoints").exists());
        assert!(run.join("final/model.safetensors").is_file());
    }
    assert!(whole.join("final/model.onnx").is_file());
    assert!(!branch.join("final/model.onnx").exists());
    let metrics = std::fs::read(whole.join("metrics.jsonl")).unwrap();
    // Only a score that is gone is found again.
    let scores = branch.join("scores.json");
    std::fs::remove_file(&scores).unwrap();
    succeed(&mut bench.compare());
    assert!(scores.is_file());
    assert_eq!(bench.results(), results);
    assert_eq!(std::fs::read(whole.join("metrics.jsonl")).unwrap(), metrics);
    let bench = bench
        .with(
            "baseline = \"baseline\"",
            "baseline = \"baseline\"\nkeep_checkpoints = true\n",
        )
        .with("seeds = [0, 1]", "seeds = [0, 1, 2]");
    succeed(&mut bench.compare());
    let kept = bench.run_dir("salt/seed-2/checkpoints");
    assert!(kept.join("step-6").is_dir() && kept.join("step-12").is_dir());
}

#[test]
fn a_part_of_a_grid_is_a_report_too() {
    let bench = Bench::new();
    let refused = fail_with(bench.compare().arg("--report-only"), 2);
    assert!(refused.contains("has no results yet"), "{refused}");
    let said = text(&succeed(bench.compare().arg("--dry-run")));
    assert!(said.contains("nothing was written"), "{said}");
    assert!(!bench.path("out").exists());
    succeed(bench.compare().args(["--only", "baseline", "--seeds", "1"]));
    let part = bench.results();
    assert_eq!(part["arms"].as_array().unwrap().len(), 1);
    assert_eq!(part["arms"][0]["runs"][0]["seed"], 1);
    // Its inputs need not be there any more.
    let bench = bench.with("tokens_format = \"nanogpt\"", "tokens_format = \"llmc\"");
    std::fs::remove_file(bench.path("out/results.json")).unwrap();
    succeed(bench.compare().arg("--report-only"));
    assert_eq!(bench.results(), part);
}

/// A script may train one teacher, its arms, and then the next teacher.
#[test]
fn a_teacher_is_needed_only_by_its_own_arms() {
    let own = "[arms.salt]\nteacher = { run = \"later\" }";
    let bench = Bench::new()
        .with("seeds = [0, 1]", "seeds = [0]")
        .with("shares = [0.5, 0.75, 1.0]", "shares = [1.0]")
        .with("[arms.salt]", own);
    succeed(bench.compare().args(["--only", "baseline"]));
    for all in [
        &mut bench.compare(),
        bench.compare().args(["--only", "salt"]),
    ] {
        let refused = fail_with(all, 2);
        assert!(refused.contains("later"), "{refused}");
    }
    let later = bench.path("later");
    train_alone(&bench, "later", &[]);
    succeed(&mut bench.compare());
    std::fs::remove_dir_all(later).unwrap();
    let refused = fail_with(bench.compare().args(["--only", "baseline"]), 2);
    assert!(refused.contains("later"), "its arm has results: {refused}");
}

#[test]
fn the_baseline_may_come_last() {
    let bench = Bench::new().with("seeds = [0, 1]", "seeds = [0]");
    let said = text(&succeed(bench.compare().args(["--only", "salt"])));
    assert!(
        said.contains("no report yet: it compares with the arm baseline"),
        "{said}"
    );
    succeed(bench.compare().arg("--report-only"));
    assert!(!bench.path("out/report.html").exists());
    succeed(&mut bench.compare());
    assert!(bench.path("out/report.html").is_file());
}

/// Of labels that were made with the scores that they are selected by, nothing is paid for twice; nor of
/// a directory that is named twice.
#[test]
fn one_pass_of_the_teacher_is_counted_once() {
    let labels = inputs().path("labels");
    let scored = format!("scored = [{:?}, {:?}]", labels, labels.join("."));
    let bench = Bench::new().with("seeds = [0, 1]", "seeds = [0]").with(
        &format!("scored = [{:?}]", inputs().path("scores")),
        &scored,
    );
    succeed(bench.compare().args(["--only", "salt"]));
    let results = bench.results();
    let n_targets = &results["sets"][0]["n_targets"];
    assert_eq!(&results["arms"][0]["n_labelled_tokens"], n_targets);
    assert_eq!(&branches(&results, 0, 0)[0]["n_labelled_tokens"], n_targets);
}

/// Every teacher had to label; the page says which they were, and how they were joined.
#[test]
fn labels_of_several_teachers_are_counted_for_each_and_shown() {
    let others = tempfile::tempdir().unwrap();
    let dir = others.path().join("others");
    let mut labelling = support::saltworks();
    labelling.arg("label");
    inputs().add_inputs(&mut labelling, dir.to_str().unwrap());
    succeed(labelling.args(["--seq-len", "32", "--top-k", "4"]));
    let both = [inputs().path("labels"), dir];
    let arm = format!(
        "[arms.both]\nset = {{ \"data.labels\" = {both:?}, \"kd.teacher_weights\" = [2, 1] }}\n[arms.salt]"
    );
    let bench = Bench::new()
        .with("seeds = [0, 1]", "seeds = [0]")
        .with("shares = [0.5, 0.75, 1.0]", "shares = [1.0]")
        .with("[arms.salt]", &arm);
    succeed(&mut bench.compare());
    let results = bench.results();
    let arm = &results["arms"][0];
    assert_eq!(
        (&arm["name"], &arm["n_labelled_tokens"]),
        (&"both".into(), &(2 * 10 * 128).into())
    );
    assert_eq!(
        branches(&results, 0, 0)[0]["n_labelled_tokens"],
        2 * 10 * 128
    );
    let bytes = |arm: usize| {
        results["arms"][arm]["label_bytes_per_token"]
            .as_f64()
            .unwrap()
    };
    assert!(bytes(0) > bytes(1), "of both teachers together");
    let page = std::fs::read_to_string(bench.path("out/report.html")).unwrap();
    for shown in [
        "labels.top_k (K)",
        "<code>8, 4</code>",
        "kd.teacher_weights",
        "[2.0, 1.0]",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    succeed(&mut bench.compare());
    assert_eq!(bench.results(), results, "nothing is left to be done");
}

/// What stands in one table is of one configuration, whichever part of the grid a command is about.
#[test]
fn seeds_and_arms_that_are_not_chosen_are_of_the_same_configuration_too() {
    let bench = Bench::new();
    succeed(bench.compare().args(["--seeds", "0", "--only", "salt"]));
    let bench = bench.with("lr = 1e-2", "lr = 2e-2");
    for choice in [["--seeds", "1"], ["--only", "baseline"]] {
        let refused = fail_with(bench.compare().args(choice), 2);
        assert!(refused.contains("schedule.lr"), "{refused}");
        assert!(refused.contains("salt, seed 0"), "{refused}");
    }
}

/// The model is there, its scores and its checkpoints are not: what it was trained from is still known.
#[test]
fn a_model_whose_inputs_changed_is_not_scored_again() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = dir.path().join("tokens.bin");
    std::fs::copy(inputs().path("tokens.bin"), &tokens).unwrap();
    let run_tokens = format!("[run.data]\ntokens = {:?}", inputs().path("tokens.bin"));
    let bench = Bench::new()
        .with("seeds = [0, 1]", "seeds = [0]")
        .with(&run_tokens, &format!("[run.data]\ntokens = {tokens:?}"));
    succeed(bench.compare().args(["--only", "baseline"]));
    std::fs::remove_file(bench.run_dir("baseline/seed-0/scores.json")).unwrap();
    let mut others = std::fs::read(&tokens).unwrap();
    others[100..104].copy_from_slice(&[7, 0, 7, 0]);
    std::fs::write(&tokens, others).unwrap();
    let refused = fail_with(bench.compare().args(["--only", "baseline"]), 2);
    assert!(refused.contains("data.tokens"), "{refused}");
}

#[test]
fn a_grid_goes_on_only_with_the_configuration_it_began_with() {
    let bench = Bench::new().with("seeds = [0, 1]", "seeds = [0]");
    succeed(&mut bench.compare());
    let text = bench.config.clone();
    for (from, to, key) in [
        ("lr = 1e-2", "lr = 2e-2", "schedule.lr"),
        ("n_kd = 10", "n_kd = 9", "kd.n_kd"),
        ("decay = 0.25", "decay = 0.3", "schedule.decay_steps"),
        ("steps = 24", "steps = 25", "train.steps"),
        (
            "shares = [0.5,",
            "shares = [0.6,",
            "branches.shares contains 0.6",
        ),
    ] {
        let bench = Bench {
            config: text.replacen(from, to, 1),
            dir: tempfile::tempdir().unwrap(),
        };
        let refused = fail_with(&mut bench.compare(), 2);
        assert!(refused.contains(key), "{refused}");
    }
}

#[test]
fn what_cannot_work_is_refused_before_the_first_step() {
    for (from, to, said) in [
        (
            "[arms.salt]",
            "[arms.salt]\nset = { train.steps = 20 }",
            "train.steps of the arm baseline",
        ),
        (
            "[arms.salt]",
            "[arms.salt]\nset = { train.seed = 1 }",
            "arms.salt.set",
        ),
        (
            "[arms.salt]",
            "[arms.salt]\nset = { kd.what = 1 }",
            "unknown field `what`",
        ),
        (
            "shape = \"wsd\"",
            "shape = \"cosine\"",
            "schedule.shape is cosine",
        ),
        (
            "warmup_steps = 2",
            "warmup_steps = 7",
            "after the warm-up of 7 steps",
        ),
        ("scored = [", "scored = [\"nowhere\", ", "arms.salt"),
        (
            "[run.model]",
            "[run]\nbranch_from = \"elsewhere/checkpoints/step-4\"\n[run.model]",
            "elsewhere/checkpoints/step-4: expected none",
        ),
        ("steps = 24", "steps = 2400", "sequences"),
    ] {
        let bench = Bench::new().with(from, to);
        let refused = fail_with(&mut bench.compare(), 2);
        assert!(refused.contains(said), "{refused}");
        assert!(!bench.path("out").exists(), "{said}");
    }
    let bench = Bench::new();
    for (flag, value) in [("--only", "salted"), ("--seeds", "5")] {
        let refused = fail_with(bench.compare().args([flag, value]), 2);
        assert!(refused.contains(value), "{refused}");
    }
    std::fs::create_dir(bench.path("out")).unwrap();
    std::fs::write(bench.path("out/thesis.tex"), "").unwrap();
    let refused = fail_with(&mut bench.compare(), 2);
    assert!(
        refused.contains("\"thesis.tex\" and no results"),
        "{refused}"
    );
    assert_eq!(std::fs::read_dir(bench.path("out")).unwrap().count(), 1);
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    let report = "[report]\nheld_out = \"/nowhere\"\n\n[[sets]]";
    let no_report = Bench::new().with("[[sets]]", report);
    let refused = fail_with(&mut no_report.compare(), 2);
    assert!(refused.contains("report.held_out"), "{refused}");
    let nowhere = "name = \"raw\"\ntokens = \"/nowhere\"\n# ";
    let bench = bench.with("name = \"raw\"\ntokens = ", nowhere);
    let failed = fail_with(&mut bench.compare(), 2);
    assert!(failed.contains("the set raw"), "{failed}");
    assert!(!bench.path("out").exists());
}

#[test]
fn two_processes_do_not_work_on_one_grid_but_one_may_look_at_it() {
    let bench = Bench::slow();
    let mut command = bench.compare();
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for(&bench.run_dir("salt/seed-0/metrics.jsonl"), &mut child);
    let refused = fail_with(&mut bench.compare(), 1);
    assert!(refused.contains("--report-only"), "{refused}");
    succeed(bench.compare().arg("--report-only"));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// One arm, one seed: quickly done.
fn small() -> Bench {
    Bench::new().with("seeds = [0, 1]", "seeds = [0]")
}

#[test]
fn a_damaged_model_of_a_finished_cell_is_refused_by_name_and_its_results_stay() {
    let bench = small();
    succeed(&mut bench.compare());
    let results = std::fs::read(bench.path("out/results.json")).unwrap();
    let scores = bench.run_dir("salt/seed-0/at-50/scores.json");
    let scored = std::fs::read(&scores).unwrap();
    let assert_refused = |command: &mut Command, what: &str| {
        let refused = fail_with(command, 3);
        assert!(
            refused.contains("the branch at-50 of salt, seed 0"),
            "{refused}"
        );
        assert!(refused.contains(what), "{refused}");
        assert_eq!(std::fs::read(&scores).unwrap(), scored);
        let now = std::fs::read(bench.path("out/results.json")).unwrap();
        assert_eq!(now, results);
    };
    let weights = bench.run_dir("salt/seed-0/at-50/final/model.safetensors");
    let good = std::fs::read(&weights).unwrap();
    flip(&weights);
    assert_refused(&mut bench.compare(), "model.safetensors");
    assert_refused(
        bench.compare().arg("--report-only"),
        "is not the model that was scored",
    );
    // A model of an earlier version has no hash of its own, but its scores know it.
    let seal = bench.run_dir("salt/seed-0/at-50/final/saltworks.json");
    std::fs::remove_file(&seal).unwrap();
    assert_refused(&mut bench.compare(), "is not the model that was scored");
    std::fs::write(&weights, good).unwrap();
    succeed(&mut bench.compare());
}

#[test]
fn a_flipped_digit_of_a_score_or_of_a_set_is_found() {
    let bench = small();
    succeed(&mut bench.compare());
    for (name, from) in [
        ("runs/salt/seed-0/at-50/scores.json", "\"nll\": "),
        ("runs/salt/seed-0/sources.json", "\"labels\": \"blake3:"),
        ("runs/salt/arm.json", "\"n_tokens\": "),
        ("sets.json", "\"teacher_nll\": "),
    ] {
        let path = bench.path("out").join(name);
        let good = std::fs::read_to_string(&path).unwrap();
        let place = good.find(from).unwrap() + from.len();
        let mut bytes = good.clone().into_bytes();
        bytes[place] = if bytes[place] == b'3' { b'4' } else { b'3' };
        std::fs::write(&path, bytes).unwrap();
        let mut command = bench.compare();
        // What it knows of an arm it finds out anew, but for a report.
        if name.ends_with("arm.json") {
            command.arg("--report-only");
        }
        let refused = fail_with(&mut command, 3);
        assert!(refused.contains("is damaged"), "{name}: {refused}");
        std::fs::write(&path, good).unwrap();
    }
    let path = bench.path("out/results.json");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(
        &path,
        good.replacen("\"accuracy\": 0.0", "\"accuracy\": 0.1", 1),
    )
    .unwrap();
    assert_ne!(std::fs::read_to_string(&path).unwrap(), good);
    let report = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
        command.arg("report").arg(bench.path("out"));
        command
    };
    let refused = fail_with(&mut report(), 3);
    assert!(
        refused.contains("results.json contains no valid results"),
        "{refused}"
    );
    // It is made again from what is there.
    succeed(&mut bench.compare());
    succeed(&mut report());
}

#[test]
fn what_a_model_was_trained_from_is_made_up_for_where_it_is_missing() {
    let bench = small();
    succeed(&mut bench.compare());
    let sources = bench.run_dir("salt/seed-0/at-50/sources.json");
    let recorded = std::fs::read(&sources).unwrap();
    std::fs::remove_file(&sources).unwrap();
    succeed(&mut bench.compare());
    assert_eq!(std::fs::read(&sources).unwrap(), recorded);
}

#[test]
fn a_grid_goes_on_with_the_same_inputs_under_other_names() {
    let bench = small();
    succeed(&mut bench.compare());
    let results = bench.results();
    let linked = bench.path("linked");
    std::os::unix::fs::symlink(inputs().dir.path(), &linked).unwrap();
    let config = bench.config.replace(
        inputs().dir.path().to_str().unwrap(),
        linked.to_str().unwrap(),
    );
    let bench = Bench {
        config,
        dir: bench.dir,
    };
    std::fs::remove_file(bench.run_dir("salt/seed-0/at-75/scores.json")).unwrap();
    succeed(&mut bench.compare());
    assert_eq!(bench.results(), results);
}

#[test]
fn a_set_of_text_that_is_trained_on_is_noticed_by_name() {
    let bench = small();
    let said = text(&succeed(&mut bench.compare()));
    for set in ["labelled", "raw"] {
        let note = format!("the set {set} has text that models of salt, baseline are trained on");
        assert!(said.contains(&note), "{said}");
    }
    let page = std::fs::read_to_string(bench.path("out/report.html")).unwrap();
    assert!(
        page.contains("The set raw has text that models of"),
        "no warning"
    );
}

/// A run that no grid made: `set` over a configuration of 12 steps, with held-out text.
fn train_alone(bench: &Bench, name: &str, set: &[&str]) -> PathBuf {
    let config: toml::Table = bench.config.parse().unwrap();
    let mut run = config["run"].as_table().unwrap().clone();
    run["train"]["steps"] = 12.into();
    run["eval"]["every"] = 4.into();
    let data = run["data"].as_table_mut().unwrap();
    data.insert("validation".to_owned(), data["tokens"].clone());
    let path = bench.path("run.toml");
    std::fs::write(&path, toml::to_string(&run).unwrap()).unwrap();
    let output = bench.path(name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
    command.arg("run").arg("--config").arg(path);
    command.arg("--output").arg(&output).arg("--quiet");
    set.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    succeed(&mut command);
    output
}

fn compare_runs(bench: &Bench, runs: &[(&str, &Path)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
    command.arg("compare");
    for (arm, dir) in runs {
        command
            .arg("--runs")
            .arg(format!("{arm}={}", dir.display()));
    }
    command.arg("--output").arg(bench.path("compared"));
    command
}

#[test]
fn finished_runs_are_compared_by_their_validations() {
    let bench = Bench::new();
    let baseline = ["kd.mode=baseline", "kd.loss="];
    let llm = train_alone(&bench, "llm", &baseline);
    let salt = train_alone(&bench, "salt", &[]);
    let runs = [("llm", llm.as_path()), ("salt", salt.as_path())];
    let printed = text(&succeed(&mut compare_runs(&bench, &runs)));
    assert!(printed.contains("NLL after the whole run"), "{printed}");
    let read = |path: &str| std::fs::read(bench.path(path)).unwrap();
    let results: Value = serde_json::from_slice(&read("compared/results.json")).unwrap();
    assert_eq!(results["n_steps"], 12);
    assert_eq!(results["tokens_per_step"], 128);
    assert_eq!(results["baseline"], "llm");
    for (arm, dir) in [(0, &llm), (1, &salt)] {
        let lines = std::fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let valid: Vec<Value> = lines
            .filter(|line: &Value| line["kind"] == "valid")
            .collect();
        let run = &results["arms"][arm]["runs"][0];
        let nll = |branch: &Value| branch["scores"][0]["nll"].as_f64();
        let shown: Vec<_> = run["validations"]
            .as_array()
            .unwrap()
            .iter()
            .map(nll)
            .collect();
        let logged: Vec<_> = valid.iter().map(|line| line["val_nll"].as_f64()).collect();
        assert_eq!(shown, logged, "of steps 4, 8 and 12");
        assert_eq!(nll(&run["branches"][0]), logged[2]);
        assert_eq!(run["stage_2_step"], 11);
    }
    assert_eq!(results["arms"][0]["n_labelled_tokens"], 0);
    assert_eq!(results["arms"][1]["n_labelled_tokens"], 10 * 128);
    let page = String::from_utf8(read("compared/report.html")).unwrap();
    assert!(page.contains("Reaching the baseline"));
    let train = env!("CARGO_BIN_EXE_saltworks-train");
    let mut report = Command::new(train);
    succeed(report.arg("report").arg(bench.path("compared")));
}

#[test]
fn runs_that_cannot_be_compared_are_refused() {
    let bench = Bench::new();
    let llm = train_alone(&bench, "llm", &["kd.mode=baseline", "kd.loss="]);
    let shorter = train_alone(&bench, "shorter", &["train.steps=11"]);
    let refused = |runs: &[(&str, &Path)], said: &str| {
        let printed = fail_with(&mut compare_runs(&bench, runs), 2);
        assert!(printed.contains(said), "{printed}");
        assert!(!bench.path("compared").exists());
    };
    let at_12 = "train.steps of";
    refused(&[("llm", &llm), ("salt", &shorter)], at_12);
    refused(&[("llm", &llm), ("llm", &llm)], "a second one of seed 0");
    refused(
        &[("llm", &bench.path("nowhere"))],
        "expected the directory of a run",
    );
    std::fs::remove_dir_all(shorter.join("final")).unwrap();
    refused(&[("salt", &shorter)], "expected a finished run");
}
