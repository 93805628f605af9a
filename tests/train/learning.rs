//! What a run learns: every mode and transition, and what its metrics say of it.

use crate::bench::{Bench, DRAWS, STEPS, label_by, lines_of, listed_seq_ids, metrics, numbers};
use crate::support::{self, Inputs, fail_with, succeed, text};
use serde_json::Value;

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
            // One position has no variance, and a gate may leave just one of the 128 open.
            if learns && line["kd_fraction"].as_f64().unwrap() < 2.0 / 128.0 {
                continue;
            }
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
        assert!(printed.contains("does not record the labels it was made for"));
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
fn a_tiny_set_is_memorized() {
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
