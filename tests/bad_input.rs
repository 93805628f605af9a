//! User errors: each is refused with its exit code and a message that names what was expected, what was found
//! and the remedy, and nothing is written to disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use crate::support::models::samples::{self, Sample};
use crate::support::models::{DecoderSpec, decoder};
use saltworks::onnx::build::ModelBuilder;
use saltworks::shards::{LabelSet, Selection, ShardReader};
use std::process::Command;
use support::{Inputs, fail_with, saltworks, succeed};

const USAGE: i32 = 2;
const BAD_DATA: i32 = 3;

/// Labels into `labels`, asserts the refusal, every word of the message, and that no shard is there.
fn refused(inputs: &Inputs, command: &mut Command, code: i32, words: &[&str]) {
    let printed = fail_with(command, code);
    for word in words {
        assert!(printed.contains(word), "no `{word}` in: {printed}");
    }
    assert!(!inputs.path("labels/part-00000.json").exists(), "{printed}");
    assert!(
        !inputs.path("labels/positions/part-00000.parquet").exists(),
        "{printed}"
    );
}

fn with_model(model: &ModelBuilder) -> Inputs {
    let inputs = Inputs::new(500);
    model.write(&inputs.path("teacher.onnx")).unwrap();
    inputs
}

#[test]
fn models_that_cannot_be_teachers() {
    let cases = [
        (samples::rank_2_logits(), "one position only"),
        (samples::hidden_states_only(), "hidden"),
        (samples::inputs_embeds_only(), "inputs_embeds"),
        (samples::encoder_decoder(), "decoder"),
        (samples::last_position_only(), "last position"),
    ];
    for (model, word) in &cases {
        let inputs = with_model(model);
        let printed = fail_with(&mut inputs.label("labels"), USAGE);
        assert!(printed.contains(word), "no `{word}` in: {printed}");
        assert!(!inputs.path("labels").exists(), "{printed}");
    }
}

#[test]
fn models_that_run_but_are_no_teachers() {
    let cases = [
        (
            samples::Unsuitable::NotCausal,
            "sees the tokens that it should predict",
        ),
        (samples::Unsuitable::Random, "RandomNormalLike"),
        (samples::Unsuitable::Ends("Softmax"), "as after a softmax"),
    ];
    for (kind, word) in cases {
        let inputs = small_vocabulary(&samples::unsuitable(kind));
        let words = [word, "cannot be a teacher", "--allow-any-teacher"];
        refused(&inputs, &mut inputs.label("labels"), USAGE, &words);
        let mut dry = inputs.label("labels");
        dry.arg("--dry-run");
        assert!(fail_with(&mut dry, USAGE).contains(word));
        assert!(!inputs.path("labels").exists());
    }
}

#[test]
fn an_output_layer_that_is_wider_than_the_embedding_needs_the_tokenizer() {
    let inputs = small_vocabulary(&samples::padded_head());
    let words = ["its embedding lacks", "--tokenizer", "--mask-vocab-padding"];
    refused(&inputs, &mut inputs.label("labels"), USAGE, &words);
}

#[test]
fn a_teacher_that_does_not_predict_the_text_causes_a_note() {
    let inputs = small_vocabulary(&Sample::default().build());
    let said = succeed(&mut inputs.label("labels"));
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("on 62 tokens of your text"), "{said}");
}

#[test]
fn an_unsuitable_teacher_that_the_user_allows_is_recorded_and_verified() {
    let inputs = small_vocabulary(&samples::unsuitable(samples::Unsuitable::NotCausal));
    let mut label = inputs.label("labels");
    succeed(label.arg("--allow-any-teacher"));
    let plan = std::fs::read_to_string(inputs.path("labels/plan.json")).unwrap();
    assert!(plan.contains("\"not-causal\""), "{plan}");
    let mut verify = saltworks();
    verify.arg("verify").arg(inputs.path("labels"));
    verify.arg("--teacher").arg(inputs.path("teacher.onnx"));
    succeed(verify.arg("--tokens").arg(inputs.path("tokens.bin")));
}

#[test]
fn logits_of_an_unexpected_shape_are_described() {
    for (is_time_major, word) in [(true, "time-major"), (false, "drops a position")] {
        let inputs = small_vocabulary(&samples::oddly_shaped(is_time_major));
        refused(&inputs, &mut inputs.label("labels"), USAGE, &[word]);
    }
}

#[test]
fn a_target_that_the_teacher_rules_out_is_named() {
    let inputs = small_vocabulary(&samples::never_predicts(5));
    let words = [
        "sequence ",
        "id 5 at position ",
        "-inf",
        "--allow-impossible-targets",
    ];
    refused(&inputs, &mut inputs.label("labels"), BAD_DATA, &words);
}

#[test]
fn a_target_that_the_teacher_rules_out_costs_its_sequence_alone_where_that_is_allowed() {
    let inputs = small_vocabulary(&samples::never_predicts(5));
    // Id 5 stands in the first half alone.
    let ids = (0..600_u16).map(|i| if i < 40 { i * 7 % 16 } else { i * 3 % 5 });
    let bytes = ids.flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    std::fs::write(inputs.path("tokens.bin"), bytes).unwrap();
    let mut label = inputs.label("labels");
    let said = succeed(label.arg("--allow-impossible-targets"));
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("zero probability"), "{said}");
    assert!(said.contains("seq_id 0"), "{said}");

    let set = LabelSet::open(&inputs.path("labels")).unwrap();
    let plan = &set.segments[0];
    assert_eq!(plan.required_features, ["samples", "impossible-targets"]);
    let (mut n_without, mut n) = (0, 0);
    for shard in plan.shards() {
        for rows in ShardReader::open(&set.dir, plan, shard).unwrap() {
            for row in rows.unwrap() {
                let holds_5 = row.input_ids[1..].contains(&5);
                let logprobs = row.signals.target_logprob_t.iter();
                let is_impossible = |&&logprob: &&f32| logprob == f32::NEG_INFINITY;
                assert_eq!(logprobs.filter(is_impossible).count() > 0, holds_5);
                assert_eq!(row.scores.has_nll(), !holds_5);
                n_without += u32::from(holds_5);
                n += 1;
            }
        }
    }
    assert!(n_without > 0 && n_without < n, "{n_without} of {n}");

    let mut verify = saltworks();
    verify.arg("verify").arg(inputs.path("labels"));
    verify.arg("--teacher").arg(inputs.path("teacher.onnx"));
    succeed(verify.arg("--tokens").arg(inputs.path("tokens.bin")));
    let stats = succeed(saltworks().arg("stats").arg(inputs.path("labels")));
    let stats = String::from_utf8(stats.stdout).unwrap();
    assert!(stats.contains("no NLL scores"), "{stats}");
    let mut select = saltworks();
    select.arg("select").arg(inputs.path("labels"));
    select.args(["--score", "score_mean_nll", "--fraction", "1"]);
    succeed(select.arg("--output").arg(inputs.path("selection.parquet")));
    let kept = Selection::read(&inputs.path("selection.parquet"), plan.sequences.n_total).unwrap();
    assert_eq!(kept.kept.len(), u64::from(n - n_without));
}

/// Tokens below 16, and a model of that vocabulary.
fn small_vocabulary(model: &ModelBuilder) -> Inputs {
    let inputs = with_model(model);
    let ids = (0..600_u16).flat_map(|i| (i * 7 % 16).to_le_bytes());
    std::fs::write(inputs.path("tokens.bin"), ids.collect::<Vec<u8>>()).unwrap();
    inputs
}

#[test]
fn a_teacher_that_gives_nan_is_named_with_sequence_and_position() {
    let inputs = Inputs::new(500);
    let sample = Sample {
        vocab_size: 300,
        nan_after: Some(5),
        ..Sample::default()
    };
    sample.build().write(&inputs.path("teacher.onnx")).unwrap();
    let words = ["sequence ", "position ", "NaN"];
    refused(&inputs, &mut inputs.label("labels"), BAD_DATA, &words);
}

#[test]
fn a_tokenizer_of_another_vocabulary() {
    let inputs = Inputs::new(500);
    std::fs::write(
        inputs.path("text.txt"),
        "the sea gives salt and the salt gives taste ".repeat(50),
    )
    .unwrap();
    let tokenizer = inputs.path("tokenizer.json");
    let mut train = saltworks();
    train
        .args(["tokenizer", "train", "--vocab-size", "270", "--input"])
        .arg(inputs.path("text.txt"));
    succeed(train.arg("--output").arg(&tokenizer));
    let mut label = inputs.label("labels");
    refused(
        &inputs,
        label.arg("--tokenizer").arg(&tokenizer),
        USAGE,
        &["300", "270", "--mask-vocab-padding"],
    );
}

#[test]
fn a_token_id_past_the_vocabulary() {
    let inputs = Inputs::new(500);
    let spec = DecoderSpec {
        vocab_size: 200,
        width: 32,
        n_layers: 1,
        n_heads: 2,
        max_seq_len: 64,
        ..DecoderSpec::default()
    };
    decoder(&spec, &inputs.path("teacher.onnx")).unwrap();
    refused(
        &inputs,
        &mut inputs.label("labels"),
        BAD_DATA,
        &["200", "299", "tokens.bin"],
    );
}

#[test]
fn a_sequence_length_beyond_the_model() {
    let inputs = Inputs::new(2_000);
    let mut label = saltworks();
    label.arg("label");
    inputs.add_inputs(&mut label, "labels");
    refused(
        &inputs,
        label.args(["--seq-len", "129"]),
        USAGE,
        &["129", "--seq-len"],
    );
}

#[test]
fn token_files_that_are_truncated_or_of_another_kind() {
    let inputs = Inputs::new(1_000);
    let label = |format: &str| {
        let mut command = saltworks();
        command.args([
            "label",
            "--device",
            "cpu",
            "--seq-len",
            "16",
            "--tokens-format",
            format,
        ]);
        command.arg("--teacher").arg(inputs.path("teacher.onnx"));
        command
            .arg("--tokens")
            .arg(inputs.path("tokens.bin"))
            .arg("--output")
            .arg(inputs.path("labels"));
        command
    };
    refused(
        &inputs,
        &mut label("llmc"),
        BAD_DATA,
        &["tokens.bin", "20240520"],
    );
    refused(&inputs, &mut label("megatron"), USAGE, &["tokens.idx"]);
    std::fs::write(
        inputs.path("tokens.idx"),
        b"MMIDIDX\0\0\x01\0\0\0\0\0\0\0\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
    )
    .unwrap();
    refused(&inputs, &mut label("megatron"), BAD_DATA, &["tokens.idx"]);
    let odd = &std::fs::read(inputs.path("tokens.bin")).unwrap()[..777];
    std::fs::write(inputs.path("tokens.bin"), odd).unwrap();
    refused(
        &inputs,
        &mut label("nanogpt"),
        BAD_DATA,
        &["tokens.bin", "777"],
    );
}

#[test]
fn paths_that_are_not_there() {
    let inputs = Inputs::new(500);
    for name in ["teacher.onnx", "tokens.bin"] {
        let aside = inputs.path("aside");
        std::fs::rename(inputs.path(name), &aside).unwrap();
        let printed = inputs.label("labels").output().unwrap();
        let printed = support::text(&printed);
        assert!(
            printed.contains("error: ") && printed.contains(name),
            "{printed}"
        );
        assert!(!inputs.path("labels").exists());
        std::fs::rename(&aside, inputs.path(name)).unwrap();
    }
}

#[test]
fn an_output_directory_of_another_plan() {
    let inputs = Inputs::new(500);
    succeed(inputs.label("labels").args(["--round", "f16"]));
    let printed = fail_with(inputs.label("labels").args(["--round", "bf16"]), USAGE);
    for word in ["signals.rounding", "f16", "bf16", "another"] {
        assert!(printed.contains(word), "no `{word}` in: {printed}");
    }
    succeed(saltworks().arg("verify").arg(inputs.path("labels")));
}

#[test]
fn a_configuration_with_an_unknown_key() {
    let inputs = Inputs::new(500);
    let config = inputs.path("label.toml");
    std::fs::write(&config, "seq_len = 16\ntop_q = 12\n").unwrap();
    refused(
        &inputs,
        inputs.label("labels").arg("--config").arg(&config),
        USAGE,
        &["label.toml", "top_q"],
    );
}

#[test]
fn a_configuration_file_does_what_the_flags_do() {
    let inputs = Inputs::new(500);
    succeed(&mut inputs.label("labels"));
    let show = |path: &str| format!("{:?}", inputs.path(path).display().to_string());
    let text = format!(
        "teacher = {}\ntokens = {}\noutput = {}\ntokens_format = \"nanogpt\"\neod = 299\nseq_len = 32\ntop_k = 8\n\
         temperatures = [2.0]\nsamples = 12\nsamples_tau = 0.8\nsamples_seed = 5\nshard_bytes = 42000\ndevice = \"cpu\"\n",
        show("teacher.onnx"),
        show("tokens.bin"),
        show("again")
    );
    std::fs::write(inputs.path("label.toml"), text).unwrap();
    succeed(
        saltworks()
            .args(["label", "--config"])
            .arg(inputs.path("label.toml")),
    );
    let snapshot = |name: &str| support::snapshot(&inputs.path(name));
    support::assert_same_files(&snapshot("again"), &snapshot("labels"));
}

#[test]
fn cuda_where_there_is_none() {
    let inputs = Inputs::new(500);
    let mut label = saltworks();
    label.args([
        "label",
        "--device",
        "cuda",
        "--seq-len",
        "16",
        "--tokens-format",
        "nanogpt",
    ]);
    label
        .arg("--teacher")
        .arg(inputs.path("teacher.onnx"))
        .arg("--tokens")
        .arg(inputs.path("tokens.bin"));
    refused(
        &inputs,
        label.arg("--output").arg(inputs.path("labels")),
        USAGE,
        &["cuda", "CUDA"],
    );
}

#[test]
fn an_onnx_runtime_that_is_not_there() {
    let inputs = Inputs::new(500);
    let mut label = inputs.label("labels");
    let label = label.args(["--ort-lib", "/nowhere/libonnxruntime.so"]);
    let printed = support::text(&label.output().unwrap());
    for word in ["error: ", "/nowhere/libonnxruntime.so"] {
        assert!(printed.contains(word), "no `{word}` in: {printed}");
    }
    assert!(!inputs.path("labels").exists());
}

#[test]
fn a_corpus_without_a_single_target() {
    let inputs = Inputs::new(1);
    refused(
        &inputs,
        &mut inputs.label("labels"),
        BAD_DATA,
        &["tokens.bin", "longer"],
    );
}

#[test]
fn an_output_that_cannot_be_written() {
    let inputs = Inputs::new(500);
    std::fs::write(inputs.path("labels"), "a file").unwrap();
    let printed = fail_with(&mut inputs.label("labels"), USAGE);
    assert!(printed.contains("which is a file"), "{printed}");
}
