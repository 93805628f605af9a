//! Teachers and where they run: devices, reductions, references, quantised models.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use crate::support::models::{DecoderSpec, Odd, decoder, odd, samples};
use saltworks::shards::{LabelSet, Row, ShardReader};
use std::path::Path;
use std::process::Command;
use support::{Inputs, VOCAB_SIZE, fail_with, saltworks, succeed, text};

/// Nats, and probability, between two places of reduction: float noise of sums in another order.
const PLACE_TOLERANCE: f64 = 1e-5;

/// `saltworks label` of the group topk alone, in several shards.
fn label_topk(inputs: &Inputs, output: &str) -> Command {
    let mut command = saltworks();
    command.arg("label");
    inputs.add_inputs(&mut command, output);
    command.args(["--seq-len", "32", "--top-k", "8", "--temperatures", "2"]);
    command.args(["--groups", "topk", "--shard-bytes", "20000"]);
    command
}

#[test]
fn several_devices_make_the_bytes_of_one() {
    let inputs = Inputs::new(4_000);
    succeed(&mut inputs.label("one"));
    let mut several = inputs.label_on("cpu,cpu,cpu", "several");
    let output = succeed(several.arg("--profile"));
    assert_shares_are_of_a_whole(&text(&output));
    let snapshot = |name: &str| support::snapshot(&inputs.path(name));
    support::assert_same_files(&snapshot("several"), &snapshot("one"));
}

#[test]
fn a_set_reduced_in_the_models_graph_is_sound_and_agrees_with_the_processors() {
    let inputs = Inputs::new(2_000);
    for (output, place) in [("host", "host"), ("graph", "graph")] {
        let mut label = label_topk(&inputs, output);
        succeed(label.args(["--round", "f32", "--reduce", place]));
    }
    let graph = inputs.path("graph");
    let report = text(&succeed(
        saltworks()
            .arg("verify")
            .arg(&graph)
            .arg("--teacher")
            .arg(inputs.path("teacher.onnx"))
            .arg("--tokens")
            .arg(inputs.path("tokens.bin"))
            .args(["--device", "cpu"]),
    ));
    assert!(
        report.contains(": sound") && report.contains(" 0 findings"),
        "{report}"
    );
    let (host, graph) = (rows_of(&inputs.path("host")), rows_of(&graph));
    assert!(host.len() == graph.len() && host.len() > 50);
    for (host, graph) in host.iter().zip(&graph) {
        let near = |a: f32, b: f32| (f64::from(a) - f64::from(b)).abs() <= PLACE_TOLERANCE;
        let all_near =
            |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| near(a, b));
        let (h, g) = (&host.signals, &graph.signals);
        assert_eq!(h.topk_ids_tk, g.topk_ids_tk);
        assert!(all_near(&h.topk_logprobs_tk, &g.topk_logprobs_tk));
        assert!(all_near(&h.tail_mass_t, &g.tail_mass_t));
        assert!(all_near(&h.log_partition_xt[0], &g.log_partition_xt[0]));
        assert!((host.scores.mean_nll - graph.scores.mean_nll).abs() <= PLACE_TOLERANCE);
    }
}

fn rows_of(labels: &Path) -> Vec<Row> {
    let set = LabelSet::open(labels).unwrap();
    let plan = &set.segments[0];
    let of_shard = |shard| {
        let mut reader = ShardReader::open(labels, plan, shard).unwrap();
        let n_row_groups = plan.row_groups(shard).len();
        (0..n_row_groups).flat_map(move |i| reader.read_row_group(i).unwrap())
    };
    plan.shards().flat_map(of_shard).collect()
}

#[test]
fn the_place_of_the_reduction_is_recorded_and_does_not_mix_in_silence() {
    let inputs = Inputs::new(2_000);
    let task = |i: &str, place: &str| {
        let mut label = label_topk(&inputs, "mixed");
        label.args(["--task", i, "--reduce", place]);
        label
    };
    succeed(&mut task("0/2", "host"));
    succeed(&mut task("1/2", "graph"));
    let sidecar = std::fs::read_to_string(inputs.path("mixed/part-00001.json")).unwrap();
    assert!(sidecar.contains("CPUExecutionProvider+graph"), "{sidecar}");
    let message = fail_with(saltworks().arg("finalize").arg(inputs.path("mixed")), 2);
    assert!(message.contains("CPUExecutionProvider+graph"), "{message}");
    let mut allowed = saltworks();
    allowed.arg("finalize").arg(inputs.path("mixed"));
    succeed(allowed.arg("--allow-mixed-runtime"));
}

#[test]
fn groups_that_a_place_does_not_give_are_refused_before_anything_is_written() {
    let inputs = Inputs::new(2_000);
    let message = fail_with(inputs.label("refused").args(["--reduce", "graph"]), 2);
    assert!(
        message.contains("--reduce graph does not support stats"),
        "{message}"
    );
    assert!(message.contains("--groups topk"), "{message}");
    assert!(!inputs.path("refused").exists());
}

/// The stages of the labelling threads are all of their time, and no more.
fn assert_shares_are_of_a_whole(printed: &str) {
    let shares = printed.lines().filter_map(|line| {
        let share = line.strip_suffix('%')?.rsplit(' ').next()?;
        share.parse::<f64>().ok()
    });
    let (n, sum) = shares.fold((0, 0.0), |(n, sum), share| (n + 1, sum + share));
    assert_eq!(n, 5, "{printed}");
    // Rounding of five figures. A worker without a shard is in no stage, so there may be less.
    assert!(sum > 0.0 && sum <= 100.5, "{printed}");
}

fn verify_with(inputs: &Inputs, teacher: &Path) -> Command {
    let mut verify = saltworks();
    verify.arg("verify").arg(inputs.path("labels"));
    verify.arg("--teacher").arg(teacher);
    verify.arg("--tokens").arg(inputs.path("tokens.bin"));
    verify.args(["--sample", "20", "--device", "cpu", "--json"]);
    verify
}

fn teacher_of(inputs: &Inputs, vocab_size: u64, seed: u64) -> std::path::PathBuf {
    let spec = DecoderSpec {
        vocab_size,
        width: 32,
        n_layers: 1,
        n_heads: 2,
        max_seq_len: 128,
        seed,
        ..DecoderSpec::default()
    };
    let path = inputs.path(&format!("teacher-{vocab_size}-{seed}.onnx"));
    decoder(&spec, &path).unwrap();
    path
}

#[test]
fn another_teacher_is_a_reference_and_how_far_it_is_is_told() {
    let inputs = Inputs::new(2_000);
    succeed(&mut inputs.label("labels"));
    let printed = text(&succeed(&mut verify_with(
        &inputs,
        &teacher_of(&inputs, VOCAB_SIZE, 77),
    )));
    let report: serde_json::Value = serde_json::from_str(printed.lines().next().unwrap()).unwrap();
    let report = &report["teacher"]["other"];
    let number = |key: &str| {
        report[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{key}: {printed}"))
    };
    assert_eq!(number("n_sequences"), 20.0);
    // Two models of random weights agree by chance alone.
    assert!(number("kl_nats_mean") > 0.1, "{printed}");
    assert!(number("kl_nats_max") >= number("kl_nats_p99"), "{printed}");
    assert!(number("top1_agreement") < 0.5, "{printed}");
    assert!(number("labels_nll_mean") > 0.0 && number("reference_nll_mean") > 0.0);
}

#[test]
fn a_reference_of_another_vocabulary_is_refused() {
    let inputs = Inputs::new(2_000);
    succeed(&mut inputs.label("labels"));
    for vocab_size in [VOCAB_SIZE - 1, VOCAB_SIZE + 1] {
        let teacher = teacher_of(&inputs, vocab_size, 1);
        let printed = fail_with(&mut verify_with(&inputs, &teacher), 2);
        assert!(printed.contains("of the same vocabulary"), "{printed}");
    }
    let mut several = verify_with(&inputs, &inputs.path("teacher.onnx"));
    several.args(["--seed", "1"]);
    succeed(&mut several);
}

#[test]
fn labels_of_a_teacher_that_scales_by_its_batch_do_not_depend_on_batches() {
    let dir = tempfile::tempdir().unwrap();
    let (model, tokens) = (dir.path().join("model.onnx"), dir.path().join("tokens.bin"));
    samples::dynamically_quantized().write(&model).unwrap();
    let ids = (0..400_u16).flat_map(|i| (i * 7 % 16).to_le_bytes());
    std::fs::write(&tokens, ids.collect::<Vec<u8>>()).unwrap();
    let label = |output: &str, batch_tokens: &str| {
        let mut command = saltworks();
        command.arg("label").arg("--teacher").arg(&model);
        command.arg("--tokens").arg(&tokens);
        command.arg("--output").arg(dir.path().join(output));
        command.args([
            "--tokens-format",
            "nanogpt",
            "--device",
            "cpu",
            "--seq-len",
            "8",
        ]);
        command.args(["--top-k", "4", "--batch-tokens", batch_tokens]);
        text(&succeed(&mut command))
    };
    let printed = label("small", "8");
    assert!(printed.contains("one sequence per call"), "{printed}");
    label("large", "4096");
    let snapshot = |name: &str| support::snapshot(&dir.path().join(name));
    support::assert_same_files(&snapshot("large"), &snapshot("small"));
}

#[test]
fn a_row_depends_on_its_sequence_alone_whatever_the_teacher() {
    let inputs = Inputs::new(4_000);
    assert_rows_do_not_depend_on_the_cut(&inputs, "f32");
    for kind in [Odd::Alibi, Odd::F16, Odd::DynamicInt8] {
        let inputs = Inputs::new(4_000);
        let model = odd(kind, VOCAB_SIZE);
        model.write(&inputs.path("teacher.onnx")).unwrap();
        assert_rows_do_not_depend_on_the_cut(&inputs, &format!("{kind:?}"));
    }
}

fn assert_rows_do_not_depend_on_the_cut(inputs: &Inputs, name: &str) {
    let label = |output: &str, more: &[&str]| {
        let mut label = inputs.label(output);
        label.args(["--packing", "document", "--round", "f32"]);
        succeed(label.args(more));
    };
    label("labels", &[]);
    let whole = by_seq_id(&inputs.path("labels"));
    for batch_tokens in ["1", "1000", "100000"] {
        let output = format!("batch-{batch_tokens}");
        label(&output, &["--batch-tokens", batch_tokens]);
        let snapshot = |name: &str| support::snapshot(&inputs.path(name));
        support::assert_same_files(&snapshot(&output), &snapshot("labels"));
    }
    label("range", &["--sequences", "13..40"]);
    label("tasks", &["--task", "1/3"]);
    label("tasks", &["--task", "0/3"]);
    label("tasks", &["--task", "2/3"]);
    succeed(saltworks().arg("finalize").arg(inputs.path("tasks")));
    let mut select = saltworks();
    select.arg("select").arg(inputs.path("labels"));
    select.args(["--fraction", "0.3", "--output"]);
    succeed(select.arg(inputs.path("selection.parquet")));
    let selection = inputs.path("selection.parquet");
    label("selected", &["--selection", selection.to_str().unwrap()]);
    for (output, n_rows) in [
        ("range", 27),
        ("tasks", whole.len()),
        ("selected", whole.len() * 3 / 10),
    ] {
        let part = by_seq_id(&inputs.path(output));
        assert!(
            part.len().abs_diff(n_rows) <= 1,
            "{name} {output}: {}",
            part.len()
        );
        for (seq_id, row) in &part {
            assert_eq!(row, &whole[seq_id], "{name}, {output}, sequence {seq_id}");
        }
    }
    let printed = text(&succeed(&mut verify_with(
        inputs,
        &inputs.path("teacher.onnx"),
    )));
    let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let own = &report["teacher"]["own"];
    assert_eq!(own["n_identical"], own["n_sequences"], "{name}: {printed}");
}

fn by_seq_id(labels: &Path) -> std::collections::BTreeMap<u64, Row> {
    let rows = rows_of(labels).into_iter();
    rows.map(|row| (row.seq_id, row)).collect()
}

#[test]
fn more_kept_ids_than_there_are_is_refused_by_the_flag() {
    let inputs = Inputs::new(500);
    let mut label = saltworks();
    label.arg("label");
    inputs.add_inputs(&mut label, "labels");
    label.args(["--seq-len", "16", "--top-k", "301"]);
    let printed = fail_with(&mut label, 2);
    assert!(
        printed.contains("--top-k is 301, expected at most the vocabulary of 300"),
        "{printed}"
    );
}
