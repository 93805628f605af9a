//! Branches: runs that begin at a checkpoint of another.

use crate::bench::{Bench, DRAWS, N_TOKENS, metrics, tokens};
use crate::support::process::{flip, spawn};
use crate::support::{assert_same_files, fail_with, snapshot, succeed, text};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

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
