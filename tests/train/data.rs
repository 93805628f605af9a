//! What a run reads: damaged, gone, under other names, extended.

use crate::bench::{Bench, N_TOKENS, inputs, saltworks_train, slow, stopped};
use crate::support::process::{flip, signal, spawn, wait_for};
use crate::support::{assert_same_files, fail_with, saltworks, snapshot, succeed, text};
use serde_json::Value;

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
    assert!(
        said.contains("was extended since this run started"),
        "{said}"
    );
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
    let note = "data.validation is the text of data.tokens";
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
    assert!(!said.contains("data.validation is"), "{said}");
}
