//! What cannot work is refused before anything is written.

use crate::bench::{Bench, saltworks_train};
use crate::support::models::DecoderSpec;
use crate::support::{Inputs, fail_with, succeed, text};

#[test]
fn what_would_not_fit_is_refused_before_anything_is_written_with_the_keys_that_help() {
    let bench = Bench::new().with(&["train.memory_limit=100000", "train.batch_size=4"]);
    let refused = fail_with(&mut bench.run("run"), 2);
    let remedy = "(train.memory_limit): change train.micro_batch_size (now 4), train.recompute = true, \
        data.seq_len (now 32), the dimensions under [model], a higher train.memory_limit";
    assert!(refused.contains(remedy), "{refused}");
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
fn an_output_that_is_a_file_is_refused_by_name() {
    let bench = Bench::new();
    std::fs::write(bench.path("run"), "precious").unwrap();
    let refused = fail_with(&mut bench.run("run"), 2);
    assert!(refused.contains("which is a file"), "{refused}");
    assert_eq!(std::fs::read(bench.path("run")).unwrap(), b"precious");
}

#[test]
fn an_output_with_files_of_others_is_refused_by_what_is_there() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("home")).unwrap();
    std::fs::write(bench.path("home/thesis.tex"), "precious").unwrap();
    for resume in [&[][..], &["--resume"]] {
        let refused = fail_with(bench.run("home").args(resume), 2);
        assert!(
            refused.contains("\"thesis.tex\" and no run") && refused.contains("choose another"),
            "{refused}"
        );
    }
    assert_eq!(std::fs::read_dir(bench.path("home")).unwrap().count(), 1);
}

#[test]
fn a_configuration_that_has_no_end_is_refused() {
    let mut run = saltworks_train();
    let refused = fail_with(run.args(["run", "--config", "/dev/zero"]), 2);
    assert!(
        refused.contains("cannot read the configuration /dev/zero")
            && refused.contains("larger than 16 MiB"),
        "{refused}"
    );
    let mut run = saltworks_train();
    let refused = fail_with(run.args(["run", "--config", "/tmp"]), 2);
    assert!(refused.contains("Is a directory"), "{refused}");
}

#[test]
fn a_dry_run_says_what_it_takes_and_writes_nothing() {
    let bench = Bench::new();
    let printed = text(&succeed(bench.run("run").arg("--dry-run")));
    for line in [
        "model       14032 parameters: d 16, 2 layers, 2 heads, V 300\n",
        "memory      2 MiB at the peak: parameters 1 MiB, gradients 1 MiB, moments 1 MiB, activations 1 MiB, data 1 MiB",
        "data        48 of 188 labelled sequences, 48 of 140 sequences of the corpus (48 more are reserved for stage 1); up to 3072 tokens\n",
        "stages      12 steps on labelled sequences (KD tail-bucket, tau 1, omega 0.5), then 12 of CE on the corpus\n",
        "schedule    24 steps of 4 sequences on 2 threads; lr 0.01 cosine, warm-up of 4 steps\nnothing was written\n",
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    assert!(
        !printed.contains("note: this run would not start"),
        "{printed}"
    );
    assert!(!bench.path("run").exists());
}

#[test]
fn a_dry_run_says_where_its_output_is_taken() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("run")).unwrap();
    std::fs::write(bench.path("run/plan.json"), "{}").unwrap();
    let printed = text(&succeed(bench.run("run").arg("--dry-run")));
    let note = "note: this run would not start: ";
    assert!(
        printed.contains(note) && printed.contains("plan.json"),
        "{printed}"
    );
}

/// What cannot work, how it is called, and what the message says.
#[test]
fn what_cannot_work_is_refused_in_the_first_seconds_and_writes_nothing() {
    let cases: [(&[&str], i32, &[&str]); 18] = [
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
        (&["kd.loss=sampled"], 2, &["kd.loss", "samples at 0.8"]),
        (&["data.labels=nowhere"], 2, &["nowhere"]),
        (&["data.tokens=nowhere"], 2, &["nowhere"]),
        (&["data.validation=nowhere"], 2, &["nowhere"]),
        (
            &["kd.mode=salt-ds", "data.selection=nowhere.parquet"],
            2,
            &["nowhere.parquet does not exist", "saltworks select"],
        ),
        (&["init=nowhere", "model="], 2, &["nowhere"]),
        (&["branch_from=nowhere"], 2, &["nowhere"]),
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
        refused.contains("has a vocabulary of 310 ids, but")
            && refused.contains("has 300: use labels and tokens of the same tokenizer"),
        "{refused}"
    );
}

#[test]
fn every_missing_key_of_a_run_and_of_an_experiment_is_named_at_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("empty.toml"), "").unwrap();
    let sets = "output = \"o\"\nbaseline = \"a\"\narms = { a = {} }\n[[sets]]\ntokens = \"t\"\n";
    std::fs::write(folder.path().join("sets.toml"), sets).unwrap();
    let cases: [(&str, &[&str]); 4] = [
        (
            "run --config empty.toml",
            &["output ", "data ", "train.steps ", "train.batch_size "],
        ),
        (
            "run --config empty.toml --set kd.omega=1",
            &["kd.mode ", "train.steps "],
        ),
        (
            "compare --config empty.toml",
            &["output ", "seeds ", "baseline ", "arms ", "sets "],
        ),
        ("compare --config sets.toml", &["seeds ", "sets.name "]),
    ];
    for (line, keys) in cases {
        let mut command = saltworks_train();
        let command = command.args(line.split(' ')).current_dir(folder.path());
        let printed = fail_with(command, 2);
        for key in keys {
            assert!(
                printed.contains(&format!("\n  {key}")),
                "{line}: {key}: {printed}"
            );
        }
    }
}
