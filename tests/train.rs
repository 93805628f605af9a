//! `saltworks-train run` as a process: every mode learns, and whatever stops a run, it goes on bit
//! for bit.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use saltworks::onnx::build::DecoderSpec;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{Inputs, assert_same_files, fail_with, saltworks, snapshot, succeed, text};

/// Tokens of the test corpus: some 190 sequences of 32 targets, in some ten shards.
const N_TOKENS: usize = 6_000;
/// Steps of the usual test run, four sequences each.
const STEPS: u64 = 24;
/// Most time that a child is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// The trainer under test.
fn saltworks_train() -> Command {
    Command::new(env!("CARGO_BIN_EXE_saltworks-train"))
}

/// Labels and tokens, made once and never changed.
fn inputs() -> &'static Inputs {
    static INPUTS: OnceLock<Inputs> = OnceLock::new();
    INPUTS.get_or_init(|| {
        let inputs = Inputs::new(N_TOKENS);
        std::fs::write(inputs.path("tokens.bin"), tokens(N_TOKENS)).unwrap();
        succeed(&mut inputs.label("labels"));
        inputs
    })
}

/// nanoGPT's headerless u16 of a language of 16 words, so that there is something to learn at once.
fn tokens(n_tokens: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let ids = (0..n_tokens).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match state >> 24 {
            0..8 => support::EOD,
            draw => (draw % 16) as u16,
        }
    });
    ids.flat_map(u16::to_le_bytes).collect()
}

/// Learns from draws, which the labels have at this temperature; the loss is then the default one.
const DRAWS: [&str; 2] = ["kd.loss=", "kd.tau=0.8"];

/// A directory of one test, with a configuration and its runs.
struct Bench {
    dir: tempfile::TempDir,
    labels: PathBuf,
    keys: Vec<String>,
}

impl Bench {
    /// `salt` on the shared labels and tokens, two seconds at most.
    fn new() -> Self {
        let keys = [
            "data.tokens_format=nanogpt".to_owned(),
            format!("data.eod={}", support::EOD),
            "data.shuffle_row_groups=2".to_owned(),
            format!("train.steps={STEPS}"),
            "train.batch_size=4".to_owned(),
            "train.threads=2".to_owned(),
            "schedule.lr=1e-2".to_owned(),
            "schedule.warmup_steps=4".to_owned(),
            "eval.every=8".to_owned(),
            "eval.sequences=6".to_owned(),
            "checkpoint.every=4".to_owned(),
            "log.every=1".to_owned(),
        ];
        Self {
            dir: tempfile::tempdir().unwrap(),
            labels: inputs().path("labels"),
            keys: keys.to_vec(),
        }
        .with(&["kd.mode=salt", "kd.n_kd=12", "kd.loss=tail-bucket"])
        .with_path("data.tokens", &inputs().path("tokens.bin"))
        .with_path("data.validation", &inputs().path("tokens.bin"))
    }

    fn with(mut self, keys: &[&str]) -> Self {
        self.keys.extend(keys.iter().map(|key| key.to_string()));
        self
    }

    fn with_path(self, key: &str, path: &Path) -> Self {
        self.with(&[&format!("{key}={}", path.display())])
    }

    /// Trains from a copy of the labels, which a test may spoil.
    fn with_own_labels(mut self) -> Self {
        let own = self.path("labels");
        for (name, bytes) in snapshot(&self.labels) {
            let path = own.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        self.labels = own;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command that trains into `output`.
    fn run(&self, output: &str) -> Command {
        let config = self.path("run.toml");
        let model = "[model]\nd_model = 16\nn_layers = 2\nn_heads = 2\nd_ff = 24\n";
        let text = format!(
            "output = \"unused\"\n{model}\n[data]\nlabels = {:?}\n\n[train]\nsteps = 1\nbatch_size = 1\n",
            self.labels
        );
        std::fs::write(&config, text).unwrap();
        let mut command = saltworks_train();
        command.arg("run").arg("--config").arg(config);
        for key in &self.keys {
            command.args(["--set", key]);
        }
        command.arg("--output").arg(self.path(output));
        command
    }

    fn resume(&self, output: &str) -> Command {
        let mut command = self.run(output);
        command.arg("--resume");
        command
    }

    /// Everything that a run leaves and that two runs must agree on.
    fn result(&self, output: &str) -> Outcome {
        let run = self.path(output);
        let mut last = snapshot(&run.join(format!("checkpoints/step-{STEPS}")));
        last.retain(|name, _| name.ends_with(".safetensors"));
        Outcome {
            model: snapshot(&run.join("final")),
            last,
            metrics: metrics(&run),
        }
    }

    fn assert_same(&self, got: &str, want: &str) {
        let (got, want) = (self.result(got), self.result(want));
        assert_same_files(&got.model, &want.model);
        assert_same_files(&got.last, &want.last);
        assert_eq!(got.metrics, want.metrics);
    }

    fn steps(&self, output: &str) -> Vec<u64> {
        let names = std::fs::read_dir(self.path(output).join("checkpoints")).unwrap();
        let mut steps: Vec<u64> = names
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_prefix("step-")?.parse().ok())
            .collect();
        steps.sort_unstable();
        steps
    }
}

struct Outcome {
    model: BTreeMap<String, Vec<u8>>,
    last: BTreeMap<String, Vec<u8>>,
    metrics: Vec<Value>,
}

/// The lines of `metrics.jsonl` without what depends on the clock.
fn metrics(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let without_times = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        for key in ["seconds", "tokens_per_s", "mfu"] {
            line.as_object_mut().unwrap().remove(key);
        }
        line
    };
    text.lines().map(without_times).collect()
}

fn lines_of<'a>(metrics: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    metrics.iter().filter(move |line| line["kind"] == kind)
}

fn numbers(metrics: &[Value], kind: &str, key: &str) -> Vec<f64> {
    let values = lines_of(metrics, kind).map(|line| line[key].as_f64());
    values.map(|value| value.unwrap_or(f64::NAN)).collect()
}

/// The sequences of the batch that a message names.
fn listed_seq_ids(printed: &str) -> Vec<u64> {
    let listed = printed.split("held the sequences ").nth(1).unwrap();
    let listed = listed.split(" of data.labels").next().unwrap();
    listed.split(", ").map(|id| id.parse().unwrap()).collect()
}

fn spawn(command: &mut Command) -> Child {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Waits until `path` is there, while the child runs.
fn wait_for(path: &Path, child: &mut Child) {
    let started = Instant::now();
    while !path.exists() {
        assert!(
            started.elapsed() < PATIENCE,
            "{} never came",
            path.display()
        );
        assert!(
            child.try_wait().unwrap().is_none(),
            "ended before {} was there",
            path.display()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a step was logged, while the child runs.
fn wait_for_first_step(run: &Path, child: &mut Child) {
    let metrics = run.join("metrics.jsonl");
    wait_for(&metrics, child);
    while std::fs::metadata(&metrics).unwrap().len() == 0 {
        assert!(child.try_wait().unwrap().is_none(), "ended before a step");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Steps that take some ten times as long as the usual ones.
fn slow() -> Bench {
    Bench::new().with(&["model.d_model=128", "model.n_layers=4", "model.d_ff=256"])
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: the process is our own child, which has not been waited for.
    unsafe { libc::kill(child.id() as i32, signal) };
}

/// Flips one byte in the middle of a file; again, and it is as it was.
fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn every_mode_and_transition_learns_and_says_what_it_did() {
    let modes: [(&[&str], f64, Option<f64>); 7] = [
        (&["kd.mode=baseline"], 0.0, None),
        (&["kd.mode=rkd", "kd.n_kd=", "data.tokens="], 0.5, Some(0.5)),
        (&[], 0.5, None),
        (&["kd.transition=linear", "kd.decay_steps=3"], 0.5, None),
        (
            &["kd.transition=auto", "kd.min_kd=2", "kd.running_steps=4"],
            0.5,
            None,
        ),
        (&["kd.gate=learnable", "kd.tau=2", "kd.omega=1"], 1.0, None),
        (&DRAWS, 0.5, None),
    ];
    for (keys, first_omega, last_omega) in modes {
        let bench = Bench::new().with(keys);
        succeed(&mut bench.run("run"));
        let metrics = metrics(&bench.path("run"));
        let (omega, loss) = (
            numbers(&metrics, "train", "omega"),
            numbers(&metrics, "train", "ce"),
        );
        assert_eq!(omega.len(), STEPS as usize, "{keys:?}");
        assert_eq!(omega[0], first_omega, "{keys:?}");
        assert_eq!(
            omega[omega.len() - 1],
            last_omega.unwrap_or(0.0),
            "{keys:?}"
        );
        assert!(loss[loss.len() - 1] < loss[0] - 0.5, "{keys:?}: {loss:?}");
        let validations = numbers(&metrics, "valid", "val_nll");
        assert_eq!(validations.len(), 3, "{keys:?}");
        assert!(validations[2] < validations[0], "{keys:?}: {validations:?}");
        for line in lines_of(&metrics, "train") {
            let is_labelled = line["stage"] == 1;
            assert_eq!(line["teacher_nll"].is_number(), is_labelled, "{line}");
            assert_eq!(line["student_nll"].is_number(), is_labelled, "{line}");
            let learns = line["omega"].as_f64().unwrap() > 0.0;
            assert_eq!(line["kd"].is_number(), learns, "{line}");
            let variance = &line["variance"];
            assert_eq!(variance["ce"].is_number(), is_labelled, "{line}");
            assert_eq!(variance["ce_by_bucket"].is_array(), is_labelled, "{line}");
            assert_eq!(variance["soft"].is_number(), learns, "{line}");
            assert_eq!(variance["soft_by_bucket"].is_array(), learns, "{line}");
            assert!(
                !learns || variance["soft"].as_f64().unwrap() > 0.0,
                "{line}"
            );
        }
    }
}

#[test]
fn omega_falls_in_a_line_or_at_once_and_then_the_corpus_is_read() {
    let bench = Bench::new().with(&["kd.transition=linear", "kd.decay_steps=3"]);
    succeed(&mut bench.run("run"));
    let metrics = metrics(&bench.path("run"));
    let omega = numbers(&metrics, "train", "omega");
    let expected = [0.5, 0.375, 0.25, 0.125, 0.0];
    assert_eq!(omega[11..16], expected, "{omega:?}");
    let change: Vec<&Value> = lines_of(&metrics, "stage").collect();
    assert_eq!(change.len(), 1, "{change:?}");
    assert_eq!(
        (&change[0]["step"], &change[0]["stage"]),
        (&16.into(), &2.into())
    );
}

/// A selection of the sequences with even numbers.
const SELECT_EVEN: &str = r"
import sys, polars
scores = polars.read_parquet(sys.argv[1] + '/scores/*.parquet')
chosen = scores.select('seq_id', kept=polars.col('seq_id') % 2 == 0)
chosen.sort('seq_id').write_parquet(sys.argv[2])
";

#[test]
fn only_selected_sequences_are_read_in_stage_1_by_its_mode_and_by_its_control() {
    let bench = Bench::new();
    let mut python = support::python();
    python.args(["-c", SELECT_EVEN]).arg(&bench.labels);
    succeed(python.arg(bench.path("selection.parquet")));
    let selection = bench.path("selection.parquet");
    let bench = bench.with_path("data.selection", &selection);
    for (mode, omega) in [("salt-ds", 0.5), ("ds-ce", 0.0)] {
        let printed = text(&succeed(
            bench.run(mode).args(["--set", &format!("kd.mode={mode}")]),
        ));
        assert!(printed.contains("does not say which labels it was made for"));
        assert_eq!(
            numbers(&metrics(&bench.path(mode)), "train", "omega")[0],
            omega
        );
    }
    // The sequences that a run read are told where it stops.
    let spoilt = [
        "kd.mode=salt-ds",
        "schedule.lr=1e30",
        "schedule.shape=constant",
    ];
    let bench = bench.with(&spoilt).with(&["schedule.warmup_steps=0"]);
    let printed = fail_with(&mut bench.run("spoilt"), 3);
    let seq_ids = listed_seq_ids(&printed);
    assert!(seq_ids.iter().all(|seq_id| seq_id % 2 == 0), "{printed}");
}

/// Mean over all labelled positions, from the scores that the labels hold.
const MEAN_NLL: &str = r"
import sys, polars
s = polars.read_parquet(sys.argv[1] + '/scores/*.parquet')
print((s['score_mean_nll'] * s['n_targets']).sum() / s['n_targets'].sum())
";

#[test]
fn the_teachers_own_nll_is_that_of_the_labels() {
    // One step of all labelled sequences but the last, which is shorter or as long.
    let bench = Bench::new().with(&[
        "train.batch_size=188",
        "train.steps=1",
        "kd.mode=rkd",
        "kd.n_kd=",
        "data.tokens=",
        "schedule.warmup_steps=1",
    ]);
    succeed(&mut bench.run("run"));
    let got = numbers(&metrics(&bench.path("run")), "train", "teacher_nll");
    let mut python = support::python();
    python.args(["-c", MEAN_NLL]).arg(&bench.labels);
    let want: f64 = text(&succeed(&mut python)).trim().parse().unwrap();
    // Stored as f32.
    assert!((got[0] - want).abs() < 1e-5, "{got:?} against {want}");
}

#[test]
fn a_tiny_set_is_learnt_by_heart() {
    let inputs = Inputs::new(200);
    succeed(&mut inputs.label("labels"));
    let mut bench = Bench::new().with(&[
        "kd.mode=baseline",
        "kd.n_kd=",
        "data.tokens=",
        "data.validation=",
        "data.label_epochs=1000",
        "train.steps=250",
        "train.batch_size=7",
        "model.d_model=32",
        "optimizer.weight_decay=0",
        "checkpoint.every=0",
    ]);
    bench.labels = inputs.path("labels");
    succeed(&mut bench.run("run"));
    let loss = numbers(&metrics(&bench.path("run")), "train", "loss");
    assert!(loss[0] > 5.0, "{}", loss[0]);
    assert!(loss[249] < 0.05, "{}", loss[249]);
}

#[test]
fn a_micro_batch_is_only_another_way_to_compute_the_same_step() {
    let bench = Bench::new().with(&["train.steps=12"]);
    succeed(&mut bench.run("whole"));
    let bench = bench.with(&["train.micro_batch_size=1", "train.recompute=true"]);
    succeed(&mut bench.run("parts"));
    let losses = |run: &str| numbers(&metrics(&bench.path(run)), "train", "loss");
    for (whole, parts) in losses("whole").iter().zip(losses("parts")) {
        assert!((whole - parts).abs() < 1e-4, "{whole} and {parts}");
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_one_others() {
    let bench = Bench::new();
    succeed(&mut bench.run("one"));
    succeed(bench.run("two").args(["--set", "data.prefetch=1"]));
    bench.assert_same("two", "one");
    succeed(bench.run("other").args(["--set", "train.seed=1"]));
    let model = |run: &str| std::fs::read(bench.path(run).join("final/model.safetensors")).unwrap();
    assert_ne!(model("other"), model("one"));
}

/// Kills with SIGKILL at many moments of a run, and resumes.
fn assert_kills_change_nothing(bench: &Bench) {
    let started = Instant::now();
    succeed(&mut bench.run("reference"));
    let whole_run = started.elapsed();
    let (mut n_killed, mut round) = (0, 0_u32);
    while n_killed < 6 {
        round += 1;
        // A new directory whenever one got finished.
        let output = format!("killed-{}", round / 4);
        let moment = whole_run.mul_f64(f64::from(round * 7919 % 100) / 100.0);
        let mut child = spawn(&mut bench.resume(&output));
        std::thread::sleep(moment);
        n_killed += u32::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(round < 60, "only {n_killed} of {round} runs were killed");
    }
    for i in 0..=round / 4 {
        let output = format!("killed-{i}");
        succeed(&mut bench.resume(&output));
        bench.assert_same(&output, "reference");
    }
}

#[test]
fn a_run_killed_at_any_moment_goes_on_to_the_same_bits() {
    assert_kills_change_nothing(&Bench::new());
}

#[test]
fn a_run_on_draws_killed_at_any_moment_goes_on_to_the_same_bits() {
    assert_kills_change_nothing(&Bench::new().with(&DRAWS));
}

#[test]
fn a_run_of_the_auto_transition_killed_at_any_moment_goes_on_to_the_same_bits() {
    let keys = ["kd.transition=auto", "kd.min_kd=3", "kd.running_steps=4"];
    assert_kills_change_nothing(&Bench::new().with(&keys));
}

#[test]
fn sigterm_saves_says_how_to_go_on_and_the_rest_is_as_if_nothing_had_happened() {
    // The signal falls into a step of several micro-batches, and that step is done again.
    let bench = slow().with(&["checkpoint.every=0", "train.micro_batch_size=1"]);
    succeed(&mut bench.run("reference"));
    let mut child = spawn(&mut bench.run("stopped"));
    wait_for_first_step(&bench.path("stopped"), &mut child);
    signal(&child, libc::SIGTERM);
    let asked = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(
        asked.elapsed() < Duration::from_secs(20),
        "{:?}",
        asked.elapsed()
    );
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(75), "{printed}");
    assert!(
        printed.contains("interrupted") && printed.contains("--resume"),
        "{printed}"
    );
    let saved = bench.steps("stopped");
    assert!(saved.len() == 1 && saved[0] < STEPS, "{saved:?}");
    assert!(
        printed.contains(&format!("step-{} is saved", saved[0])),
        "{printed}"
    );
    let refused = fail_with(&mut bench.run("stopped"), 2);
    assert!(refused.contains("--resume"), "{refused}");
    succeed(&mut bench.resume("stopped"));
    bench.assert_same("stopped", "reference");
}

#[test]
fn a_second_signal_ends_at_once() {
    let bench = Bench::new().with(&["train.steps=20", "eval.every=0", "model.d_model=256"]);
    let bench = bench.with(&["model.n_layers=12", "model.d_ff=1024"]);
    let mut child = spawn(&mut bench.run("run"));
    wait_for_first_step(&bench.path("run"), &mut child);
    signal(&child, libc::SIGINT);
    std::thread::sleep(Duration::from_millis(30));
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{}", text(&output));
}

#[test]
fn a_damaged_shard_stops_the_run_with_a_checkpoint_and_once_it_is_whole_the_run_goes_on() {
    let keys = ["kd.n_kd=24", "data.tokens=", "data.shuffle_row_groups=1"];
    let bench = Bench::new().with_own_labels().with(&keys);
    succeed(&mut bench.run("reference"));
    let shards = std::fs::read_dir(bench.labels.join("positions")).unwrap();
    let mut was_stopped_midway = false;
    for shard in shards.map(|entry| entry.unwrap().path()) {
        let name = shard.file_name().unwrap().to_str().unwrap().to_owned();
        let output = format!("run-{name}");
        flip(&shard);
        let first = bench.run(&output).output().unwrap();
        let printed = text(&first);
        flip(&shard);
        // Stage 1 does not come to every shard.
        if !first.status.success() {
            assert_eq!(first.status.code(), Some(3), "{printed}");
            assert!(
                printed.contains(&name) && printed.contains("--resume"),
                "{printed}"
            );
            let saved = bench.steps(&output);
            was_stopped_midway |= saved.last().is_some_and(|step| step % 4 != 0);
            if let Some(step) = saved.last() {
                assert!(
                    printed.contains(&format!("step-{step} is saved")),
                    "{printed}"
                );
            }
            succeed(&mut bench.resume(&output));
        }
        bench.assert_same(&output, "reference");
    }
    assert!(
        was_stopped_midway,
        "no run was stopped between two checkpoints"
    );
}

#[test]
fn a_shard_removed_in_the_midst_stops_the_run_and_is_missed_by_name() {
    let bench = Bench::new().with_own_labels().with(&[
        "train.batch_size=2",
        "train.steps=90",
        "kd.n_kd=90",
        "data.tokens=",
        "data.shuffle_row_groups=1",
        "data.prefetch=1",
        "checkpoint.every=1",
    ]);
    let mut child = spawn(&mut bench.run("run"));
    wait_for(&bench.path("run/checkpoints/step-1"), &mut child);
    let (there, away) = (bench.labels.join("positions"), bench.path("away"));
    std::fs::rename(&there, &away).unwrap();
    let output = child.wait_with_output().unwrap();
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(3), "{printed}");
    assert!(printed.contains("positions/part-"), "{printed}");
    let saved = bench.steps("run");
    assert!(
        !saved.is_empty() && saved[saved.len() - 1] < 90,
        "{saved:?}"
    );
    // Not there at the start either: refused before anything is done.
    let refused = fail_with(&mut bench.resume("run"), 3);
    assert!(
        refused.contains("positions/part-") && refused.contains("is missing"),
        "{refused}"
    );
    std::fs::rename(&away, &there).unwrap();
    succeed(&mut bench.resume("run"));
    succeed(&mut bench.run("reference"));
    let model = |run: &str| snapshot(&bench.path(run).join("final"));
    assert_same_files(&model("run"), &model("reference"));
}

#[test]
fn a_loss_that_is_no_number_stops_before_the_update_and_names_step_and_sequences() {
    let bench = Bench::new().with(&["schedule.lr=1e30", "schedule.shape=constant"]);
    let bench = bench.with(&["schedule.warmup_steps=0", "checkpoint.every=0"]);
    let printed = fail_with(&mut bench.run("run"), 3);
    assert!(
        printed.contains("step 2: the loss is") || printed.contains("step 2: the gradient norm is"),
        "{printed}"
    );
    let seq_ids = listed_seq_ids(&printed);
    assert_eq!(seq_ids.len(), 4, "{printed}");
    // The step before is saved, from which the same run comes to the same end, and a new one begins.
    assert_eq!(bench.steps("run"), [1]);
    let saved = bench.path("run/checkpoints/step-1");
    let saved = saved.to_str().unwrap();
    assert!(printed.contains(&format!("{saved} is saved")), "{printed}");
    let init = format!("init={saved}");
    assert!(
        printed.contains(&format!("init = {saved:?} in place of [model]")),
        "{printed}"
    );
    let again = fail_with(&mut bench.resume("run"), 3);
    assert!(again.contains("step 2: the "), "{again}");
    let mut anew = bench.run("anew");
    succeed(anew.args(["--set", &init, "--set", "model=", "--dry-run"]));
}

#[test]
fn a_loss_that_is_no_number_in_the_first_step_leaves_nothing_to_begin_from() {
    let bench = Bench::new().with(&["schedule.lr=1e30", "schedule.shape=constant"]);
    let bench = bench.with(&["schedule.warmup_steps=0", "checkpoint.every=0"]);
    // Its weights of step 1 are so large that the logits overflow.
    fail_with(&mut bench.run("spoilt"), 3);
    let from = bench.path("spoilt/checkpoints/step-1");
    let from = format!("init={}", from.display());
    let mut run = bench.run("run");
    let printed = fail_with(run.args(["--set", &from, "--set", "model="]), 3);
    assert!(
        printed.contains("step 1: the ") && printed.contains("nothing was trained yet"),
        "{printed}"
    );
    assert!(printed.contains("begin a new run"), "{printed}");
    assert!(bench.steps("run").is_empty());
}

#[test]
fn a_validation_that_is_no_number_stops_the_run_and_is_not_logged_as_nothing() {
    let bench = Bench::new().with(&["schedule.lr=1e30", "schedule.shape=constant"]);
    let bench = bench.with(&["schedule.warmup_steps=0", "eval.every=1"]);
    let printed = fail_with(&mut bench.run("run"), 3);
    assert!(
        printed.contains("the validation NLL after step 1 is"),
        "{printed}"
    );
    assert!(printed.contains("step-1 is saved"), "{printed}");
    let metrics = metrics(&bench.path("run"));
    assert_eq!(lines_of(&metrics, "valid").count(), 0, "{metrics:?}");
}

#[test]
fn a_validation_leaves_out_the_targets_that_training_masks() {
    let bench = Bench::new();
    let n_targets = |output: &str| numbers(&metrics(&bench.path(output)), "valid", "val_n_targets");
    succeed(&mut bench.run("all"));
    succeed(
        bench
            .run("masked")
            .args(["--set", "data.mask_document_borders=true"]),
    );
    let (all, masked) = (n_targets("all"), n_targets("masked"));
    assert_eq!(all, [6.0 * 32.0; 3]);
    assert!(masked[0] < all[0] && masked[0] > 0.5 * all[0], "{masked:?}");
}

#[test]
fn a_finished_run_is_not_done_again() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    let before = snapshot(&bench.path("run"));
    // What it would need does not matter any more.
    let mut again = bench.resume("run");
    let printed = text(&succeed(again.args(["--set", "train.memory_limit=100000"])));
    assert!(printed.contains("finished"), "{printed}");
    assert_same_files(&snapshot(&bench.path("run")), &before);
    let refused = fail_with(&mut bench.run("run"), 2);
    assert!(
        refused.contains("--resume") && refused.contains("--output"),
        "{refused}"
    );
    std::fs::remove_dir_all(bench.path("run/checkpoints")).unwrap();
    let refused = fail_with(&mut bench.run("run"), 2);
    assert!(refused.contains("trained model"), "{refused}");
}

#[test]
fn a_run_without_its_final_model_makes_it_again() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    let want = snapshot(&bench.path("run/final"));
    let metrics_before = metrics(&bench.path("run"));
    std::fs::remove_dir_all(bench.path("run/final")).unwrap();
    succeed(&mut bench.resume("run"));
    assert_same_files(&snapshot(&bench.path("run/final")), &want);
    assert_eq!(metrics(&bench.path("run")), metrics_before);
}

#[test]
fn a_damaged_checkpoint_is_refused_and_the_last_good_one_goes_on_to_the_same_bits() {
    let bench = Bench::new().with(&["checkpoint.keep_last=9"]);
    succeed(&mut bench.run("reference"));
    succeed(&mut bench.run("run"));
    std::fs::remove_dir_all(bench.path("run/final")).unwrap();
    flip(&bench.path("run/checkpoints/step-24/optimizer.safetensors"));
    std::fs::remove_file(bench.path("run/checkpoints/step-20/checkpoint.json")).unwrap();
    let refused = fail_with(&mut bench.resume("run"), 3);
    assert!(refused.contains("optimizer.safetensors"), "{refused}");
    assert!(refused.contains("--resume-from step-16"), "{refused}");
    let half = fail_with(bench.run("run").args(["--resume-from", "step-20"]), 3);
    assert!(half.contains("half") && half.contains("step-16"), "{half}");
    let none = fail_with(bench.run("run").args(["--resume-from", "step-5"]), 2);
    assert!(none.contains("step-4, step-8"), "{none}");
    let printed = text(&succeed(
        bench.run("run").args(["--resume-from", "step-16"]),
    ));
    bench.assert_same("run", "reference");
    // The damaged ones are out of the way, and stay.
    for name in ["step-20.abandoned", "step-24.abandoned"] {
        assert!(printed.contains(name), "{printed}");
        assert!(bench.path("run/checkpoints").join(name).is_dir(), "{name}");
    }
}

#[test]
fn a_run_that_went_back_and_was_stopped_goes_on_from_where_it_was_stopped() {
    let bench = slow().with(&["checkpoint.keep_last=9", "checkpoint.every=6"]);
    succeed(&mut bench.run("reference"));
    succeed(&mut bench.run("run"));
    flip(&bench.path("run/checkpoints/step-24/optimizer.safetensors"));
    let mut back = bench.run("run");
    let mut child = spawn(back.args(["--resume-from", "step-6"]));
    wait_for(&bench.path("run/checkpoints/step-12.abandoned"), &mut child);
    signal(&child, libc::SIGTERM);
    let output = child.wait_with_output().unwrap();
    let printed = text(&output);
    assert_eq!(output.status.code(), Some(75), "{printed}");
    assert!(
        printed.contains("--resume in place of --resume-from"),
        "{printed}"
    );
    assert!(bench.steps("run").last().unwrap() < &24);
    succeed(&mut bench.resume("run"));
    bench.assert_same("run", "reference");
}

#[test]
fn only_the_checkpoints_of_the_policy_stay() {
    let bench = Bench::new().with(&["checkpoint.every=2", "checkpoint.keep_last=3"]);
    succeed(&mut bench.run("last"));
    assert_eq!(bench.steps("last"), [20, 22, 24]);
    let bench = bench.with(&["checkpoint.keep_last=1", "checkpoint.keep_every=10"]);
    succeed(&mut bench.run("some"));
    assert_eq!(bench.steps("some"), [10, 20, 24]);
    let bench = bench.with(&["checkpoint.keep_every=0", "checkpoint.keep_steps=[7, 12]"]);
    succeed(&mut bench.run("named"));
    assert_eq!(bench.steps("named"), [7, 12, 24]);
}

#[test]
fn a_run_goes_on_only_with_the_configuration_it_began_with() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    for (key, value) in [
        ("schedule.lr", "5e-3"),
        ("train.steps", "25"),
        ("train.seed", "3"),
        ("model.d_model", "32"),
        ("data.shuffle_row_groups", "1"),
    ] {
        let set = format!("{key}={value}");
        let refused = fail_with(bench.resume("run").args(["--set", &set]), 2);
        assert!(refused.contains(key), "{refused}");
    }
    // The same paths with other contents.
    let others = bench.path("other.bin");
    std::fs::write(&others, tokens(N_TOKENS + 1)).unwrap();
    let own = bench.path("own.bin");
    std::fs::copy(inputs().path("tokens.bin"), &own).unwrap();
    let of_own = format!("data.tokens={}", own.display());
    succeed(bench.resume("run").args(["--set", "checkpoint.every=1"]));
    let bench = bench.with(&[&of_own, "checkpoint.keep_last=9", "data.validation="]);
    succeed(&mut bench.run("own"));
    std::fs::remove_dir_all(bench.path("own/final")).unwrap();
    std::fs::rename(&others, &own).unwrap();
    let refused = fail_with(bench.run("own").args(["--resume-from", "step-12"]), 2);
    assert!(refused.contains("data.tokens"), "{refused}");
}

#[test]
fn two_processes_do_not_train_into_one_directory() {
    let bench = Bench::new().with(&["model.d_model=128", "model.n_layers=8"]);
    let mut child = spawn(&mut bench.run("run"));
    wait_for(&bench.path("run/metrics.jsonl"), &mut child);
    let refused = fail_with(&mut bench.resume("run"), 1);
    assert!(refused.contains("another process"), "{refused}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_would_not_fit_is_refused_before_anything_is_written_with_the_keys_that_help() {
    let bench = Bench::new().with(&["train.memory_limit=100000", "train.batch_size=4"]);
    let refused = fail_with(&mut bench.run("run"), 2);
    for word in [
        "MiB",
        "train.memory_limit",
        "micro_batch_size",
        "recompute",
        "parameters",
    ] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
    assert!(!bench.path("run").exists());
    let huge = [
        "model.d_model=1048576",
        "model.d_ff=4194304",
        "train.memory_limit=",
    ];
    let bench = bench.with(&huge);
    let refused = fail_with(&mut bench.run("run"), 2);
    assert!(
        refused.contains("available memory") || refused.contains("control group"),
        "{refused}"
    );
    // The largest that a model may be.
    let absurd = ["model.d_model=16777216", "model.d_ff=16777216"];
    let refused = fail_with(&mut bench.with(&absurd).run("run"), 2);
    assert!(refused.contains("at least"), "{refused}");
}

#[test]
fn a_dry_run_says_what_it_takes_and_writes_nothing() {
    let bench = Bench::new();
    let printed = text(&succeed(bench.run("run").arg("--dry-run")));
    for word in [
        "parameters",
        "activations",
        ", data ",
        "labelled sequences",
        "steps",
        "nothing was written",
    ] {
        assert!(printed.contains(word), "{word}: {printed}");
    }
    assert!(!printed.contains("note: not begun"), "{printed}");
    assert!(!bench.path("run").exists());
}

#[test]
fn a_dry_run_says_where_its_output_is_taken() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("run")).unwrap();
    std::fs::write(bench.path("run/plan.json"), "{}").unwrap();
    let printed = text(&succeed(bench.run("run").arg("--dry-run")));
    let note = "note: not begun as it is: ";
    assert!(
        printed.contains(note) && printed.contains("plan.json"),
        "{printed}"
    );
}

/// What cannot work, how it is called, and what the message says.
#[test]
fn what_cannot_work_is_refused_in_the_first_seconds_and_writes_nothing() {
    let cases: [(&[&str], i32, &[&str]); 15] = [
        (&["train.stepz=3"], 2, &["stepz"]),
        (&["train.steps=0"], 2, &["train.steps"]),
        (&["kd.n_kd=40", "train.steps=40", "data.tokens="], 0, &[]),
        (
            &["kd.n_kd=99", "train.steps=99", "data.tokens="],
            2,
            &["data.label_epochs"],
        ),
        (&["train.steps=400"], 2, &["data.token_epochs"]),
        (&["data.seq_len=16"], 2, &["data.seq_len", "32"]),
        (&["data.packing=document"], 2, &["data.packing"]),
        (&["kd.tau=3"], 2, &["kd.tau"]),
        (&["kd.loss=sampled"], 2, &["kd.loss", "draws at 0.8"]),
        (&["data.labels=nowhere"], 2, &["nowhere"]),
        (&["data.tokens=nowhere"], 2, &["nowhere"]),
        (&["data.validation=nowhere"], 2, &["nowhere"]),
        (&["data.tokenizer=nowhere.json"], 2, &["nowhere.json"]),
        (&["model.n_heads=3"], 2, &["model.n_heads"]),
        (&["train.threads=100000"], 2, &["train.threads"]),
    ];
    for (keys, code, words) in cases {
        let bench = Bench::new().with(keys);
        let mut command = bench.run("run");
        command.arg("--dry-run");
        let output = command.output().unwrap();
        let printed = text(&output);
        assert_eq!(output.status.code(), Some(code), "{keys:?}: {printed}");
        for word in words {
            assert!(printed.contains(word), "{keys:?}: {printed}");
        }
        if code != 0 {
            let real = fail_with(&mut bench.run("run"), code);
            assert!(real.contains("error: "), "{keys:?}: {real}");
            assert!(!bench.path("run").exists(), "{keys:?}");
        }
    }
}

#[test]
fn an_output_that_cannot_be_written_is_refused() {
    let bench = Bench::new();
    std::fs::write(bench.path("file"), "not a directory").unwrap();
    let refused = fail_with(&mut bench.run("file/run"), 1);
    assert!(refused.contains("file/run"), "{refused}");
    std::fs::create_dir(bench.path("other")).unwrap();
    std::fs::write(bench.path("other/config.toml"), "[package]\nname = \"x\"\n").unwrap();
    let refused = fail_with(&mut bench.run("other"), 2);
    assert!(
        refused.contains("config.toml") && refused.contains("--output"),
        "{refused}"
    );
}

#[test]
fn labels_of_another_vocabulary_than_the_models_are_refused() {
    let bench = Bench::new();
    succeed(&mut bench.run("small"));
    // Weights of V = 300, labels of V = 310.
    let spec = DecoderSpec {
        vocab_size: 310,
        width: 16,
        n_layers: 1,
        n_heads: 2,
        max_seq_len: 128,
        ..DecoderSpec::default()
    };
    let other = Inputs::with_teacher(1_000, &spec);
    succeed(&mut other.label("labels"));
    let mut bench = bench.with(&["model=", "train.steps=2", "kd.n_kd=1"]);
    let bench = {
        bench.labels = other.path("labels");
        bench.with(&["schedule.warmup_steps=0"])
    };
    let init = format!("init={}", bench.path("small").display());
    let refused = fail_with(bench.run("run").args(["--set", &init]), 2);
    assert!(
        refused.contains("300") && refused.contains("310"),
        "{refused}"
    );
}

#[test]
fn a_run_starts_from_the_weights_of_another_by_a_run_toml_of_init() {
    let bench = Bench::new();
    succeed(&mut bench.run("first"));
    let mut init = saltworks_train();
    init.arg("init").arg("--from").arg(bench.path("first"));
    init.arg("--output").arg(bench.path("second"));
    let printed = text(&succeed(&mut init));
    for word in ["parameters", "d_model", "16", "run.toml"] {
        assert!(printed.contains(word), "{printed}");
    }
    let refused = fail_with(&mut init, 2);
    assert!(refused.contains("run.toml"), "{refused}");
    let mut second = saltworks_train();
    second
        .args(["run", "--config"])
        .arg(bench.path("second/run.toml"));
    for key in bench
        .keys
        .iter()
        .chain(&["data.tokenizer=".to_owned(), "data.seq_len=32".to_owned()])
    {
        second.args(["--set", key]);
    }
    second.args(["--set", &format!("data.labels={}", bench.labels.display())]);
    succeed(&mut second);
    let first = numbers(&metrics(&bench.path("first")), "train", "ce");
    let second = numbers(&metrics(&bench.path("second")), "train", "ce");
    assert!(
        second[0] < first[0] - 0.2,
        "{} after {}",
        second[0],
        first[0]
    );
}

#[test]
fn the_run_toml_of_a_fresh_model_trains_once_its_paths_are_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut init = saltworks_train();
    init.arg("init").arg("--output").arg(dir.path().join("run"));
    succeed(&mut init);
    let mut run = saltworks_train();
    run.args(["run", "--config"])
        .arg(dir.path().join("run/run.toml"));
    for key in [
        "train.steps=2",
        "schedule.warmup_steps=1",
        "data.tokenizer=",
        "data.seq_len=",
    ] {
        run.args(["--set", key]);
    }
    for key in [
        "model.d_model=16",
        "model.d_ff=16",
        "data.tokens=",
        "kd.mode=rkd",
        "kd.tau=0.8",
    ] {
        run.args(["--set", key]);
    }
    run.args([
        "--set",
        &format!("data.labels={}", inputs().path("labels").display()),
    ]);
    succeed(&mut run);
    assert!(dir.path().join("run/final/model.onnx").is_file());
}

/// Labels the shared tokens by what `run` has trained, into `output` of the bench.
fn label_by(bench: &Bench, run: &str, output: &str, options: &[&str]) {
    let mut label = saltworks();
    label.args(["label", "--device", "cpu", "--seq-len", "32"]);
    let model = bench.path(run).join("final/model.onnx");
    label.arg("--teacher").arg(model);
    label.arg("--tokens").arg(inputs().path("tokens.bin"));
    let eod = support::EOD.to_string();
    label.args(["--tokens-format", "nanogpt", "--eod", &eod]);
    label.arg("--output").arg(bench.path(output));
    succeed(label.args(options));
}

#[test]
fn the_trained_model_is_a_teacher_for_saltworks_label() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    label_by(&bench, "run", "relabelled", &["--top-k", "8"]);
    succeed(saltworks().arg("verify").arg(bench.path("relabelled")));
}

/// At K = V and f32 the tail bucket is dense KD. Of N draws over V = 300 ids the KL is (V - 1) / 2N nats
/// more in expectation, 0.0075 at N = 20,000, and strays as far from it; the same steps stay as close.
#[test]
fn draws_teach_what_the_whole_distribution_teaches() {
    const N_DRAWS: &str = "20000";
    const TOLERANCE_NATS: f64 = 0.02;
    let bench = Bench::new().with(&["eval.every=0"]);
    succeed(&mut bench.run("teacher"));
    let options = ["--top-k", "300", "--round", "f32", "--samples", N_DRAWS];
    label_by(
        &bench,
        "teacher",
        "labels",
        &[&options[..], &["--max-sequences", "48"]].concat(),
    );
    let mut student = bench.with(&["kd.mode=rkd", "kd.n_kd=", "kd.omega=1", "train.steps=12"]);
    student.labels = student.path("labels");
    let student = student.with(&["data.tokens=", "train.seed=7"]);
    succeed(&mut student.run("dense"));
    let student = student.with(&["kd.loss="]);
    succeed(&mut student.run("drawn"));
    let config = std::fs::read_to_string(student.path("drawn/config.toml")).unwrap();
    assert!(config.contains("loss = \"sampled\""), "{config}");
    let of = |run: &str, key: &str| numbers(&metrics(&student.path(run)), "train", key);
    for key in ["kd", "ce"] {
        let (dense, drawn) = (of("dense", key), of("drawn", key));
        assert_eq!((dense.len(), drawn.len()), (12, 12));
        for (dense, drawn) in dense.iter().zip(&drawn) {
            let difference = (dense - drawn).abs();
            assert!(difference < TOLERANCE_NATS, "{key}: {dense} and {drawn}");
        }
    }
    let kd = of("drawn", "kd");
    assert!(kd[11] < 0.5 * kd[0], "{kd:?}");
}

/// The library that makes operations on files fail, made once.
fn fault_shim() -> &'static Path {
    static SHIM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_dir, shim) = SHIM.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let shim = dir.path().join("faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/faults.c");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&shim);
        succeed(cc.arg(source).arg("-ldl"));
        (dir, shim)
    });
    shim
}

/// `command`, with the disk full under `path` from its operation number `at` on.
fn failing_at<'a>(command: &'a mut Command, at: u64, path: &Path) -> &'a mut Command {
    command
        .env("LD_PRELOAD", fault_shim())
        .env("FAULT_AT", at.to_string())
        .env("FAULT_DIR", path)
        .env("FAULT_STAYS", "1")
}

#[test]
fn a_log_that_cannot_be_written_stops_the_run_with_a_checkpoint_of_the_steps_done() {
    let bench = Bench::new();
    succeed(&mut bench.run("reference"));
    let mut command = bench.run("run");
    let log = bench.path("run/metrics.jsonl");
    let printed = fail_with(failing_at(&mut command, 3, &log), 1);
    assert!(
        printed.contains("step 3 could not be logged") && printed.contains("no space left"),
        "{printed}"
    );
    assert!(
        printed.contains("step-3 is saved") && printed.contains("--resume"),
        "{printed}"
    );
    assert_eq!(bench.steps("run"), [3]);
    succeed(&mut bench.resume("run"));
    let (got, want) = (bench.result("run"), bench.result("reference"));
    assert_same_files(&got.model, &want.model);
    // Of that step only the line is lost.
    let others = want.metrics.iter().filter(|line| line["step"] != 3);
    assert!(got.metrics.iter().eq(others), "{:?}", got.metrics);
}

#[test]
fn a_validation_that_cannot_be_logged_is_made_again_by_whoever_goes_on() {
    let bench = Bench::new().with(&["log.every=100", "checkpoint.every=0"]);
    succeed(&mut bench.run("reference"));
    let mut command = bench.run("run");
    // After the line of step 1.
    let log = bench.path("run/metrics.jsonl");
    let printed = fail_with(failing_at(&mut command, 2, &log), 1);
    assert!(printed.contains("step-8 is saved"), "{printed}");
    succeed(&mut bench.resume("run"));
    bench.assert_same("run", "reference");
}

#[test]
fn an_old_checkpoint_that_cannot_be_removed_does_not_make_the_new_one_doubtful() {
    let bench = Bench::new().with(&["checkpoint.keep_last=1"]);
    let mut command = bench.run("run");
    let gone = bench.path("run/checkpoints/.step-4.gone");
    let printed = fail_with(failing_at(&mut command, 1, &gone), 1);
    assert!(
        printed.contains("the checkpoint of step 8 is good") && printed.contains("--resume"),
        "{printed}"
    );
    assert_eq!(bench.steps("run"), [4, 8]);
    succeed(&mut bench.resume("run"));
    assert_eq!(bench.steps("run"), [STEPS]);
}

#[test]
fn a_model_that_cannot_be_written_in_the_end_says_that_training_is_safe() {
    let bench = Bench::new();
    succeed(&mut bench.run("reference"));
    let mut command = bench.run("run");
    let part = bench.path("run/.final.part");
    let printed = fail_with(failing_at(&mut command, 1, &part), 1);
    for word in ["24 steps are done", "step-24 is saved", "--resume"] {
        assert!(printed.contains(word), "{word}: {printed}");
    }
    succeed(&mut bench.resume("run"));
    bench.assert_same("run", "reference");
}

#[test]
fn a_disk_that_is_full_leaves_the_older_checkpoint_good() {
    let bench = Bench::new();
    succeed(&mut bench.run("reference"));
    let (mut n_stopped, mut was_named) = (0, false);
    for at in [3, 30, 60, 90] {
        let output = format!("run-{at}");
        let checkpoints = bench.path(&output).join("checkpoints");
        let mut command = bench.run(&output);
        let result = failing_at(&mut command, at, &checkpoints).output().unwrap();
        let printed = text(&result);
        assert!(!printed.contains("panicked"), "{printed}");
        if !result.status.success() {
            n_stopped += 1;
            assert_eq!(result.status.code(), Some(1), "{printed}");
            assert!(printed.contains("--resume"), "{printed}");
            // One way to go on, not two.
            assert!(!printed.contains("run the same command"), "{printed}");
            was_named |= printed.contains("no space left");
        }
        succeed(&mut bench.resume(&output));
        bench.assert_same(&output, "reference");
    }
    assert!(n_stopped >= 2, "only {n_stopped} runs were stopped");
    assert!(was_named, "no run said that the disk is full");
}

/// A rate that stays after its warm-up, and every checkpoint kept.
fn trunk() -> Bench {
    Bench::new().with(&[
        "schedule.shape=constant",
        "checkpoint.keep_last=99",
        "eval.every=5",
    ])
}

/// A fall of the learning rate over the last 4 of 16 steps.
const DECAY: [&str; 3] = [
    "train.steps=16",
    "schedule.shape=wsd",
    "schedule.decay_steps=4",
];

impl Bench {
    /// The command that trains into `output` from a checkpoint of `trunk`.
    fn branch(&self, output: &str, trunk: &str, step: u64, keys: &[&str]) -> Command {
        let mut command = self.run(output);
        let checkpoint = self.path(trunk).join(format!("checkpoints/step-{step}"));
        command.args(["--set", &format!("branch_from={}", checkpoint.display())]);
        for key in keys {
            command.args(["--set", key]);
        }
        command
    }

    /// The trained model, and weights and moments after the last step.
    fn trained(&self, output: &str) -> BTreeMap<String, Vec<u8>> {
        let run = self.path(output);
        let last = self.steps(output).pop().unwrap();
        let mut files = snapshot(&run.join(format!("checkpoints/step-{last}")));
        files.retain(|name, _| name.ends_with(".safetensors"));
        files.extend(
            snapshot(&run.join("final"))
                .into_iter()
                .map(|(name, bytes)| (format!("final/{name}"), bytes)),
        );
        files
    }
}

fn after(step: u64, lines: Vec<Value>) -> Vec<Value> {
    let step_of = |line: &Value| line["step"].as_u64().unwrap();
    lines.into_iter().filter(|l| step_of(l) > step).collect()
}

#[test]
fn a_branch_with_the_schedule_of_its_trunk_ends_at_the_trunks_bits() {
    for step in [4, 12, 20] {
        let bench = trunk().with(&["schedule.shape=cosine"]);
        succeed(&mut bench.run("trunk"));
        succeed(&mut bench.branch("branch", "trunk", step, &[]));
        assert_same_files(&bench.trained("branch"), &bench.trained("trunk"));
        let of = |run: &str| after(step, metrics(&bench.path(run)));
        assert_eq!(of("branch"), of("trunk"));
        // Its own validation of the step it branched at is the only line that is no later one.
        let n_before = usize::from(step == 20);
        let all = metrics(&bench.path("branch"));
        assert_eq!(all.len(), of("branch").len() + n_before);
    }
}

#[test]
fn a_branch_that_decays_is_the_run_that_had_that_schedule_from_the_start() {
    for keys in [&[][..], &DRAWS, &["kd.mode=baseline"]] {
        let bench = trunk().with(keys);
        succeed(&mut bench.run("trunk"));
        let mut whole = bench.run("whole");
        succeed(whole.args(DECAY.iter().flat_map(|key| ["--set", key])));
        for step in [4, 12] {
            let branch = format!("branch-{step}");
            succeed(&mut bench.branch(&branch, "trunk", step, &DECAY));
            assert_same_files(&bench.trained(&branch), &bench.trained("whole"));
            let of = |run: &str| after(step, metrics(&bench.path(run)));
            assert_eq!(of(&branch), of("whole"), "{keys:?}, step {step}");
        }
        let branch = bench.trained("branch-12");
        let trunk = snapshot(&bench.path("trunk/checkpoints/step-16"));
        assert_ne!(branch["model.safetensors"], trunk["model.safetensors"]);
    }
}

#[test]
fn a_branch_takes_over_the_tokens_the_seconds_and_the_state_of_auto() {
    let auto = ["kd.transition=auto", "kd.min_kd=3", "kd.running_steps=4"];
    // Once with a stage 1 that could be longer than the branch is.
    for n_kd in ["kd.n_kd=12", "kd.n_kd=20"] {
        let bench = trunk().with(&auto).with(&[n_kd]);
        succeed(&mut bench.run("trunk"));
        for step in [4, 8] {
            let branch = format!("branch-{step}");
            succeed(&mut bench.branch(&branch, "trunk", step, &["train.steps=16"]));
            let mut trunk = snapshot(&bench.path("trunk/checkpoints/step-16"));
            trunk.retain(|name, _| name.ends_with(".safetensors"));
            let mut trained = bench.trained(&branch);
            trained.retain(|name, _| !name.starts_with("final/"));
            assert_same_files(&trained, &trunk);
        }
        let state = |run: &str| -> Value {
            let path = bench.path(run).join("checkpoints/step-16/state.json");
            serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
        };
        let (branch, trunk) = (state("branch-4"), state("trunk"));
        for key in ["step", "n_tokens", "loader", "auto", "sources"] {
            assert_eq!(branch[key], trunk[key], "{key}");
        }
        let path = bench.path("trunk/checkpoints/step-4/state.json");
        let begun: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert!(branch["seconds"].as_f64() > begun["seconds"].as_f64());
        let config = std::fs::read_to_string(bench.path("branch-4/config.toml")).unwrap();
        assert!(config.contains("branch_from = "), "{config}");
    }
}

#[test]
fn a_branch_killed_at_any_moment_goes_on_to_the_same_bits() {
    let bench = trunk();
    succeed(&mut bench.run("trunk"));
    let whole = Instant::now();
    succeed(&mut bench.branch("reference", "trunk", 8, &DECAY));
    let whole = whole.elapsed();
    let resume = |output: &str| {
        let mut command = bench.branch(output, "trunk", 8, &DECAY);
        command.args(["--resume", "--set", "checkpoint.every=3"]);
        command
    };
    for share in [0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9] {
        let output = format!("killed-{share}");
        let mut child = spawn(&mut resume(&output));
        std::thread::sleep(whole.mul_f64(share));
        child.kill().unwrap();
        child.wait().unwrap();
        succeed(&mut resume(&output));
        assert_same_files(&bench.trained(&output), &bench.trained("reference"));
        assert_eq!(
            metrics(&bench.path(&output)),
            metrics(&bench.path("reference"))
        );
    }
}

#[test]
fn a_branch_with_checkpoints_of_its_own_needs_its_trunk_no_more() {
    let bench = trunk();
    succeed(&mut bench.run("trunk"));
    succeed(&mut bench.branch("branch", "trunk", 8, &DECAY));
    let trained = bench.trained("branch");
    std::fs::rename(bench.path("trunk"), bench.path("gone")).unwrap();
    let again = || {
        let mut command = bench.branch("branch", "trunk", 8, &DECAY);
        command.arg("--resume");
        command
    };
    let printed = text(&succeed(&mut again()));
    assert!(printed.contains("nothing to do"), "{printed}");
    std::fs::remove_dir_all(bench.path("branch/final")).unwrap();
    std::fs::remove_dir_all(bench.path("branch/checkpoints/step-16")).unwrap();
    let printed = text(&succeed(&mut again()));
    assert!(printed.contains("branch/checkpoints/step-12"), "{printed}");
    assert_same_files(&bench.trained("branch"), &trained);
}

#[test]
fn a_branch_may_leave_the_dimensions_to_its_checkpoint() {
    let bench = trunk();
    succeed(&mut bench.run("trunk"));
    succeed(&mut bench.branch("with", "trunk", 8, &DECAY));
    let bench = bench.with(&["model="]);
    succeed(&mut bench.branch("without", "trunk", 8, &DECAY));
    assert_same_files(&bench.trained("without"), &bench.trained("with"));
}

#[test]
fn a_branch_that_would_be_another_run_is_refused_before_anything_is_written() {
    let bench = trunk();
    succeed(&mut bench.run("trunk"));
    let trunk_dir = bench.path("trunk");
    let at = |name: &str| format!("branch_from={}", trunk_dir.join(name).display());
    let (step_8, step_7, final_dir) = (
        at("checkpoints/step-8"),
        at("checkpoints/step-7"),
        at("final"),
    );
    let cases: [(&[&str], &[&str]); 13] = [
        (&["schedule.lr=5e-3"], &["schedule.lr", "0.005", "0.01"]),
        (&["train.seed=3"], &["train.seed"]),
        (&["train.batch_size=2"], &["train.batch_size"]),
        (&["kd.omega=0.25"], &["kd.omega", "0.25", "0.5"]),
        (&["model.d_ff=32"], &["model.d_ff", "24"]),
        (
            &["schedule.warmup_steps="],
            &["schedule.warmup_steps", "is 1", "4"],
        ),
        (&["train.steps=8"], &["train.steps", "more than the 8"]),
        (
            &["train.steps=6", "schedule.decay_steps=1"],
            &["train.steps", "more than the 8"],
        ),
        (
            &["schedule.shape=cosine", "schedule.decay_steps="],
            &[
                "learning rate of step 6",
                "schedule.decay_steps",
                "at most 9",
            ],
        ),
        (
            &["schedule.decay_steps=10"],
            &[
                "learning rate of step 8",
                "schedule.decay_steps",
                "at most 9",
            ],
        ),
        (&["init=somewhere", "model="], &["branch_from", "no init"]),
        (&[&step_7], &["branch_from", "step-4, step-8, step-12"]),
        (&[&final_dir], &["branch_from", "RUN/checkpoints/step-N"]),
    ];
    for (keys, words) in cases {
        let keys = [&DECAY[..], &[&step_8], keys].concat();
        let refused = fail_with(&mut bench.branch("branch", "trunk", 8, &keys), 2);
        for word in words {
            assert!(refused.contains(word), "{keys:?}: {refused}");
        }
        assert!(!bench.path("branch").exists(), "{keys:?}");
    }
    // Another run's contents under the same paths, a damaged checkpoint, and the run itself.
    let others = bench.path("other.bin");
    std::fs::write(&others, tokens(N_TOKENS + 1)).unwrap();
    let others = format!("data.tokens={}", others.display());
    let refused = fail_with(&mut bench.branch("branch", "trunk", 8, &[&others]), 2);
    assert!(refused.contains("data.tokens"), "{refused}");
    let refused = fail_with(bench.branch("trunk", "trunk", 8, &[]).arg("--resume"), 2);
    assert!(
        refused.contains("branch_from") && refused.contains("was begun with not set"),
        "{refused}"
    );
    flip(&bench.path("trunk/checkpoints/step-8/optimizer.safetensors"));
    let refused = fail_with(&mut bench.branch("branch", "trunk", 8, &DECAY), 3);
    assert!(
        refused.contains("optimizer.safetensors") && refused.contains("step-12"),
        "{refused}"
    );
    assert!(!bench.path("branch").exists());
}

/// The teacher's and the student's view of one position.
struct Judged {
    teacher_nll: f64,
    student_nll: f64,
    is_best: bool,
}

/// Every position of the shared labels, beside what `saltworks label` says of the student's own ONNX.
fn judged(bench: &Bench, student: &str) -> BTreeMap<u64, Vec<Judged>> {
    use saltworks::shards::{LabelSet, Row, ShardReader};
    let rows = |dir: &Path| -> BTreeMap<u64, Row> {
        let set = LabelSet::open(dir).unwrap();
        let of_shard =
            |shard| ShardReader::open(dir, set.segment_of_shard(shard).unwrap(), shard).unwrap();
        let rows = (0..set.n_shards()).flat_map(of_shard);
        rows.flat_map(Result::unwrap)
            .map(|row| (row.seq_id, row))
            .collect()
    };
    let students = rows(&bench.path(student));
    let positions = |(seq_id, row): (u64, Row)| {
        let own = &students[&seq_id].signals;
        let teachers = row.signals.target_logprob_t.iter();
        let both = teachers.zip(own.target_logprob_t.iter().zip(&own.target_rank_t));
        let judged = both.map(|(teacher, (student, rank))| Judged {
            teacher_nll: -f64::from(*teacher),
            student_nll: -f64::from(*student),
            is_best: *rank == 0,
        });
        (seq_id, judged.collect())
    };
    rows(&bench.labels).into_iter().map(positions).collect()
}

/// Two runtimes' log-probabilities of one f32 model.
const RUNTIME_TOLERANCE_NATS: f64 = 1e-4;

#[test]
fn an_evaluation_on_labels_is_what_the_labels_of_both_models_say() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    label_by(&bench, "run", "students", &["--top-k", "8"]);
    let judged = judged(&bench, "students");
    let eval = |more: &[&str]| -> Value {
        let mut eval = saltworks_train();
        eval.arg("eval").arg("--model").arg(bench.path("run"));
        eval.arg("--labels").arg(&bench.labels).arg("--json");
        serde_json::from_slice(&succeed(eval.args(more)).stdout).unwrap()
    };
    let number = |value: &Value| value.as_f64().unwrap();
    let near = |a: f64, b: f64| (a - b).abs() < RUNTIME_TOLERANCE_NATS;
    let mean = |of: &[&Judged], value: fn(&Judged) -> f64| {
        of.iter().map(|j| value(j)).sum::<f64>() / of.len() as f64
    };
    for (more, seq_ids) in [
        (&[][..], 0..u64::MAX),
        (&["--batch-tokens", "40"], 0..u64::MAX),
        (&["--sequences", "20..90"], 20..90),
    ] {
        let report = eval(more);
        let chosen = judged.iter().filter(|(id, _)| seq_ids.contains(id));
        let all: Vec<&Judged> = chosen.clone().flat_map(|(_, of)| of).collect();
        assert_eq!(report["n_sequences"], chosen.count());
        assert_eq!(report["n_targets"], all.len());
        assert!(near(number(&report["nll"]), mean(&all, |j| j.student_nll)));
        let teacher_nll = mean(&all, |j| j.teacher_nll);
        assert!((number(&report["teacher_nll"]) - teacher_nll).abs() < 1e-9);
        let n_best = all.iter().filter(|j| j.is_best).count();
        let n_more = number(&report["accuracy"]) * all.len() as f64 - n_best as f64;
        assert!(n_more.abs() < 3.0, "ties of two runtimes aside: {n_more}");
        let ece = number(&report["ece"]);
        assert!((0.0..0.5).contains(&ece), "{ece}");
        let mut nlls: Vec<f64> = all.iter().map(|j| j.teacher_nll).collect();
        nlls.sort_by(f64::total_cmp);
        let third = |n: usize| nlls[(n * nlls.len()).div_ceil(3) - 1];
        let borders = [third(1), third(2)];
        assert_eq!(report["bucket_borders"], serde_json::json!(borders));
        for (i, bucket) in report["buckets"].as_array().unwrap().iter().enumerate() {
            let place = |j: &Judged| borders.iter().filter(|b| j.teacher_nll > **b).count();
            let own: Vec<&Judged> = all.iter().copied().filter(|j| place(j) == i).collect();
            assert_eq!(bucket["n_targets"], own.len());
            assert!(near(number(&bucket["nll"]), mean(&own, |j| j.student_nll)));
            let teacher_nll = mean(&own, |j| j.teacher_nll);
            assert!((number(&bucket["teacher_nll"]) - teacher_nll).abs() < 1e-9);
        }
    }
    let report = eval(&["--bucket-borders", "0,1000"]);
    let counts: Vec<&Value> = (0..3).map(|i| &report["buckets"][i]["n_targets"]).collect();
    assert_eq!(counts, [0, report["n_targets"].as_u64().unwrap(), 0]);
    assert!(report["buckets"][0]["nll"].is_null());
}

#[test]
fn labels_that_a_model_cannot_be_evaluated_on_are_refused() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    let model = bench.path("run");
    let eval = |labels: &Path, more: &[&str]| {
        let mut eval = saltworks_train();
        eval.arg("eval").arg("--model").arg(&model);
        eval.arg("--labels").arg(labels).args(more);
        eval
    };
    label_by(&bench, "run", "no-stats", &["--groups", "scores,topk"]);
    let refused = fail_with(&mut eval(&bench.path("no-stats"), &[]), 2);
    assert!(
        refused.contains("the group stats") && refused.contains("--groups"),
        "{refused}"
    );
    for (more, word) in [
        (&["--sequences", "5..5"][..], "0..500"),
        (&["--bucket-borders", "3,1"], "0.5,3"),
        (&["--seq-len", "16"], "--seq-len"),
        (
            &["--sequences", "100000..100001"],
            "none of the sequences that are asked for",
        ),
    ] {
        let refused = fail_with(&mut eval(&bench.labels, more), 2);
        assert!(refused.contains(word), "{more:?}: {refused}");
    }
    let bench = bench.with_own_labels();
    let of_first = bench.labels.join("positions/part-00000.parquet");
    flip(&of_first);
    let mut damaged = eval(&bench.labels, &[]);
    let refused = fail_with(&mut damaged, 3);
    assert!(refused.contains("part-00000"), "{refused}");
}

/// A run that was stopped after step 20 of 24, as a kill would leave it.
fn stopped(bench: &Bench, output: &str) {
    succeed(&mut bench.run(output));
    std::fs::remove_dir_all(bench.path(output).join("final")).unwrap();
    let last = format!("checkpoints/step-{STEPS}");
    std::fs::remove_dir_all(bench.path(output).join(last)).unwrap();
}

#[test]
fn the_same_inputs_under_other_names_go_on_to_the_same_bits() {
    let bench = Bench::new();
    succeed(&mut bench.run("reference"));
    stopped(&bench, "run");
    std::os::unix::fs::symlink(&bench.labels, bench.path("elsewhere")).unwrap();
    let copy = bench.path("copy.bin");
    std::fs::copy(inputs().path("tokens.bin"), &copy).unwrap();
    let mut resumed = bench.resume("run");
    for (key, path) in [
        ("data.labels", bench.path("elsewhere")),
        ("data.tokens", copy.clone()),
        ("data.validation", copy.clone()),
    ] {
        resumed.args(["--set", &format!("{key}={}", path.display())]);
    }
    succeed(&mut resumed);
    bench.assert_same("run", "reference");
    // Other contents under the new name are still refused, and so is a file of which nothing is known.
    stopped(&bench, "other");
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&copy, bytes).unwrap();
    let mut resumed = bench.resume("other");
    resumed.args(["--set", &format!("data.tokens={}", copy.display())]);
    let refused = fail_with(&mut resumed, 2);
    assert!(refused.contains("data.tokens"), "{refused}");
}

#[test]
fn a_run_goes_on_with_the_labels_that_it_began_with_when_they_were_extended() {
    let mut bench = Bench::new();
    let labels = bench.path("extended");
    let label = |range: &str| {
        let mut options = saltworks();
        inputs().add_options(&mut options, "unused");
        let mut command = saltworks();
        command.arg("label").args(["--sequences", range]);
        let mut is_output = false;
        for argument in options.get_args() {
            command.arg(if is_output {
                labels.as_os_str()
            } else {
                argument
            });
            is_output = argument == "--output";
        }
        command
    };
    succeed(&mut label("0..100"));
    bench.labels = labels.clone();
    succeed(&mut bench.run("reference"));
    stopped(&bench, "run");
    succeed(&mut label("100..150"));
    let said = text(&succeed(&mut bench.resume("run")));
    assert!(said.contains("was extended since this run began"), "{said}");
    assert!(
        said.contains("the 100 sequences that it had then"),
        "{said}"
    );
    bench.assert_same("run", "reference");
    // A new run reads all.
    let said = text(&succeed(&mut bench.run("new")));
    assert!(!said.contains("was extended"), "{said}");
    assert!(said.contains("of 150 labelled sequences"), "{said}");
}

#[test]
fn what_a_run_reads_is_recorded_before_its_first_step() {
    let bench = slow();
    let mut child = spawn(&mut bench.run("run"));
    wait_for(&bench.path("run/sources.json"), &mut child);
    assert!(!bench.path("run/final").exists());
    signal(&child, libc::SIGKILL);
    child.wait().unwrap();
    let json = std::fs::read(bench.path("run/sources.json")).unwrap();
    let sources: Value = serde_json::from_slice(&json).unwrap();
    for key in ["labels", "tokens", "validation", "labelled_tokens"] {
        assert!(sources[key].is_string(), "{key}: {sources}");
    }
    assert_eq!(sources["tokens"], sources["validation"]);
}

#[test]
fn a_validation_on_text_that_is_trained_on_is_noticed() {
    let bench = Bench::new();
    let note = "data.validation has the text of data.tokens";
    let said = text(&succeed(&mut bench.run("run")));
    assert!(said.contains(note), "{said}");
    let mut eval = saltworks_train();
    eval.arg("eval").arg("--model").arg(bench.path("run"));
    eval.arg("--tokens").arg(inputs().path("tokens.bin"));
    eval.args(["--tokens-format", "nanogpt", "--seq-len", "32"]);
    let said = text(&succeed(&mut eval));
    assert!(
        said.contains("text that the model was trained on"),
        "{said}"
    );
    let mut eval = saltworks_train();
    eval.arg("eval").arg("--model").arg(bench.path("run"));
    eval.arg("--labels").arg(&bench.labels);
    succeed(&mut eval);
    let mut bytes = std::fs::read(inputs().path("tokens.bin")).unwrap();
    bytes.truncate(2 * N_TOKENS / 2);
    std::fs::write(bench.path("held-out.bin"), bytes).unwrap();
    let bench = bench.with(&[]);
    let held_out = bench.path("held-out.bin");
    let bench = bench.with_path("data.validation", &held_out);
    let said = text(&succeed(bench.run("other").args(["--dry-run"])));
    assert!(!said.contains("data.validation has"), "{said}");
}

#[test]
fn what_a_kill_left_over_is_swept_by_whoever_goes_on() {
    let bench = Bench::new().with(&["checkpoint.keep_last=3"]);
    succeed(&mut bench.run("run"));
    assert_eq!(bench.steps("run"), [16, 20, STEPS]);
    std::fs::remove_dir_all(bench.path("run/final")).unwrap();
    // A dead writer's temporaries: nobody holds their locks.
    let left = ["config.toml", "sources.json", "metrics.jsonl"]
        .map(|name| bench.path(&format!("run/.{name}.host.4000000.0123456789abcdef")));
    for path in &left {
        std::fs::write(path, "half").unwrap();
    }
    // Checkpoints that a kill between the last one and the removal left too many of.
    let mut resumed = bench.resume("run");
    succeed(resumed.args(["--set", "checkpoint.keep_last=1"]));
    assert_eq!(bench.steps("run"), [STEPS]);
    assert!(left.iter().all(|path| !path.exists()));
    assert!(bench.path("run/final/config.json").is_file());
}

#[test]
fn a_full_disk_of_the_log_loses_no_step() {
    let bench = Bench::new();
    succeed(&mut bench.run("reference"));
    let full = || {
        let file = std::fs::File::options().write(true).open("/dev/full");
        Stdio::from(file.unwrap())
    };
    let mut command = bench.run("run");
    assert!(command.stderr(full()).status().unwrap().success());
    bench.assert_same("run", "reference");
    // Nobody hears the end of it either: the work is done, and the result is what is missing.
    let mut command = bench.run("unheard");
    let status = command.stdout(full()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(1));
    bench.assert_same("unheard", "reference");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = bench.run("closed");
    let status = command.stdout(writer).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    bench.assert_same("closed", "reference");
}

#[test]
fn a_flipped_byte_of_a_trained_model_is_found_by_whoever_reads_it() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    flip(&bench.path("run/final/model.safetensors"));
    let tokens = inputs().path("tokens.bin");
    let tokens = tokens.to_str().unwrap();
    let readers: [&[&str]; 4] = [
        &["eval", "--tokens", tokens, "--tokens-format", "nanogpt"],
        &["export", "--output", "exported"],
        &["export", "--onnx", "exported.onnx"],
        &["generate", "--prompt", "a"],
    ];
    for arguments in readers {
        let mut command = saltworks_train();
        command.current_dir(bench.dir.path()).args(arguments);
        let refused = fail_with(command.args(["--model", "run"]), 3);
        assert!(
            refused.contains("run/final/model.safetensors is not the file that was written"),
            "{refused}"
        );
    }
    let mut command = saltworks_train();
    command.args(["init", "--output"]).arg(bench.path("from"));
    let refused = fail_with(command.arg("--from").arg(bench.path("run")), 3);
    assert!(refused.contains("model.safetensors"), "{refused}");
    let init = format!("init={}", bench.path("run").display());
    let mut command = bench.run("begun");
    for key in ["model=", &init] {
        command.args(["--set", key]);
    }
    let refused = fail_with(&mut command, 3);
    assert!(refused.contains("model.safetensors"), "{refused}");
    assert!(!bench.path("begun").exists());
}
