//! What the trainer exports, held against ONNX Runtime, the labelling binary, and a slow forward
//! pass in f64.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

#[path = "support/llama.rs"]
mod llama;
mod support;

use saltworks::shards::{LabelSet, ShardReader};
use saltworks::train::export::{OnnxWeights, SpecialIds, read_hf, write_hf, write_onnx};
use saltworks::train::model::{ModelSpec, Params};
use std::path::Path;
use support::{fail_with, saltworks, succeed};

/// f32 against f64 through two blocks, logits of a few units.
const LOGIT_TOLERANCE: f64 = 1e-4;

fn spec() -> ModelSpec {
    ModelSpec {
        vocab_size: 50,
        d_model: 24,
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 6,
        d_ff: 40,
        max_seq_len: 64,
        rope_theta: 10_000.0,
        norm_eps: 1e-5,
        tie_embeddings: false,
    }
}

/// The shapes that take different ways through the graph.
fn specs() -> Vec<(&'static str, ModelSpec)> {
    let tied = |tie_embeddings| ModelSpec {
        tie_embeddings,
        ..spec()
    };
    vec![
        ("grouped queries, untied", tied(false)),
        ("grouped queries, tied", tied(true)),
        (
            "a head for each query",
            ModelSpec {
                n_kv_heads: 4,
                ..tied(true)
            },
        ),
        (
            "one key for all queries",
            ModelSpec {
                n_kv_heads: 1,
                ..tied(false)
            },
        ),
        (
            "heads wider than the model",
            ModelSpec {
                head_dim: 10,
                ..tied(false)
            },
        ),
        (
            "heads narrower than the model",
            ModelSpec {
                head_dim: 2,
                rope_theta: 77.0,
                ..tied(true)
            },
        ),
    ]
}

/// Fresh parameters are near zero, and so are their logits: these are larger, and norms differ.
fn params_of(spec: &ModelSpec) -> Params {
    let mut params = Params::init(spec, 11);
    let slots = params.layout.tensors.clone();
    for slot in slots {
        for (idx, value) in params.values[slot.range.clone()].iter_mut().enumerate() {
            *value = match slot.decays() {
                true => *value * 15.0,
                false => 1.0 + 0.1 * (idx as f32).sin(),
            };
        }
    }
    params
}

/// Ids below `vocab_size` from a fixed linear congruence.
fn ids(n: usize, vocab_size: usize, seed: u32) -> Vec<u32> {
    let mut state = seed;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % vocab_size as u32
        })
        .collect()
}

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
        write_onnx(&path, &params, OnnxWeights::Inline).unwrap();
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
    write_onnx(&one, &params, OnnxWeights::Inline).unwrap();
    write_onnx(&two, &params, OnnxWeights::External).unwrap();
    let size = |name: &str| dir.path().join(name).metadata().unwrap().len();
    assert!(size("two.onnx") < size("one.onnx") && size("two.onnx.data") > 0);
    let batch = [ids(30, 50, 1)];
    assert_eq!(run_onnx(&one, &batch), run_onnx(&two, &batch));
}

#[test]
fn a_sequence_longer_than_the_model_is_for_ends_in_an_error_of_the_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.onnx");
    write_onnx(&path, &params_of(&spec()), OnnxWeights::Inline).unwrap();
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
    write_onnx(&dir.join("model.onnx"), params, OnnxWeights::Inline).unwrap();
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
        printed.contains("65") && printed.contains("config.json"),
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
