//! What the trainer exports, compared with ONNX Runtime, the labelling binary, and a slow forward
//! pass in f64.

use crate::llama::{self, ids, params_of, spec, specs};
use crate::support::{self, assert_same_files, fail_with, saltworks, snapshot, succeed};
use saltworks::interrupt::Interrupt;
use saltworks::shards::{LabelSet, ShardReader};
use saltworks::train::export::{OnnxWeights, SpecialIds, read_hf, write_hf, write_onnx};
use saltworks::train::model::{Capacity, ModelSpec, Network, Params};
use saltworks::train::{MicroBatch, PositionScore};
use std::path::Path;

/// f32 against f64 through two blocks, logits of a few units.
const LOGIT_TOLERANCE: f64 = 1e-4;

/// Logits of a batch of sequences of one length, by Python's onnxruntime.
const RUN_ONNX: &str = r"
import sys, json, numpy as np, onnxruntime as ort
session = ort.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])
ids = np.array(json.loads(sys.argv[2]), np.int64)
sys.stdout.buffer.write(session.run(['logits'], {'input_ids': ids})[0].astype('<f4').tobytes())
";

fn run_onnx(model: &Path, batch: &[Vec<u32>]) -> Vec<f32> {
    let output = succeed(
        support::python()
            .args(["-c", RUN_ONNX])
            .arg(model)
            .arg(serde_json::to_string(batch).unwrap()),
    );
    let (values, _) = output.stdout.as_chunks::<4>();
    values
        .iter()
        .map(|&bytes| f32::from_le_bytes(bytes))
        .collect()
}

fn largest_difference(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let difference = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs();
    // max() passes over NaN, which must not pass.
    assert!(got.iter().all(|value| value.is_finite()));
    std::iter::zip(got, want)
        .map(difference)
        .fold(0.0, f64::max)
}

#[test]
fn the_onnx_model_has_the_logits_of_the_slow_forward_pass() {
    let dir = tempfile::tempdir().unwrap();
    for (name, spec) in specs() {
        let params = params_of(&spec);
        let path = dir.path().join("model.onnx");
        write_onnx(&path, &params, OnnxWeights::Inline, &Interrupt::new()).unwrap();
        for (n_rows, n_tokens) in [(1, 1), (3, 17), (2, 64)] {
            let batch: Vec<_> = (0..n_rows)
                .map(|row| ids(n_tokens, spec.vocab_size, 5 + row))
                .collect();
            let want: Vec<f64> = batch
                .iter()
                .flat_map(|ids| llama::logits(&params, ids))
                .collect();
            let largest = largest_difference(&run_onnx(&path, &batch), &want);
            assert!(largest < LOGIT_TOLERANCE, "{name}: {largest}");
            let spread = want.iter().copied().fold(0.0, f64::max);
            assert!(
                spread > 1.0,
                "{name}: logits that say nothing, at most {spread}"
            );
        }
    }
}

#[test]
fn weights_beside_the_onnx_model_give_the_same_bits_as_inside() {
    let dir = tempfile::tempdir().unwrap();
    let params = params_of(&spec());
    let (one, two) = (dir.path().join("one.onnx"), dir.path().join("two.onnx"));
    write_onnx(&one, &params, OnnxWeights::Inline, &Interrupt::new()).unwrap();
    write_onnx(&two, &params, OnnxWeights::External, &Interrupt::new()).unwrap();
    let size = |name: &str| dir.path().join(name).metadata().unwrap().len();
    assert!(size("two.onnx") < size("one.onnx") && size("two.onnx.data") > 0);
    let batch = [ids(30, 50, 1)];
    assert_eq!(run_onnx(&one, &batch), run_onnx(&two, &batch));
}

#[test]
fn a_sequence_longer_than_the_model_is_for_ends_in_an_error_of_the_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    write_onnx(
        &path,
        &params_of(&spec()),
        OnnxWeights::Inline,
        &Interrupt::new(),
    )
    .unwrap();
    let batch = serde_json::to_string(&[ids(65, 50, 1)]).unwrap();
    let printed = fail_with(
        support::python()
            .args(["-c", RUN_ONNX])
            .arg(&path)
            .arg(batch),
        1,
    );
    assert!(printed.contains("Gather"), "{printed}");
}

/// A Hugging Face directory with its ONNX model, and nanoGPT tokens beside it.
fn export_with_tokens(dir: &Path, params: &Params) -> Vec<u32> {
    write_hf(dir, params, &SpecialIds::default(), None).unwrap();
    write_onnx(
        &dir.join("model.onnx"),
        params,
        OnnxWeights::Inline,
        &Interrupt::new(),
    )
    .unwrap();
    let tokens = ids(100, params.spec.vocab_size, 9);
    let bytes = tokens.iter().flat_map(|&id| (id as u16).to_le_bytes());
    std::fs::write(dir.join("tokens.bin"), bytes.collect::<Vec<u8>>()).unwrap();
    tokens
}

fn label(dir: &Path, seq_len: &str) -> std::process::Command {
    let mut label = saltworks();
    label.args(["label", "--device", "cpu", "--round", "f32", "--top-k", "8"]);
    label.args([
        "--tokens-format",
        "nanogpt",
        "--order-seed",
        "none",
        "--seq-len",
        seq_len,
    ]);
    label.arg("--teacher").arg(dir.join("model.onnx"));
    label.arg("--tokens").arg(dir.join("tokens.bin"));
    label.arg("--output").arg(dir.join("labels"));
    label
}

#[test]
fn an_exported_model_labels_as_the_slow_forward_pass_says() {
    let dir = tempfile::tempdir().unwrap();
    let params = params_of(&specs()[1].1);
    let tokens = export_with_tokens(dir.path(), &params);
    succeed(&mut label(dir.path(), "64"));
    let labels = dir.path().join("labels");
    let set = LabelSet::open(&labels).unwrap();
    let mut reader = ShardReader::open(&labels, &set.segments[0], 0).unwrap();
    let rows = reader.read_row_group(0).unwrap();
    assert_eq!(rows.len(), 2);
    for (row, ids) in std::iter::zip(&rows, [&tokens[..65], &tokens[64..]]) {
        assert_eq!(row.input_ids, ids);
        let want = llama::target_logprobs(&params, ids);
        let largest = largest_difference(&row.signals.target_logprob_t, &want);
        assert!(largest < LOGIT_TOLERANCE, "{largest}");
    }
}

#[test]
fn the_limit_of_an_exported_model_is_known_to_the_labelling_side() {
    let dir = tempfile::tempdir().unwrap();
    export_with_tokens(dir.path(), &params_of(&spec()));
    let printed = fail_with(&mut label(dir.path(), "65"), 2);
    assert!(
        printed.contains("sequences of 65 tokens exceed the limit of 64")
            && printed.contains("config.json"),
        "{printed}"
    );
}

#[test]
fn an_export_is_imported_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    for (name, spec) in specs() {
        let params = params_of(&spec);
        write_hf(dir.path(), &params, &SpecialIds::default(), None).unwrap();
        assert_eq!(read_hf(dir.path()).unwrap().params, params, "{name}");
    }
}

/// A network for sequences of up to the model's limit, with the pool that it works in.
fn network(params: &Params) -> (Network, rayon::ThreadPool) {
    let capacity = Capacity {
        n_positions: 128,
        seq_len: params.spec.max_seq_len,
        threads: 2,
        training: false,
        recompute: false,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    (Network::new(params.clone(), capacity), pool.unwrap())
}

#[test]
fn the_trainers_network_agrees_with_the_slow_forward_pass_and_with_the_onnx_model() {
    let dir = tempfile::tempdir().unwrap();
    for (name, spec) in specs() {
        let params = params_of(&spec);
        let path = dir.path().join("model.onnx");
        write_onnx(&path, &params, OnnxWeights::Inline, &Interrupt::new()).unwrap();
        let (mut network, pool) = network(&params);
        for n_tokens in [1, 2, 31, 64] {
            let ids = ids(n_tokens, spec.vocab_size, 3);
            let mut logits_v = vec![0.0; spec.vocab_size];
            pool.install(|| network.next_logits(&ids, &mut logits_v));
            let slow = llama::logits(&params, &ids);
            let largest = largest_difference(&logits_v, last_row(&slow, spec.vocab_size));
            assert!(largest < LOGIT_TOLERANCE, "{name}, {n_tokens}: {largest}");
            let onnx: Vec<f64> = run_onnx(&path, &[ids]).into_iter().map(f64::from).collect();
            let largest = largest_difference(&logits_v, last_row(&onnx, spec.vocab_size));
            assert!(largest < LOGIT_TOLERANCE, "{name}, {n_tokens}: {largest}");
        }
    }
}

fn last_row(logits_tv: &[f64], vocab_size: usize) -> &[f64] {
    &logits_tv[logits_tv.len() - vocab_size..]
}

#[test]
fn the_networks_target_logprobs_are_those_of_the_slow_forward_pass_in_any_batch() {
    for (name, spec) in specs() {
        let params = params_of(&spec);
        let (mut network, pool) = network(&params);
        let sequences = [1, 40, 17].map(|n| ids(n + 1, spec.vocab_size, 8));
        let mut batch = MicroBatch {
            starts: vec![0],
            weights_n: vec![1.0; 58],
            ..MicroBatch::default()
        };
        let mut want = Vec::new();
        for ids in &sequences {
            batch.ids_n.extend(&ids[..ids.len() - 1]);
            batch.targets_n.extend(&ids[1..]);
            batch.starts.push(batch.ids_n.len());
            want.extend(llama::target_logprobs(&params, ids));
        }
        let mut scores_n = vec![PositionScore::default(); 58];
        pool.install(|| network.evaluate(&batch, &mut scores_n));
        let logprobs_n: Vec<f32> = scores_n.iter().map(|score| -score.nll as f32).collect();
        let largest = largest_difference(&logprobs_n, &want);
        assert!(largest < LOGIT_TOLERANCE, "{name}: {largest}");
    }
}

/// `saltworks-train export` of the model in `dir`.
fn export(dir: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
    command
        .current_dir(dir)
        .args(["export", "--model", "model"]);
    command.args(arguments);
    command
}

fn model_to_export() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let params = params_of(&spec());
    write_hf(
        &dir.path().join("model"),
        &params,
        &SpecialIds::default(),
        None,
    )
    .unwrap();
    dir
}

#[test]
fn an_export_that_ended_between_its_first_file_and_its_last_is_made_again() {
    let dir = model_to_export();
    let path = |name: &str| dir.path().join(name);
    succeed(&mut export(dir.path(), &["--output", "out"]));
    let whole = snapshot(&path("out"));
    fail_with(&mut export(dir.path(), &["--output", "out"]), 2);
    for n_missing in 1..=2 {
        for name in ["config.json", "model.safetensors"].iter().take(n_missing) {
            std::fs::remove_file(path("out").join(name)).unwrap();
        }
        succeed(&mut export(dir.path(), &["--output", "out"]));
        assert_same_files(&snapshot(&path("out")), &whole);
    }
    // Weights of another program that lack their config.json are no half export.
    std::fs::create_dir(path("others")).unwrap();
    std::fs::write(path("others/model.safetensors"), "theirs").unwrap();
    fail_with(&mut export(dir.path(), &["--output", "others"]), 2);

    let onnx = ["--onnx", "onnx/m.onnx", "--external-data"];
    succeed(&mut export(dir.path(), &onnx));
    fail_with(&mut export(dir.path(), &onnx), 2);
    let whole = snapshot(&path("onnx"));
    std::fs::remove_file(path("onnx/m.onnx")).unwrap();
    std::fs::write(path("onnx/.m.onnx.data.host.4000000.0123456789abcdef"), "x").unwrap();
    succeed(&mut export(dir.path(), &onnx));
    assert_same_files(&snapshot(&path("onnx")), &whole);

    // Both: the first was there, the second was not.
    succeed(&mut export(
        dir.path(),
        &["--output", "out", "--onnx", "both.onnx"],
    ));
    assert!(path("both.onnx").is_file());
    let params = params_of(&ModelSpec { d_ff: 8, ..spec() });
    write_hf(&path("another"), &params, &SpecialIds::default(), None).unwrap();
    let both = ["--output", "another", "--onnx", "third.onnx"];
    fail_with(&mut export(dir.path(), &both), 2);
    assert!(!path("third.onnx").exists());
}

#[test]
fn an_output_that_cannot_be_one_is_refused_before_the_model_is_read() {
    let dir = model_to_export();
    std::fs::write(dir.path().join("file"), "").unwrap();
    std::fs::write(dir.path().join("model/model.safetensors"), "damaged").unwrap();
    for arguments in [["--onnx", "x/"], ["--onnx", "model"], ["--output", "file"]] {
        let refused = fail_with(&mut export(dir.path(), &arguments), 2);
        assert!(!refused.contains("safetensors"), "{refused}");
        assert!(
            refused.contains(arguments[1].trim_end_matches('/')),
            "{refused}"
        );
    }
}
