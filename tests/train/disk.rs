//! A disk that is full or fails, at every file that a run writes.

use crate::bench::{Bench, STEPS};
use crate::support::{assert_same_files, fail_with, succeed, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

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
fn a_log_that_cannot_be_written_stops_the_run_with_a_checkpoint_of_the_steps_done() {
    let bench = Bench::new();
    succeed(&mut bench.run("reference"));
    let mut command = bench.run("run");
    let log = bench.path("run/metrics.jsonl");
    let printed = fail_with(failing_at(&mut command, 3, &log), 1);
    assert!(
        printed.contains("cannot log step 3") && printed.contains("no space left"),
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
