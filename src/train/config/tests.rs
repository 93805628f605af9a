use super::*;
use crate::config::text_override;
use crate::error::Classified;
use crate::tokens::{Packing, ViewOptions};
use crate::train::batch::KdLoss;
use crate::train::loss::{Gate, Teachers, TemperatureMode};
use proptest::prelude::*;
use std::path::Path;

/// The least that a run must say.
const MINIMAL: &str = "output = \"/runs/a\"\n\n[model]\nd_model = 64\nn_layers = 2\nn_heads = 4\nd_ff = 128\n\n\
    [data]\ntokens = \"/corpus\"\nseq_len = 32\n\n[train]\nsteps = 1000\nbatch_size = 8\n";

fn read_over(text: &str, overrides: &[&str]) -> Result<RunConfig, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    RunConfig::read(&path, &overrides)
}

fn minimal(overrides: &[&str]) -> RunConfig {
    read_over(MINIMAL, overrides).unwrap()
}

/// The error with its causes, as a binary prints it.
fn message_of(error: ConfigError) -> String {
    let error: &dyn std::error::Error = &error;
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(|cause| cause.to_string()).collect();
    causes.join(": ")
}

fn refusal(overrides: &[&str]) -> String {
    let validated = read_over(MINIMAL, overrides).and_then(|config| config.validate());
    let error = validated.unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Usage);
    message_of(error)
}

const SALT: [&str; 3] = ["kd.mode=salt", "data.labels=labels", "kd.n_kd=100"];

fn salt(more: &[&str]) -> RunConfig {
    minimal(&[SALT.as_slice(), more].concat())
}

fn salt_refusal(more: &[&str]) -> String {
    refusal(&[SALT.as_slice(), more].concat())
}

#[test]
fn a_minimal_configuration_is_valid() {
    let config = minimal(&[]);
    config.validate().unwrap();
    assert_eq!(config.kd.mode, Mode::Baseline);
    assert_eq!(config.schedule, ScheduleConfig::default());
}

#[test]
fn an_override_wins_over_the_file_and_a_later_one_over_it() {
    let config = minimal(&[
        "train.steps=2000",
        "train.steps = 3000",
        "train.batch_size=4",
    ]);
    assert_eq!((config.train.steps, config.train.batch_size), (3000, 4));
}

#[test]
fn overrides_need_no_quotes_for_words_and_paths() {
    let config = salt(&["schedule.lr=1e-4", "eval.every=0", "log.tensorboard=false"]);
    assert_eq!(config.kd.mode, Mode::Salt);
    assert_eq!(config.data.labels, Some("labels".into()));
    let config = minimal(&["data.labels=a path/with = and #.x", "output='quoted'"]);
    let labels = config.data.labels.unwrap();
    assert_eq!(labels, "a path/with = and #.x".into());
    assert_eq!(config.output, Path::new("quoted"));
}

#[test]
fn an_override_may_make_a_table_and_take_a_key_out() {
    let config = minimal(&[
        "model=",
        "init=hf",
        "optimizer={ beta1 = 0.8 }",
        "data.seq_len=",
    ]);
    assert_eq!((config.model, config.data.seq_len), (None, None));
    assert_eq!(config.init.as_deref(), Some(Path::new("hf")));
    assert_eq!(config.optimizer.beta1, 0.8);
    assert_eq!(config.optimizer.beta2, OptimizerConfig::default().beta2);
}

#[test]
fn a_flag_that_is_short_for_a_key_takes_any_text() {
    for text in ["2024", "true", "a \"b\" \\ c", "[x", "2024-01-01"] {
        let config = minimal(&[&text_override("output", text)]);
        assert_eq!(config.output, Path::new(text));
    }
}

#[test]
fn an_override_may_supply_or_fix_a_key() {
    let without_steps = MINIMAL.replace("steps = 1000\n", "");
    let wrong_steps = MINIMAL.replace("1000", "\"many\"");
    for text in [without_steps, wrong_steps] {
        assert!(read_over(&text, &[]).is_err());
        let config = read_over(&text, &["train.steps=7", "eval.every=1"]).unwrap();
        assert_eq!((config.train.steps, config.eval.every), (7, 1));
    }
}

#[test]
fn unknown_keys_are_refused_with_key_file_and_line() {
    let text = MINIMAL.replace("steps = 1000", "stepz = 1000");
    for overrides in [[].as_slice(), &["optimizer.eps=0.3"]] {
        let message = message_of(read_over(&text, overrides).unwrap_err());
        for part in ["run.toml", "line 14", "stepz", "`steps`"] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
}

#[test]
fn missing_keys_are_refused_by_name_all_at_once_with_or_without_overrides() {
    let text = MINIMAL.replace("steps = 1000\n", "");
    for overrides in [[].as_slice(), &["optimizer.eps=0.3"]] {
        let message = message_of(read_over(&text, overrides).unwrap_err());
        let words = [
            "train.steps is missing",
            "run.toml",
            "\n  train.steps  Optimizer steps",
        ];
        for part in words {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    let message = message_of(read_over("[kd]\nomega = 0.5\n[model]\nd_ff = 3", &[]).unwrap_err());
    let keys = [
        "output",
        "model.d_model",
        "model.n_layers",
        "model.n_heads",
        "data",
        "train.steps",
        "train.batch_size",
        "kd.mode",
    ];
    assert!(message.starts_with("8 options are missing"), "{message}");
    for key in keys {
        assert!(message.contains(&format!("\n  {key} ")), "{key}: {message}");
    }
    assert!(message.contains("How the teacher is used: baseline, rkd, salt, salt-ds, ds-ce"));
}

#[test]
fn paths_in_a_file_begin_at_the_file_and_those_set_where_the_program_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    let relative = MINIMAL.replace("\"/", "\"");
    std::fs::write(&path, &relative).unwrap();
    let config = RunConfig::read(&path, &["data.validation=v".to_owned()]).unwrap();
    assert_eq!(config.output, dir.path().join("runs/a"));
    assert_eq!(config.data.tokens, Some(dir.path().join("corpus")));
    assert_eq!(config.data.validation.as_deref(), Some(Path::new("v")));
    let recorded = config.recorded().unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(recorded.data.validation, Some(here.join("v")));
    assert_eq!(recorded.output, config.output);
    // What was recorded before: relative to where the program was started.
    let old = "# What this run does, every default filled in; it can be given as --config again.\n";
    std::fs::write(&path, format!("{old}\n{relative}")).unwrap();
    let config = RunConfig::read(&path, &[]).unwrap();
    assert_eq!(config.output, Path::new("runs/a"));
}

#[test]
fn wrong_overrides_are_refused_with_the_override_named() {
    let cases = [
        ("train.stepz=5", "unknown field `stepz`"),
        ("trian.steps=5", "unknown field `trian`"),
        ("train.steps=many", "invalid type: string \"many\""),
        ("train.steps=-1", "invalid value: integer `-1`"),
        ("kd.mode=sugar", "unknown variant `sugar`"),
        ("output=5", "invalid type: integer `5`"),
        ("train.steps.x=5", "train.steps is a value, not a table"),
        ("train.steps", "expected KEY=VALUE"),
        ("=5", "expected a dotted key"),
        ("train..steps=5", "expected a dotted key"),
        ("output=\"open", "close it"),
        ("model=[1, 2", "close it"),
    ];
    for (text, part) in cases {
        let error = read_over(MINIMAL, &["optimizer.eps=0.3", text]).unwrap_err();
        let message = message_of(error);
        assert!(
            message.contains(text) && message.contains(part),
            "{text}: {message}"
        );
    }
}

#[test]
fn of_two_overrides_the_wrong_one_is_named() {
    let message = message_of(read_over(MINIMAL, &["train.steps=5", "kd.omgea=1"]).unwrap_err());
    assert!(
        message.starts_with("--set kd.omgea=1: unknown field `omgea`"),
        "{message}"
    );
}

#[test]
fn taking_out_a_wrong_key_is_not_blamed_for_what_else_is_missing() {
    let text = MINIMAL.replace("steps = 1000", "stepz = 1000");
    let message = message_of(read_over(&text, &["train.stepz="]).unwrap_err());
    assert!(message.starts_with("train.steps is missing"), "{message}");
    let message = message_of(read_over(MINIMAL, &["train.steps="]).unwrap_err());
    assert!(message.starts_with("train.steps is missing"), "{message}");
    let message = message_of(read_over(MINIMAL, &["model={ d_model = 64 }"]).unwrap_err());
    assert!(message.starts_with("3 options are missing"), "{message}");
    let wrong = MINIMAL.replace("steps = 1000", "stepz = 1000\nstepy = 1000");
    let message = message_of(read_over(&wrong, &["train.stepz="]).unwrap_err());
    assert!(
        message.contains("run.toml is invalid") && message.contains("stepy"),
        "{message}"
    );
}

#[test]
fn an_unreadable_or_broken_file_is_refused_by_name() {
    let error = RunConfig::read(Path::new("no/such/run.toml"), &[]).unwrap_err();
    assert!(message_of(error).contains("no/such/run.toml"));
    let message = message_of(read_over("output = ", &["train.steps=5"]).unwrap_err());
    assert!(
        message.contains("run.toml") && message.contains("line 1"),
        "{message}"
    );
}

#[test]
fn values_out_of_range_are_refused_by_key() {
    let cases = [
        (
            "output=\"\"",
            "output is an empty one: expected a local path",
        ),
        (
            "output=hf://owner/run",
            "output is `hf://owner/run`: expected a local path, or a URL of s3://",
        ),
        (
            "data.labels=~/labels",
            "data.labels is `~/labels`: expected a local path",
        ),
        (
            "data.tokens=s4://bucket/x",
            "data.tokens is `s4://bucket/x`: expected",
        ),
        ("train.steps=0", "train.steps is 0: expected at least 1"),
        ("train.batch_size=0", "train.batch_size is 0"),
        (
            "train.micro_batch_size=3",
            "train.micro_batch_size is 3: expected a divisor of train.batch_size, 8",
        ),
        ("train.micro_batch_size=0", "train.micro_batch_size is 0"),
        ("train.threads=0", "train.threads is 0"),
        ("train.memory_limit=0", "train.memory_limit is 0"),
        ("data.seq_len=0", "data.seq_len is 0"),
        ("data.label_epochs=0", "data.label_epochs is 0"),
        ("data.token_epochs=0", "data.token_epochs is 0"),
        ("data.shuffle_row_groups=0", "data.shuffle_row_groups is 0"),
        (
            "data.prefetch=0",
            "data.prefetch is 0: expected from 1 to 1024",
        ),
        ("data.prefetch=1025", "data.prefetch is 1025"),
        ("schedule.lr=0", "schedule.lr is 0"),
        ("schedule.lr=nan", "schedule.lr is NaN"),
        (
            "schedule.warmup_steps=1001",
            "schedule.warmup_steps is 1001: expected at most train.steps, 1000",
        ),
        ("schedule.min_lr=1", "schedule.min_lr is 1"),
        ("schedule.min_lr=-0.1", "schedule.min_lr is -0.1"),
        (
            "schedule.decay_steps=5",
            "schedule.decay_steps is 5: expected no such key",
        ),
        ("optimizer.beta1=1", "optimizer.beta1 is 1"),
        ("optimizer.beta2=-0.5", "optimizer.beta2 is -0.5"),
        ("optimizer.eps=0", "optimizer.eps is 0"),
        ("optimizer.weight_decay=-1", "optimizer.weight_decay is -1"),
        ("optimizer.grad_clip=inf", "optimizer.grad_clip is inf"),
        ("checkpoint.keep_last=0", "checkpoint.keep_last is 0"),
        ("checkpoint.keep_steps=[1, 0]", "checkpoint.keep_steps is 0"),
        ("log.every=0", "log.every is 0"),
        (
            "model.n_heads=3",
            "model.n_heads is 3: expected a divisor of d_model, 64",
        ),
        ("model.n_heads=0", "model.n_heads is 0"),
        ("model.n_kv_heads=3", "model.n_kv_heads is 3"),
        ("model.head_dim=7", "model.head_dim is 7"),
        ("model.d_ff=0", "model.d_ff is 0"),
        (
            "model.max_seq_len=31",
            "model.max_seq_len is 31: expected at least data.seq_len, 32",
        ),
    ];
    for (text, part) in cases {
        let message = refusal(&[text]);
        assert!(
            message.starts_with(part) && message.contains("; "),
            "{text}: {message}"
        );
    }
}

#[test]
fn ranges_that_need_two_keys_are_refused() {
    for (text, part) in [
        ("kd.omega=1.5", "kd.omega is 1.5"),
        ("kd.tau=0", "kd.tau is 0"),
        ("kd.tau=101", "kd.tau is 101"),
    ] {
        let message = salt_refusal(&[text]);
        assert!(message.starts_with(part), "{text}: {message}");
    }
    for fraction in ["0", "1", "-0.1", "nan"] {
        let set = format!("kd.gate_fraction={fraction}");
        let message = salt_refusal(&["kd.gate=entropy", &set]);
        assert!(message.starts_with("kd.gate_fraction is"), "{message}");
    }
    let message = salt_refusal(&["kd.gate=learnable", "kd.gate_k=0"]);
    assert!(message.starts_with("kd.gate_k is 0"), "{message}");
    let message = refusal(&["schedule.shape=constant", "schedule.min_lr=0"]);
    assert!(
        message.starts_with("schedule.min_lr is 0: expected no such key"),
        "{message}"
    );
    let message = refusal(&["schedule.shape=wsd", "schedule.decay_steps=901"]);
    assert!(
        message.contains("at most 900, the steps after warm-up"),
        "{message}"
    );
    minimal(&["schedule.shape=wsd", "schedule.decay_steps=900"])
        .validate()
        .unwrap();
    let message = refusal(&["schedule.shape=wsd", "schedule.decay_steps=0"]);
    assert!(
        message.starts_with("schedule.decay_steps is 0: expected at least 1"),
        "{message}"
    );
    let message = refusal(&["schedule.shape=wsd", "schedule.warmup_steps=1000"]);
    assert!(
        message.starts_with("schedule.warmup_steps is 1000: expected fewer than train.steps"),
        "{message}"
    );
    minimal(&["model.n_heads=3", "model.head_dim=8"])
        .validate()
        .unwrap();
}

#[test]
fn a_run_has_a_model_or_a_directory_to_start_from_and_not_both() {
    assert!(refusal(&["model="]).starts_with("model is missing"));
    assert!(refusal(&["init=hf"]).starts_with("init is hf: expected no [model] with it"));
    minimal(&["model=", "init=hf"]).validate().unwrap();
}

#[test]
fn each_mode_must_have_what_it_reads() {
    assert!(refusal(&["data.tokens="]).starts_with("data.tokens is missing"));
    for mode in ["rkd", "salt", "salt-ds", "ds-ce"] {
        let message = refusal(&[&format!("kd.mode={mode}")]);
        assert!(message.starts_with("data.labels is missing"), "{message}");
        assert!(message.contains(mode), "{message}");
    }
    for mode in ["kd.mode=salt-ds", "kd.mode=ds-ce"] {
        let message = salt_refusal(&[mode]);
        assert!(
            message.starts_with("data.selection is missing"),
            "{message}"
        );
        salt(&[mode, "data.selection=s.parquet"])
            .validate()
            .unwrap();
    }
    let message = salt_refusal(&["data.selection=s.parquet"]);
    assert!(
        message.starts_with("data.selection is s.parquet: expected no selection"),
        "{message}"
    );
}

#[test]
fn stage_1_must_have_a_length_and_what_follows_must_have_tokens() {
    assert!(salt_refusal(&["kd.n_kd="]).starts_with("kd.n_kd is missing"));
    assert!(salt_refusal(&["kd.n_kd=0"]).starts_with("kd.n_kd is 0"));
    assert!(salt_refusal(&["kd.n_kd=1001"]).starts_with("kd.n_kd is 1001: expected from 1 to"));
    assert!(salt_refusal(&["data.tokens="]).starts_with("data.tokens is missing"));
    salt(&["data.tokens=", "kd.n_kd=1000"]).validate().unwrap();
    let linear = [
        "data.tokens=",
        "kd.n_kd=900",
        "kd.transition=linear",
        "kd.decay_steps=100",
    ];
    salt(&linear).validate().unwrap();
    let short = [linear.as_slice(), &["kd.decay_steps=99"]].concat();
    assert!(salt_refusal(&short).starts_with("data.tokens is missing"));
    let auto = ["data.tokens=", "kd.n_kd=1000", "kd.transition=auto"];
    assert!(salt_refusal(&auto).starts_with("data.tokens is missing"));
}

#[test]
fn keys_of_another_transition_are_refused() {
    for key in ["kd.min_kd=5", "kd.running_steps=5", "kd.decay_steps=5"] {
        let (name, _) = key.split_once('=').unwrap();
        let message = salt_refusal(&[key]);
        assert!(
            message.starts_with(&format!("{name} is 5: expected no such key")),
            "{message}"
        );
        assert!(message.contains(&format!("--set {name}= ")), "{message}");
    }
    salt(&["kd.transition=auto", "kd.min_kd=5", "kd.running_steps=5"])
        .validate()
        .unwrap();
    assert!(salt_refusal(&["kd.transition=auto", "kd.min_kd=101"]).starts_with("kd.min_kd is 101"));
    assert!(
        salt_refusal(&["kd.transition=auto", "kd.decay_steps=5"]).starts_with("kd.decay_steps")
    );
    assert!(salt_refusal(&["kd.transition=linear", "kd.min_kd=5"]).starts_with("kd.min_kd"));
}

#[test]
fn a_mode_with_one_stage_has_no_length_of_stage_1() {
    let rkd = ["kd.mode=rkd", "data.labels=labels", "data.tokens="];
    minimal(&rkd).validate().unwrap();
    let message = refusal(&[rkd.as_slice(), &["kd.n_kd=5"]].concat());
    assert!(
        message.starts_with("kd.n_kd is 5: expected no such key"),
        "{message}"
    );
    let message = refusal(&[rkd.as_slice(), &["kd.transition=auto"]].concat());
    assert!(message.starts_with("kd.transition is auto"), "{message}");
    assert!(
        refusal(&["kd.mode=baseline", "kd.n_kd=5"])
            .starts_with("kd.n_kd is 5: expected no such key without data.labels")
    );
}

#[test]
fn tokens_that_no_step_would_read_are_refused() {
    let rkd = ["kd.mode=rkd", "data.labels=labels"];
    let message = refusal(&rkd);
    assert!(
        message.starts_with("data.tokens is /corpus: expected no tokens with kd.mode rkd"),
        "{message}"
    );
    minimal(&[rkd.as_slice(), &["data.tokens="]].concat())
        .validate()
        .unwrap();
}

#[test]
fn a_kd_table_without_a_mode_is_refused_wherever_its_keys_are_from() {
    let in_file = format!("{MINIMAL}\n[kd]\nomega = 0.5\n");
    let empty = format!("{MINIMAL}\n[kd]\n");
    let cases: [(&str, &[&str]); 4] = [
        (&in_file, &[]),
        (&empty, &[]),
        (&in_file, &["train.steps=5"]),
        (MINIMAL, &["kd.omega=0.5"]),
    ];
    for (text, overrides) in cases {
        let error = read_over(text, overrides).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Usage);
        let message = message_of(error);
        assert!(message.starts_with("kd.mode is missing"), "{message}");
    }
    let taken_out = read_over(&in_file, &["kd="]).unwrap();
    assert_eq!(taken_out.kd, KdConfig::default());
    let config = read_over(&in_file, &["kd.mode=baseline"]).unwrap();
    assert_eq!((config.kd.mode, config.kd.omega), (Mode::Baseline, 0.5));
}

#[test]
fn the_end_of_stage_1_by_the_teacher_needs_a_teacher() {
    let auto = ["kd.transition=auto", "kd.omega=0"];
    let message = salt_refusal(&auto);
    assert!(
        message.starts_with("kd.omega is 0: expected more than 0 with kd.transition auto"),
        "{message}"
    );
    salt(&["kd.omega=0"]).validate().unwrap();
}

#[test]
fn the_default_warm_up_is_a_tenth_of_a_short_run() {
    let of_steps = |steps: u64| {
        let config = minimal(&[&format!("train.steps={steps}")]);
        config.resolve(None).unwrap().schedule.warmup_steps
    };
    assert_eq!(
        [5, 60, 1000, 9000].map(of_steps),
        [Some(0), Some(6), Some(100), Some(100)]
    );
}

#[test]
fn the_examples_are_valid_as_they_stand() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for (name, mode) in [("slm.toml", Mode::Baseline), ("llm.toml", Mode::Salt)] {
        let config = RunConfig::read(&examples.join(name), &[]).unwrap();
        config.validate().unwrap();
        assert_eq!(config.kd.mode, mode);
    }
    let control = ["kd.mode=baseline".to_owned()];
    let control = RunConfig::read(&examples.join("llm.toml"), &control).unwrap();
    control.validate().unwrap();
}

#[test]
fn a_baseline_may_read_the_same_sequences_as_the_mode_it_is_compared_with() {
    salt(&["kd.mode=baseline"]).validate().unwrap();
    salt(&["kd.mode=baseline", "kd.n_kd=", "data.tokens="])
        .validate()
        .unwrap();
    assert!(salt_refusal(&["kd.mode=baseline", "kd.n_kd="]).starts_with("kd.n_kd is missing"));
    let message = salt_refusal(&["kd.mode=baseline", "kd.transition=auto"]);
    assert!(
        message.starts_with("kd.transition is auto: expected step or linear"),
        "{message}"
    );
}

#[test]
fn resolving_fills_in_every_default() {
    let config = minimal(&["train.threads=3"]).resolve(None).unwrap();
    let model = config.model.as_ref().unwrap();
    assert_eq!(
        (model.n_kv_heads, model.head_dim, model.max_seq_len),
        (Some(4), Some(16), Some(32))
    );
    assert_eq!((model.rope_theta, model.norm_eps), (Some(1e4), Some(1e-5)));
    assert_eq!(
        (config.train.micro_batch_size, config.train.threads),
        (Some(8), Some(3))
    );
    assert_eq!(
        (config.schedule.min_lr, config.schedule.decay_steps),
        (Some(1e-4), None)
    );
    assert_eq!(config.schedule.warmup_steps, Some(100));
    assert_eq!(
        (config.data.packing, config.data.prefetch),
        (Some(Packing::Concat), Some(4))
    );
    let wsd = minimal(&["schedule.shape=wsd"]).resolve(None).unwrap();
    assert_eq!(
        (wsd.schedule.min_lr, wsd.schedule.decay_steps),
        (Some(0.0), Some(200))
    );
    let auto = salt(&["kd.transition=auto"]).resolve(None).unwrap();
    assert_eq!(
        (auto.kd.min_kd, auto.kd.running_steps, auto.kd.decay_steps),
        (Some(10), Some(50), None)
    );
    let linear = salt(&["kd.transition=linear"]).resolve(None).unwrap();
    assert_eq!((linear.kd.min_kd, linear.kd.decay_steps), (None, Some(10)));
}

#[test]
fn sequences_are_cut_as_the_labels_say() {
    let view = LabelsView {
        sequences: ViewOptions {
            packing: Packing::Document,
            seq_len: 48,
            sequence_bos: Some(1),
        },
        has_samples: false,
    };
    let config = salt(&["data.seq_len="]).resolve(Some(&view)).unwrap();
    assert_eq!(config.data.seq_len, Some(48));
    assert_eq!(
        (config.data.packing, config.data.sequence_bos),
        (Some(Packing::Document), Some(1))
    );
    assert_eq!(config.model.unwrap().max_seq_len, Some(48));
    for (text, part) in [
        (
            "data.seq_len=32",
            "data.seq_len is 32: expected the labels' 48",
        ),
        (
            "data.packing=concat",
            "data.packing is Concat: expected the labels' Document",
        ),
        (
            "data.sequence_bos=2",
            "data.sequence_bos is 2: expected the labels' 1",
        ),
    ] {
        let error = salt(&["data.seq_len=", text])
            .resolve(Some(&view))
            .unwrap_err();
        assert!(message_of(error).starts_with(part));
    }
    assert!(
        message_of(salt(&["data.seq_len="]).resolve(None).unwrap_err())
            .starts_with("data.seq_len is missing")
    );
    let short = salt(&["data.seq_len=", "model.max_seq_len=40"]).resolve(Some(&view));
    assert!(message_of(short.unwrap_err()).starts_with("model.max_seq_len is 40"));
}

#[test]
fn the_loss_is_the_unbiased_one_where_labels_hold_draws_unless_another_is_named() {
    let labels = |has_samples| LabelsView {
        sequences: ViewOptions {
            packing: Packing::Concat,
            seq_len: 32,
            sequence_bos: None,
        },
        has_samples,
    };
    let resolved = |keys: &[&str], of_labels: Option<&LabelsView>| {
        let config = salt(&[&["data.seq_len=32"], keys].concat());
        config.resolve(of_labels).unwrap()
    };
    let with = resolved(&[], Some(&labels(true)));
    assert_eq!(with.kd.loss, Some(KdLoss::Sampled));
    assert!(with.to_toml().unwrap().contains("loss = \"sampled\""));
    for of_labels in [Some(&labels(false)), None] {
        assert_eq!(resolved(&[], of_labels).kd.loss, Some(KdLoss::TailBucket));
    }
    let named = resolved(&["kd.loss=drop"], Some(&labels(true)));
    assert_eq!(named.kd.loss, Some(KdLoss::Drop));
}

#[test]
fn a_model_takes_its_vocabulary_and_length_from_the_run() {
    let model = minimal(&["model.n_kv_heads=2", "model.tie_embeddings=true"])
        .model
        .unwrap();
    let spec = model.spec(512, 32);
    assert_eq!(
        (
            spec.vocab_size,
            spec.max_seq_len,
            spec.head_dim,
            spec.n_kv_heads
        ),
        (512, 32, 16, 2)
    );
    assert!(spec.tie_embeddings);
    spec.validate().unwrap();
}

/// The key on which `now` is not the run that `begun` began, with both values.
fn difference(now: &RunConfig, begun: &RunConfig) -> Option<(String, String, String)> {
    match now.check_resumes(begun, Path::new("runs/a"), &[]) {
        Ok(()) => None,
        Err(ConfigError::OtherRun {
            key, ours, theirs, ..
        }) => Some((key, ours, theirs)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn only_keys_that_change_nothing_learnt_may_change_on_resume() {
    let begun = salt(&[]).resolve(None).unwrap();
    let free = [
        "output=elsewhere",
        "log.every=1",
        "checkpoint.every=7",
        "eval.sequences=0",
        "data.prefetch=9",
        "train.memory_limit=1000000000",
    ];
    for text in free {
        let now = salt(&[text]).resolve(None).unwrap();
        assert_eq!(difference(&now, &begun), None, "{text}");
    }
    let fixed = [
        ("train.steps=2000", "train.steps"),
        ("train.seed=1", "train.seed"),
        ("kd.omega=0.4", "kd.omega"),
        ("optimizer.beta2=0.99", "optimizer.beta2"),
        ("data.tokens=other", "data.tokens"),
        ("model.d_ff=64", "model.d_ff"),
        ("schedule.shape=linear", "schedule.shape"),
        ("train.micro_batch_size=4", "train.micro_batch_size"),
        ("data.tokenizer=t.json", "data.tokenizer"),
    ];
    for (text, key) in fixed {
        let now = salt(&[text]).resolve(None).unwrap();
        let (differing, ..) = difference(&now, &begun).unwrap();
        assert_eq!(differing, key);
        let message = message_of(
            now.check_resumes(&begun, Path::new("runs/a"), &[])
                .unwrap_err(),
        );
        assert!(
            message.contains(key) && message.contains("runs/a"),
            "{message}"
        );
    }
    let now = salt(&["data.tokenizer=t.json"]).resolve(None).unwrap();
    let (_, ours, theirs) = difference(&now, &begun).unwrap();
    assert_eq!((&*ours, &*theirs), ("\"t.json\"", "not set"));
}

#[test]
fn a_path_that_was_recorded_relative_is_the_same_where_the_run_was_begun_and_nowhere_else() {
    let now = salt(&["init=", "data.tokens=t"]).resolve(None).unwrap();
    let mut begun = now.recorded().unwrap();
    assert_eq!(difference(&now, &begun), None);
    begun.data.tokens = Some("t".into());
    assert_eq!(difference(&begun, &now.recorded().unwrap()), None);
    let elsewhere = salt(&["data.tokens=/elsewhere/t"]).resolve(None).unwrap();
    let (key, _, theirs) = difference(&elsewhere, &begun).unwrap();
    assert_eq!(key, "data.tokens");
    assert!(theirs.contains("resume it from there"), "{theirs}");
}

#[test]
fn a_default_that_followed_another_key_is_not_named_in_its_place() {
    let begun = salt(&["schedule.shape=wsd"]).resolve(None).unwrap();
    let now = salt(&["schedule.shape=wsd", "train.steps=2000"]);
    let now = now.resolve(None).unwrap();
    assert_ne!(now.schedule.decay_steps, begun.schedule.decay_steps);
    let (key, ..) = difference(&now, &begun).unwrap();
    assert_eq!(key, "train.steps");
}

#[test]
fn a_run_of_before_there_was_a_margin_goes_on_with_the_default_one_only() {
    let auto = |more: &[&str]| {
        let keys = [&["kd.transition=auto"], more].concat();
        salt(&keys).resolve(None).unwrap()
    };
    let mut begun = auto(&[]);
    assert_eq!(begun.kd.auto_margin, Some(0.0));
    begun.kd.auto_margin = None;
    assert_eq!(difference(&auto(&[]), &begun), None);
    let other = auto(&["kd.auto_margin=-0.5"]);
    let (key, ours, _) = difference(&other, &begun).unwrap();
    assert_eq!((&*key, &*ours), ("kd.auto_margin", "-0.5"));
}

#[test]
fn a_margin_needs_auto_and_boundaries_must_increase() {
    let message = salt_refusal(&["kd.auto_margin=0.1"]);
    assert!(message.starts_with("kd.auto_margin is 0.1"), "{message}");
    let auto = ["kd.transition=auto", "kd.auto_margin=inf"];
    assert!(salt_refusal(&auto).contains("a finite number"));
    let message = refusal(&["log.bucket_borders=[4, 1]"]);
    assert!(
        message.starts_with("log.bucket_borders is [4, 1]"),
        "{message}"
    );
    let resolved = minimal(&["log.bucket_borders=[0.5, 2.5]"])
        .resolve(None)
        .unwrap();
    assert_eq!(resolved.log.bucket_borders, Some([0.5, 2.5]));
    let resolved = minimal(&[]).resolve(None).unwrap();
    assert_eq!(resolved.log.bucket_borders, Some([2.0, 5.0]));
}

#[test]
fn a_branch_may_differ_from_its_trunk_in_its_end_alone() {
    let of_trunk = ["schedule.shape=constant", "schedule.warmup_steps=50"];
    let trunk = salt(&of_trunk).resolve(None).unwrap();
    let branch = |more: &[&str]| {
        let of_branch = ["branch_from=runs/a/checkpoints/step-400", "train.steps=600"];
        let keys = [&of_trunk[..], &of_branch, more].concat();
        let branch = salt(&keys).resolve(None).unwrap();
        let checkpoint = Path::new("runs/a/checkpoints/step-400");
        branch
            .check_branches(&trunk, 400, checkpoint, &[])
            .map_err(message_of)
    };
    let wsd = ["schedule.shape=wsd", "schedule.decay_steps=200"];
    branch(&wsd).unwrap();
    branch(
        &[
            &wsd[..],
            &["schedule.min_lr=1e-5", "eval.every=7", "model="],
        ]
        .concat(),
    )
    .unwrap();
    // 201 steps of fall still leave the first 400 steps alone, 202 do not.
    branch(&["schedule.shape=wsd", "schedule.decay_steps=201"]).unwrap();
    let late = branch(&["schedule.shape=wsd", "schedule.decay_steps=202"]).unwrap_err();
    assert!(
        late.contains("step 400") && late.contains("at most 201"),
        "{late}"
    );
    let message = branch(&[&wsd[..], &["kd.tau=2"]].concat()).unwrap_err();
    assert!(message.contains("kd.tau is 2.0, but 1.0"), "{message}");
    let message = branch(&["train.steps=400"]).unwrap_err();
    assert!(message.contains("train.steps is 400"), "{message}");
}

fn any_config() -> impl Strategy<Value = RunConfig> {
    let mode = prop_oneof![
        Just(Mode::Baseline),
        Just(Mode::Rkd),
        Just(Mode::Salt),
        Just(Mode::SaltDs),
        Just(Mode::DsCe),
    ];
    let transition = prop_oneof![
        Just(TransitionKind::Step),
        Just(TransitionKind::Linear),
        Just(TransitionKind::Auto),
    ];
    let shape = prop_oneof![
        Just(LrShape::Constant),
        Just(LrShape::Linear),
        Just(LrShape::Cosine),
        Just(LrShape::Wsd),
    ];
    let numbers = (
        1..100_000u64,
        0..(i64::MAX as u64),
        0.0..=1.0f64,
        1e-9..1.0f64,
        0.0..1.0f32,
    );
    let words = ("[.]/\\PC{0,12}", any::<bool>(), any::<bool>(), 1..500u32);
    (mode, transition, shape, numbers, words).prop_map(
        |(
            mode,
            transition,
            shape,
            (steps, seed, omega, lr, beta),
            (path, flag, has_init, seq_len),
        )| {
            let mut config = minimal(&[]);
            config.train.steps = steps;
            config.train.seed = seed;
            config.optimizer.beta1 = beta;
            config.optimizer.eps = beta / 3.0 + 1e-12;
            config.schedule = ScheduleConfig {
                lr,
                shape,
                warmup_steps: flag.then_some(steps / 7),
                ..config.schedule
            };
            config.data.tokens = (mode != Mode::Rkd).then(|| path.into());
            config.data.seq_len = Some(seq_len);
            config.data.labels = (mode != Mode::Baseline).then(|| "labels".into());
            let selects = matches!(mode, Mode::SaltDs | Mode::DsCe);
            config.data.selection = selects.then(|| "s.parquet".into());
            let is_staged = selects || mode == Mode::Salt;
            let is_free = is_staged && !(mode == Mode::DsCe && transition == TransitionKind::Auto);
            let is_auto = is_free && transition == TransitionKind::Auto;
            config.kd = KdConfig {
                mode,
                omega: if is_auto { omega.max(1e-9) } else { omega },
                loss: flag.then_some(KdLoss::Drop),
                gate: if flag { Gate::Learnable } else { Gate::None },
                temperature_mode: if flag {
                    TemperatureMode::Both
                } else {
                    TemperatureMode::Teacher
                },
                transition: if is_free {
                    transition
                } else {
                    TransitionKind::Step
                },
                n_kd: is_staged.then_some(1 + seed % steps),
                ..KdConfig::default()
            };
            if has_init {
                (config.model, config.init) = (None, Some("hf".into()));
            }
            config
        },
    )
}

proptest! {
    #[test]
    fn a_resolved_configuration_reads_back_as_itself_and_resolves_to_itself(config in any_config()) {
        let resolved = config.resolve(None).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        resolved.write(&path).unwrap();
        let again = RunConfig::read(&path, &[]).unwrap();
        let recorded = resolved.recorded().unwrap();
        prop_assert_eq!(&again, &recorded);
        prop_assert_eq!(difference(&again, &resolved), None);
        let through_a_table = RunConfig::read(&path, &["log.every=10".to_owned()]).unwrap();
        prop_assert_eq!(&through_a_table, &recorded);
        prop_assert_eq!(again.resolve(None).unwrap(), recorded);
    }
}

#[test]
fn runs_of_before_the_gate_excess_had_the_default_fraction() {
    let now = salt(&["kd.gate=entropy"]).resolve(None).unwrap();
    let mut begun = now.clone();
    begun.kd.gate_fraction = None;
    assert_eq!(difference(&now, &begun), None);
    let other = salt(&["kd.gate=entropy", "kd.gate_fraction=0.2"]);
    let (key, ..) = difference(&other.resolve(None).unwrap(), &begun).unwrap();
    assert_eq!(key, "kd.gate_fraction");
    let excess = salt(&["kd.gate=excess"]).resolve(None).unwrap();
    assert_eq!(excess.kd.gate_fraction, Some(0.4));
}

#[test]
fn several_labels_are_a_list_with_weights_and_one_may_be_either() {
    let both = ["data.labels=[\"a\", \"b\"]", "kd.teacher_weights=[1, 3]"];
    let resolved = salt(&both).resolve(None).unwrap();
    let labels = resolved.data.labels.as_ref().unwrap();
    assert_eq!(labels.all(), [Path::new("a"), Path::new("b")]);
    assert_eq!(resolved.kd.joining(2).weights, [0.25, 0.75]);
    let equal = salt(&both[..1]).resolve(None).unwrap();
    assert_eq!(equal.kd.teacher_weights, Some(vec![1.0, 1.0]));
    let (key, ..) = difference(&equal, &resolved).unwrap();
    assert_eq!(key, "kd.teacher_weights");
    let swapped = salt(&["data.labels=[\"b\", \"a\"]"]).resolve(None).unwrap();
    let (key, ..) = difference(&swapped, &equal).unwrap();
    assert_eq!(key, "data.labels");
    let one = salt(&["data.labels=a"]).resolve(None).unwrap();
    let of_list = salt(&["data.labels=[\"a\"]"]).resolve(None).unwrap();
    assert_eq!(difference(&of_list, &one), None);
    assert_eq!(of_list.kd.teacher_weights, None);
}

#[test]
fn keys_for_several_teachers_need_several_teachers() {
    let both = "data.labels=[\"a\", \"b\"]";
    for (keys, words) in [
        (&["data.labels=[]"][..], "data.labels is 0 of them"),
        (
            &["kd.teachers=lower-nll"],
            "kd.teachers is lower-nll: expected no such key",
        ),
        (
            &["kd.teacher_weights=[1]"],
            "kd.teacher_weights is [1.0]: expected no such key",
        ),
        (
            &[both, "kd.teacher_weights=[1]"],
            "a weight for each of the 2 in data.labels",
        ),
        (
            &[both, "kd.teacher_weights=[0, 0.0]"],
            "at least one is above 0",
        ),
        (
            &[both, "kd.teacher_weights=[1, nan]"],
            "kd.teacher_weights is NaN",
        ),
        (
            &[both, "kd.teachers=lower-nll", "kd.teacher_weights=[1, 1]"],
            "which belongs to kd.teachers = \"mix\"",
        ),
    ] {
        let message = salt(keys).resolve(None).unwrap_err().to_string();
        assert!(message.contains(words), "{keys:?}: {message}");
    }
    let message = salt(&[both]).resolve(None).map(|config| config.kd.teachers);
    assert_eq!(message.unwrap(), Teachers::Mix);
}
