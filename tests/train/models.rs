//! Models in and out: weights to begin from, and the trained model as others read it.

use crate::bench::{Bench, inputs, label_by, metrics, numbers, saltworks_train};
use crate::support::process::flip;
use crate::support::{fail_with, saltworks, succeed, text};

#[test]
fn a_run_starts_from_the_weights_of_another_by_a_run_toml_of_init() {
    let bench = Bench::new();
    succeed(&mut bench.run("first"));
    let mut init = saltworks_train();
    init.arg("init").arg("--from").arg(bench.path("first"));
    init.arg("--output").arg(bench.path("second"));
    let printed = text(&succeed(&mut init));
    for word in [" parameters\n", "  d_model        16\n", "second/run.toml"] {
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

#[test]
fn the_trained_model_is_a_teacher_for_saltworks_label() {
    let bench = Bench::new();
    succeed(&mut bench.run("run"));
    label_by(&bench, "run", "relabelled", &["--top-k", "8"]);
    succeed(saltworks().arg("verify").arg(bench.path("relabelled")));
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
            refused.contains("run/final/model.safetensors has changed since it was written"),
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
