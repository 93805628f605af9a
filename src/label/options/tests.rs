use super::*;

fn least() -> LabelOptions {
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
fn the_least_that_must_be_said_resolves_to_the_defaults() {
    let config = least().resolve().unwrap();
    assert_eq!(
        (config.top_k, config.rounding, config.order_seed),
        (64, Rounding::M5, Some(0))
    );
    assert_eq!(config.groups, [Group::Scores, Group::Stats, Group::Topk]);
    assert_eq!(
        (config.range, config.task),
        (SequenceRange::All, Task::WHOLE)
    );
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let file: LabelOptions =
        toml::from_str("top_k = 16\nround = \"bf16\"\nsequences = \"3..9\"").unwrap();
    let flags = LabelOptions {
        top_k: Some(8),
        max_sequences: Some(5),
        ..least()
    };
    let config = flags.over(file).resolve().unwrap();
    assert_eq!((config.top_k, config.rounding), (8, Rounding::Bf16));
    assert_eq!(config.range, SequenceRange::First(5));
}

#[test]
fn an_unknown_key_is_refused_by_name() {
    let error = toml::from_str::<LabelOptions>("top_q = 16")
        .unwrap_err()
        .to_string();
    assert!(error.contains("top_q"), "{error}");
}

#[test]
fn ranges_and_tasks_are_read_or_refused() {
    let range = |text: &str| LabelOptions {
        sequences: Some(text.into()),
        ..least()
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
        ..least()
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
    let file: LabelOptions = toml::from_str("order_seed = \"none\"").unwrap();
    assert_eq!(least().over(file).resolve().unwrap().order_seed, None);
}

#[test]
fn impossible_values_are_refused_with_the_flag_named() {
    assert!(
        message(LabelOptions {
            seq_len: Some(0),
            ..least()
        })
        .contains("--seq-len")
    );
    assert!(
        message(LabelOptions {
            top_k: Some(0),
            ..least()
        })
        .contains("--top-k")
    );
    assert!(
        message(LabelOptions {
            teacher: None,
            ..least()
        })
        .contains("--teacher")
    );
    for bad in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY] {
        let options = LabelOptions {
            temperatures: Some(vec![bad]),
            ..least()
        };
        assert!(message(options).contains("--temperatures"));
    }
    let twice = LabelOptions {
        temperatures: Some(vec![2.0, 2.0]),
        ..least()
    };
    assert!(message(twice).contains("different"));
}

#[test]
fn a_number_of_draws_asks_for_the_group_and_the_group_has_a_number() {
    let by_number = LabelOptions {
        samples: Some(20),
        ..least()
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
        ..least()
    };
    let config = by_group.resolve().unwrap();
    assert_eq!(config.groups, [Group::Scores, Group::Samples]);
    assert_eq!(config.sampling, sampling(50, 2.0, 9));
    assert_eq!(least().resolve().unwrap().sampling, None);
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
            ..least()
        };
        set(&mut options);
        let message = message(options);
        assert!(
            message.contains(flag) && message.contains("samples among the --groups"),
            "{message}"
        );
    }
    // Only the number asks for the group.
    let seed_alone = LabelOptions {
        samples_seed: Some(7),
        ..least()
    };
    assert!(message(seed_alone).contains("--samples-seed"));
    for n in [0, 65_536] {
        let options = LabelOptions {
            samples: Some(n),
            ..least()
        };
        assert!(message(options).contains("--samples is"), "{n}");
    }
    for tau in [0.0, -1.0, f64::NAN, f64::INFINITY, 101.0] {
        let options = LabelOptions {
            samples: Some(5),
            samples_tau: Some(tau),
            ..least()
        };
        assert!(message(options).contains("--samples-tau"), "{tau}");
    }
}
