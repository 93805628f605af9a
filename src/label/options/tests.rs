use super::*;
use crate::config::{ConfigFileError, Layers, Typed};

fn minimal() -> LabelOptions {
    LabelOptions {
        teacher: Some("m.onnx".into()),
        tokens: Some("tokens".into()),
        output: Some("labels".into()),
        seq_len: Some(256),
        ..Default::default()
    }
}

fn message(options: LabelOptions) -> String {
    options.resolve().unwrap_err().to_string()
}

#[test]
fn minimal_options_resolve_to_the_defaults() {
    let config = minimal().resolve().unwrap();
    assert_eq!(
        (
            config.options.top_k,
            config.options.round,
            config.options.order_seed.seed()
        ),
        (64, Rounding::M5, Some(0))
    );
    assert_eq!(config.groups, [Group::Scores, Group::Stats, Group::Topk]);
    assert_eq!(
        (config.range, config.task),
        (SequenceRange::All, Task::WHOLE)
    );
}

/// Flags, parsed as `label` parses them.
fn typed(flags: &[&str]) -> Typed<LabelOptions> {
    use clap::{Args, FromArgMatches};
    let command = Typed::<LabelOptions>::augment_args(clap::Command::new("label"));
    let matches = command.try_get_matches_from([&["label"], flags].concat());
    Typed::from_arg_matches(&matches.unwrap()).unwrap()
}

/// Flags over `--set` over a file.
fn layered(file: &str, set: &[&str], flags: &[&str]) -> Result<LabelOptions, ConfigFileError> {
    let set: Vec<String> = set.iter().map(|&text| text.to_owned()).collect();
    let layers = Layers::of_text(file, Path::new("label.toml"), &set)?;
    typed(flags).over_layers(layers)
}

#[test]
fn flags_win_over_set_that_over_the_file_and_the_file_over_the_default() {
    let file = "top_k = 16\nround = \"bf16\"\nsequences = \"3..9\"\nzstd_level = 5";
    let flags = ["--top-k", "8", "--max-sequences", "5"];
    let options = layered(file, &["top_k=9", "round=f16", "zstd_level="], &flags).unwrap();
    assert_eq!((options.top_k, options.round), (8, Rounding::F16));
    assert_eq!(options.zstd_level, DEFAULT_ZSTD_LEVEL);
    // The two ways of giving a part of the corpus are one choice.
    assert_eq!((options.sequences, options.max_sequences), (None, Some(5)));
    let alone = typed(&flags).over(None, &[]).unwrap();
    assert_eq!((alone.top_k, alone.round), (8, Rounding::M5));
    // A flag typed with its default value still counts as typed.
    assert_eq!(
        layered("top_k = 16", &[], &["--top-k", "64"])
            .unwrap()
            .top_k,
        64
    );
}

#[test]
fn every_option_has_the_default_of_its_flag_in_a_file_too() {
    assert_eq!(layered("", &[], &[]).unwrap(), LabelOptions::default());
    assert_eq!(typed(&[]).over(None, &[]).unwrap(), LabelOptions::default());
}

#[test]
fn an_unknown_key_is_refused_by_name_and_place() {
    let error = layered("top_q = 16", &[], &[]).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("top_q"), "{source}");
    let error = layered("", &["top_q=16"], &[]).unwrap_err().to_string();
    assert!(error.contains("--set top_q=16"), "{error}");
    let error = layered("output = 's4://b/l'", &[], &[])
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("output is `s4://b/l`"), "{error}");
}

#[test]
fn every_missing_option_is_named_with_its_description() {
    let message = message(LabelOptions::default());
    let lines = [
        "4 options are missing",
        "\n  teacher (--teacher)  The teacher",
        "\n  tokens (--tokens)    Token corpus",
        "\n  output (--output)    Directory to write labels to",
        "\n  seq_len (--seq-len)  Sequence length T",
    ];
    for line in lines {
        assert!(message.contains(line), "{line}\n{message}");
    }
}

#[test]
fn paths_in_a_file_begin_at_the_file_and_typed_ones_where_the_program_does() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("label.toml");
    std::fs::write(
        &file,
        "teacher = \"m.onnx\"\ntokens = \"../t\"\noutput = \"/whole\"",
    )
    .unwrap();
    let set = ["selection=s.parquet".to_owned()];
    let options = typed(&["--tokenizer", "t.json"])
        .over(Some(&file), &set)
        .unwrap();
    assert_eq!(options.teacher, Some(dir.path().join("m.onnx")));
    assert_eq!(options.tokens, Some(dir.path().join("../t")));
    assert_eq!(options.output.as_deref(), Some(Path::new("/whole")));
    assert_eq!(options.selection.as_deref(), Some(Path::new("s.parquet")));
    assert_eq!(options.tokenizer.as_deref(), Some(Path::new("t.json")));
}

#[test]
fn ranges_and_tasks_are_read_or_refused() {
    let range = |text: &str| LabelOptions {
        sequences: Some(text.into()),
        ..minimal()
    };
    assert_eq!(
        range("5..9").resolve().unwrap().range,
        SequenceRange::Between(5, 9)
    );
    for bad in ["9..5", "5..5", "5", "..", "a..b", "-1..4"] {
        assert!(message(range(bad)).contains("--sequences"), "{bad}");
    }
    let task = |text: &str| LabelOptions {
        task: Some(text.into()),
        ..minimal()
    };
    assert_eq!(
        task("2/4").resolve().unwrap().task,
        Task { index: 2, count: 4 }
    );
    for bad in ["4/4", "1", "0/0", "x/y"] {
        assert!(message(task(bad)).contains("--task"), "{bad}");
    }
}

#[test]
fn the_order_seed_is_a_number_or_none_in_flags_and_in_files() {
    assert_eq!("none".parse(), Ok(OrderSeed::Word(NoneWord::None)));
    assert_eq!("12".parse(), Ok(OrderSeed::Seed(12)));
    assert!("twelve".parse::<OrderSeed>().is_err());
    let options = layered("order_seed = \"none\"", &[], &[]).unwrap();
    assert_eq!(options.order_seed.seed(), None);
}

#[test]
fn impossible_values_are_refused_with_the_flag_named() {
    assert!(
        message(LabelOptions {
            seq_len: Some(0),
            ..minimal()
        })
        .contains("--seq-len")
    );
    assert!(
        message(LabelOptions {
            top_k: 0,
            ..minimal()
        })
        .contains("--top-k")
    );
    assert!(
        message(LabelOptions {
            teacher: None,
            ..minimal()
        })
        .contains("--teacher")
    );
    for bad in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
        let options = LabelOptions {
            temperatures: vec![bad],
            ..minimal()
        };
        assert!(message(options).contains("--temperatures"));
    }
    let twice = LabelOptions {
        temperatures: vec![2.0, 2.0],
        ..minimal()
    };
    assert!(message(twice).contains("different"));
}

#[test]
fn a_number_of_draws_asks_for_the_group_and_the_group_has_a_number() {
    let by_number = LabelOptions {
        samples: Some(20),
        ..minimal()
    };
    let config = by_number.resolve().unwrap();
    let all = [Group::Scores, Group::Stats, Group::Topk, Group::Samples];
    assert_eq!(config.groups, all);
    let sampling = |n_draws, tau, seed| Some(Sampling { n_draws, tau, seed });
    assert_eq!(config.sampling, sampling(20, 1.0, 0));
    let by_group = LabelOptions {
        groups: Some(vec![Group::Samples]),
        samples_tau: Some(2.0),
        samples_seed: Some(9),
        ..minimal()
    };
    let config = by_group.resolve().unwrap();
    assert_eq!(config.groups, [Group::Scores, Group::Samples]);
    assert_eq!(config.sampling, sampling(50, 2.0, 9));
    assert_eq!(minimal().resolve().unwrap().sampling, None);
}

#[test]
fn settings_of_draws_without_the_group_and_impossible_ones_are_refused_by_name() {
    let without: [fn(&mut LabelOptions); 3] = [
        |o| o.samples = Some(5),
        |o| o.samples_tau = Some(1.0),
        |o| o.samples_seed = Some(0),
    ];
    for (flag, set) in [
        "--samples is 5",
        "--samples-tau is 1",
        "--samples-seed is 0",
    ]
    .into_iter()
    .zip(without)
    {
        let mut options = LabelOptions {
            groups: Some(vec![Group::Stats, Group::Topk]),
            ..minimal()
        };
        set(&mut options);
        let message = message(options);
        assert!(
            message.contains(flag) && message.contains("samples in --groups"),
            "{message}"
        );
    }
    // Only the number of draws requests the group.
    let seed_alone = LabelOptions {
        samples_seed: Some(7),
        ..minimal()
    };
    assert!(message(seed_alone).contains("--samples-seed"));
    for n in [0, 65_536] {
        let options = LabelOptions {
            samples: Some(n),
            ..minimal()
        };
        assert!(message(options).contains("--samples is"), "{n}");
    }
    for tau in [0.0, -1.0, f64::NAN, f64::INFINITY, 101.0] {
        let options = LabelOptions {
            samples: Some(5),
            samples_tau: Some(tau),
            ..minimal()
        };
        assert!(message(options).contains("--samples-tau"), "{tau}");
    }
}

#[test]
fn a_starter_has_every_option_and_reads_back_as_what_was_typed() {
    let flags = [
        "--teacher",
        "m.onnx",
        "--top-k",
        "8",
        "--mask-vocab-padding",
    ];
    let favoured = toml::from_str("samples = 180\ntop_k = 3").unwrap();
    let text = crate::config::starter(&typed(&flags), &favoured, Path::new("label.toml")).unwrap();
    let options = layered(&text, &[], &[]).unwrap();
    let expected = LabelOptions {
        samples: Some(180),
        ..typed(&flags).over(None, &[]).unwrap()
    };
    assert_eq!(options, expected);
    // Comments show the defaults: uncommenting them changes nothing.
    for line in [
        "# round = \"m5\"",
        "# zstd_level = 3",
        "# order_seed = 0",
        "# seq_len = T",
    ] {
        assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
    }
    assert!(text.lines().all(|line| line.len() <= 100), "{text}");
}
