//! A run that is stopped goes on to the same bits, and only as the run that it is.

use crate::bench::{
    Bench, DRAWS, N_TOKENS, STEPS, inputs, metrics, saltworks_train, slow, tokens,
    wait_for_first_step,
};
use crate::support::process::{signal, spawn, wait_for};
use crate::support::{assert_same_files, fail_with, snapshot, succeed, text};
use std::time::{Duration, Instant};

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
    let output = child.wait_with_output().unwrap();
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

/// Its curve would be of two texts.
#[test]
fn a_run_whose_validation_text_was_replaced_is_not_resumed() {
    let bench = Bench::new();
    let own = bench.path("held-out.bin");
    std::fs::write(&own, tokens(N_TOKENS / 2)).unwrap();
    let of_own = format!("data.validation={}", own.display());
    let bench = bench.with(&[&of_own]);
    succeed(&mut bench.run("run"));
    std::fs::remove_dir_all(bench.path("run/final")).unwrap();
    std::fs::write(&own, tokens(N_TOKENS / 2 + 1)).unwrap();
    let refused = fail_with(&mut bench.resume("run"), 2);
    assert!(refused.contains("data.validation"), "{refused}");
    assert!(refused.contains("other contents"), "{refused}");
}

/// Relative paths of a file and of flags, and the directory that the program is started in.
#[test]
fn a_run_with_relative_paths_is_resumed_from_any_directory_by_what_it_recorded() {
    let bench = Bench::new();
    std::fs::copy(inputs().path("tokens.bin"), bench.path("t.bin")).unwrap();
    let elsewhere = bench.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let bench = bench.with(&["data.tokens=../t.bin", "data.validation=", "init="]);
    let mut begun = bench.run("unused");
    let text = std::fs::read_to_string(bench.path("run.toml")).unwrap();
    std::fs::write(bench.path("run.toml"), text.replace("unused", "run")).unwrap();
    // The last --output wins no more: the file's own, which is beside it.
    let arguments: Vec<_> = begun.get_args().map(std::ffi::OsStr::to_owned).collect();
    let n_arguments = arguments.len() - 2;
    begun = saltworks_train();
    begun
        .args(&arguments[..n_arguments])
        .current_dir(&elsewhere);
    succeed(&mut begun);
    let last = format!("run/checkpoints/step-{STEPS}");
    let want = snapshot(&bench.path("run/final"));
    let recorded = std::fs::read_to_string(bench.path("run/config.toml")).unwrap();
    let real = elsewhere.canonicalize().unwrap();
    let absolute = format!("tokens = {:?}", real.join("../t.bin"));
    assert!(recorded.contains(&absolute), "{recorded}");
    let resume = |from: &std::path::Path, config: &str| {
        for gone in ["run/final", &last] {
            std::fs::remove_dir_all(bench.path(gone)).unwrap();
        }
        let mut resumed = saltworks_train();
        resumed.args(["run", "--resume", "--config", config]);
        succeed(resumed.current_dir(from));
        assert_same_files(&snapshot(&bench.path("run/final")), &want);
    };
    resume(bench.dir.path(), "run/config.toml");
    resume(&elsewhere, "../run/config.toml");
    // As versions before recorded it: by paths relative to the directory of the start.
    let old = recorded
        .replace(&absolute, "tokens = \"../t.bin\"")
        .lines()
        .skip(1)
        .fold(String::new(), |text, line| text + line + "\n");
    let header =
        "# What this run does, every default filled in; it can be given as --config again.\n";
    std::fs::write(bench.path("old.toml"), format!("{header}{old}")).unwrap();
    resume(&elsewhere, "../old.toml");
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
