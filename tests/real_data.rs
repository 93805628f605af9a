//! Checks on real models and text, which are not part of the project: the environment variable
//! `SALTWORKS_SHARED_DATA` names the folder that holds them.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

mod support;

use saltworks::interrupt::Interrupt;
use saltworks::onnx::{InputRole, PastDim, read_signature};
use saltworks::shards::{LabelSet, Row, ShardReader};
use saltworks::signals::LogitsData;
use saltworks::teacher::{DeviceChoice, Teacher, TeacherError, TeacherOptions, TokenBatch};
use saltworks::train::export::{OnnxWeights, read_hf, write_onnx};
use saltworks::train::model::{Capacity, Network};
use saltworks::train::{MicroBatch, PositionScore};
use std::path::{Path, PathBuf};
use std::process::Command;
use support::{fail_with, saltworks, succeed};

fn shared(relative: &str) -> PathBuf {
    let root = std::env::var_os("SALTWORKS_SHARED_DATA")
        .expect("set SALTWORKS_SHARED_DATA to the folder that holds models/ and corpus/");
    PathBuf::from(root).join(relative)
}

fn open(model: &str, seq_len_max: u32) -> Result<Teacher, TeacherError> {
    Teacher::open(&TeacherOptions {
        model: shared(model),
        device: DeviceChoice::Cpu,
        threads: 2,
        logits_output: None,
        seq_len_max,
    })
}

/// Three rows of different lengths, ids from a fixed linear congruence below `vocab_size`.
fn ragged_batch(vocab_size: u32) -> TokenBatch {
    let lengths = vec![37u32, 12, 64];
    let (width, mut state) = (64, 12345u32);
    let mut ids_bt = vec![0; lengths.len() * width];
    for (row, length) in ids_bt.chunks_mut(width).zip(&lengths) {
        for id in &mut row[..*length as usize] {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *id = (state >> 8) % vocab_size;
        }
    }
    TokenBatch {
        ids_bt,
        n_rows: lengths.len(),
        n_fillers: 0,
        width,
        lengths,
    }
}

fn logits_of(teacher: &mut Teacher, batch: &TokenBatch) -> Vec<f32> {
    let copy = |data: LogitsData<'_>| match data {
        LogitsData::F32(values) => values.to_vec(),
        _ => panic!("these models have f32 logits"),
    };
    teacher
        .run(batch, |logits| copy(logits.data))
        .expect("the model runs")
}

/// Raw f32 logits of one unpadded row, by Python's onnxruntime.
const REFERENCE: &str = r"
import sys, numpy as np, onnxruntime as ort
path, ids = sys.argv[1], np.array([[int(i) for i in sys.argv[2].split(',')]])
s = ort.InferenceSession(path, providers=['CPUExecutionProvider'])
feed = {}
for i in s.get_inputs():
    kind = {'tensor(int64)': np.int64, 'tensor(int32)': np.int32, 'tensor(float)': np.float32}[i.type]
    if i.name == 'input_ids': feed[i.name] = ids.astype(kind)
    elif i.name == 'attention_mask': feed[i.name] = np.ones_like(ids, dtype=kind)
    elif i.name == 'position_ids': feed[i.name] = np.arange(ids.shape[1], dtype=kind)[None]
    else: feed[i.name] = np.zeros([d if isinstance(d, int) else (1 if d == 'batch_size' else 0) for d in i.shape], kind)
sys.stdout.buffer.write(s.run(['logits'], feed)[0].astype('<f4').tobytes())
";

fn reference_logits(model: &Path, ids: &[u32]) -> Vec<f32> {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    let output = support::python()
        .args(["-c", REFERENCE])
        .arg(model)
        .arg(ids.join(","))
        .output()
        .expect("python runs: `make setup` makes .venv, or set SALTWORKS_PYTHON");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
        .stdout
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

/// Largest difference over real positions; padding means nothing.
fn largest_difference(model: &str, vocab_size: u32) -> f32 {
    let mut teacher = open(model, 64).expect("the model opens");
    assert_eq!(teacher.info().vocab_size, vocab_size);
    let batch = ragged_batch(vocab_size);
    let ours = logits_of(&mut teacher, &batch);
    let (v, width) = (vocab_size as usize, batch.width);
    let mut largest = 0f32;
    for (row_idx, length) in batch.lengths.iter().enumerate() {
        let (start, length) = (row_idx * width, *length as usize);
        let theirs = reference_logits(&shared(model), &batch.ids_bt[start..start + length]);
        assert_eq!(theirs.len(), length * v);
        for (a, b) in ours[start * v..].iter().zip(&theirs) {
            largest = largest.max((a - b).abs());
        }
    }
    largest
}

#[test]
fn stories260k_gives_the_logits_that_python_gives_despite_batching_and_padding() {
    let largest = largest_difference("models/stories260K/model.onnx", 512);
    assert!(largest <= 1e-5, "largest difference {largest}");
}

#[test]
fn a_gpt2_with_int32_inputs_fused_ops_and_an_empty_past_gives_the_logits_that_python_gives() {
    let largest = largest_difference("models/tiny-random-gpt2/past.onnx", 1000);
    assert!(largest <= 1e-5, "largest difference {largest}");
}

#[test]
fn stories260k_exported_to_onnx_has_the_logits_of_its_published_onnx_model() {
    let model = read_hf(&shared("models/stories260K")).unwrap();
    assert_eq!(model.params.spec.n_parameters(), 260_032);
    let workspace = Workspace::new();
    let exported = workspace.path("model.onnx");
    write_onnx(
        &exported,
        &model.params,
        OnnxWeights::Inline,
        &Interrupt::new(),
    )
    .unwrap();
    let ids: Vec<u32> = ragged_batch(512)
        .ids_bt
        .into_iter()
        .cycle()
        .take(512)
        .collect();
    let ours = reference_logits(&exported, &ids);
    let theirs = reference_logits(&shared("models/stories260K/model.onnx"), &ids);
    assert_eq!(ours.len(), 512 * 512);
    let difference = |(a, b): (&f32, &f32)| (a - b).abs();
    let largest = std::iter::zip(&ours, &theirs)
        .map(difference)
        .fold(0.0, f32::max);
    println!("stories260K, exported: largest difference {largest}");
    assert!(largest <= 1e-4, "largest difference {largest}");
}

#[test]
fn signatures_of_real_files_are_read() {
    let stories = read_signature(&shared("models/stories260K/model.onnx"), None).unwrap();
    assert_eq!(stories.inputs.len(), 1);
    assert_eq!(
        (stories.vocab_size, stories.max_seq_len),
        (Some(512), Some(512))
    );
    assert_eq!((stories.fixed_batch, stories.fixed_seq_len), (None, None));
    let gpt2 = read_signature(&shared("models/tiny-random-gpt2/past.onnx"), None).unwrap();
    assert_eq!((gpt2.vocab_size, gpt2.max_seq_len), (Some(1000), Some(512)));
    let past = &gpt2.inputs[3];
    let dims = vec![
        PastDim::Fixed(2),
        PastDim::Batch { factor: 1 },
        PastDim::Fixed(4),
        PastDim::Empty,
        PastDim::Fixed(8),
    ];
    assert_eq!(
        (past.0.name.as_str(), &past.1),
        ("past_0", &InputRole::Past { dims })
    );
    assert_eq!(gpt2.inputs[1].1, InputRole::PositionIds { rank: 2 });
}

#[test]
fn a_length_beyond_the_models_limit_is_refused_at_once() {
    let message = open("models/stories260K/model.onnx", 513)
        .err()
        .unwrap()
        .to_string();
    assert!(
        message.contains("sequences of 513 tokens exceed the limit of 512"),
        "{message}"
    );
    assert!(
        message.contains("--seq-len") && message.contains("config.json"),
        "{message}"
    );
}

/// A directory to work in, with a tool for each step that a user takes.
struct Workspace(tempfile::TempDir);

impl Workspace {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn tokenize(&self, input: &Path, tokenizer: &str) {
        let mut tokenize = saltworks();
        tokenize.arg("tokenize").arg("--input").arg(input);
        tokenize.arg("--tokenizer").arg(shared(tokenizer));
        succeed(
            tokenize
                .args(["--eod", "none", "--output"])
                .arg(self.path("tokens")),
        );
    }

    fn label(&self, model: &Path, tokens: &str) -> Command {
        let mut label = saltworks();
        label.args([
            "label", "--device", "cpu", "--top-k", "64", "--round", "f32",
        ]);
        label.arg("--teacher").arg(model);
        label
            .arg("--tokens")
            .arg(self.path(tokens))
            .arg("--output")
            .arg(self.path("labels"));
        label
    }

    /// What the check in numpy says, which fails on any value off by more than 2e-5.
    fn check(&self, model: &str) -> serde_json::Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/check_labels.py");
        let output = succeed(
            support::python()
                .arg(script)
                .arg(self.path("labels"))
                .arg(shared(model)),
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Published for this model over these five stories, each behind its `<s>`.
const STORIES_MEAN_NLL: f64 = 1.2664;

/// One story a line.
fn write_stories(workspace: &Workspace) {
    let stories = std::fs::read_to_string(shared("corpus/tinystories.sample.txt")).unwrap();
    let stories = stories
        .split("<|endoftext|>")
        .map(str::trim)
        .filter(|story| !story.is_empty());
    let line = |story| serde_json::json!({ "text": story }).to_string() + "\n";
    std::fs::write(
        workspace.path("stories.jsonl"),
        stories.map(line).collect::<String>(),
    )
    .unwrap();
}

#[test]
fn five_stories_are_labelled_as_numpy_says_with_the_known_mean_nll() {
    let workspace = Workspace::new();
    write_stories(&workspace);
    workspace.tokenize(
        &workspace.path("stories.jsonl"),
        "models/stories260K/tokenizer.json",
    );
    let model = "models/stories260K/model.onnx";
    succeed(workspace.label(&shared(model), "tokens").args([
        "--packing",
        "document",
        "--seq-len",
        "512",
    ]));
    let found = workspace.check(model);
    println!("stories260K: {found}");
    assert_eq!(
        (found["rows"].as_u64(), found["targets"].as_u64()),
        (Some(5), Some(1804))
    );
    let mean_nll = found["mean_nll"].as_f64().unwrap();
    assert!((mean_nll - STORIES_MEAN_NLL).abs() < 0.0005, "{mean_nll}");
}

#[test]
fn the_stories_are_labelled_from_the_checkpoint_as_from_its_onnx_file() {
    let workspace = Workspace::new();
    let model = "models/stories260K";
    let checkpoint = workspace.path("checkpoint");
    std::fs::create_dir(&checkpoint).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        std::fs::copy(shared(model).join(name), checkpoint.join(name)).unwrap();
    }
    write_stories(&workspace);
    let tokenizer = "models/stories260K/tokenizer.json";
    workspace.tokenize(&workspace.path("stories.jsonl"), tokenizer);
    let mut label = workspace.label(&checkpoint, "tokens");
    succeed(label.args(["--packing", "document", "--seq-len", "512"]));
    let rows = rows_of(&workspace.path("labels"));
    let logprobs = rows.iter().flat_map(|row| &row.signals.target_logprob_t);
    let n_targets = logprobs.clone().count();
    let mean_nll = -logprobs.map(|&q| f64::from(q)).sum::<f64>() / n_targets as f64;
    println!("stories260K from its checkpoint: {mean_nll} over {n_targets} targets");
    assert_eq!((rows.len(), n_targets), (5, 1804));
    assert!((mean_nll - STORIES_MEAN_NLL).abs() < 0.0001, "{mean_nll}");
}

/// The trainer's binary on stories260K.
fn train(command: &str) -> Command {
    let mut train = Command::new(env!("CARGO_BIN_EXE_saltworks-train"));
    train
        .arg(command)
        .arg("--model")
        .arg(shared("models/stories260K"));
    train
}

#[test]
fn the_trainer_gives_the_five_stories_their_known_mean_nll() {
    let mut eval = train("eval");
    eval.arg("--text")
        .arg(shared("corpus/tinystories.sample.txt"));
    eval.args([
        "--split-on",
        "<|endoftext|>",
        "--packing",
        "document",
        "--eod",
        "none",
        "--json",
    ]);
    let found: serde_json::Value = serde_json::from_slice(&succeed(&mut eval).stdout).unwrap();
    println!("stories260K by the trainer: {found}");
    assert_eq!(
        (found["n_sequences"].as_u64(), found["n_targets"].as_u64()),
        (Some(5), Some(1804))
    );
    let mean_nll = found["mean_nll_nats"].as_f64().unwrap();
    assert!((mean_nll - STORIES_MEAN_NLL).abs() < 0.0005, "{mean_nll}");
}

#[test]
fn stories260k_exported_labels_every_token_as_the_trainer_itself_does() {
    let workspace = Workspace::new();
    succeed(
        train("export")
            .arg("--onnx")
            .arg(workspace.path("model/model.onnx")),
    );
    let sample = shared("corpus/tinystories.sample.txt");
    workspace.tokenize(&sample, "models/stories260K/tokenizer.json");
    let mut label = saltworks();
    label.args([
        "label",
        "--device",
        "cpu",
        "--round",
        "f32",
        "--seq-len",
        "200",
    ]);
    label
        .arg("--teacher")
        .arg(workspace.path("model/model.onnx"));
    label.arg("--tokens").arg(workspace.path("tokens"));
    succeed(label.arg("--output").arg(workspace.path("labels")));
    let rows = rows_of(&workspace.path("labels"));
    let largest = rows
        .iter()
        .map(largest_difference_from_trainer)
        .fold(0.0, f32::max);
    let n_targets: u32 = rows.iter().map(|row| row.n_targets).sum();
    println!("exported, labelled, {n_targets} targets: largest difference {largest}");
    assert!(n_targets > 1_000 && largest < 1e-4, "{n_targets} {largest}");
}

fn rows_of(labels: &Path) -> Vec<Row> {
    let set = LabelSet::open(labels).unwrap();
    let mut reader = ShardReader::open(labels, &set.segments[0], 0).unwrap();
    (0..reader.n_row_groups())
        .flat_map(|idx| reader.read_row_group(idx).unwrap())
        .collect()
}

/// Of the target's log-probability, over the positions of a labelled sequence.
fn largest_difference_from_trainer(row: &Row) -> f32 {
    let params = read_hf(&shared("models/stories260K")).unwrap().params;
    let n_targets = row.n_targets as usize;
    let capacity = Capacity {
        n_positions: n_targets,
        seq_len: n_targets,
        threads: 1,
        training: false,
        recompute: false,
    };
    let batch = MicroBatch {
        ids_n: row.input_ids[..n_targets].to_vec(),
        targets_n: row.input_ids[1..].to_vec(),
        weights_n: vec![1.0; n_targets],
        starts: vec![0, n_targets],
        kd: None,
    };
    let mut scores_n = vec![PositionScore::default(); n_targets];
    Network::new(params, capacity).evaluate(&batch, &mut scores_n);
    let labels = &row.signals.target_logprob_t;
    assert!(scores_n.iter().all(|score| score.nll.is_finite()));
    std::iter::zip(&scores_n, labels)
        .map(|(score, label)| (-score.nll as f32 - label).abs())
        .fold(0.0, f32::max)
}

#[test]
fn a_gpt2_of_random_weights_labels_random_tokens_as_numpy_says() {
    let workspace = Workspace::new();
    let ids = ragged_batch(1000).ids_bt;
    let bytes: Vec<u8> = ids
        .iter()
        .flat_map(|&id| (id as u16).to_le_bytes())
        .collect();
    std::fs::write(workspace.path("tokens.bin"), bytes).unwrap();
    let model = "models/tiny-random-gpt2/past.onnx";
    let mut label = workspace.label(&shared(model), "tokens.bin");
    succeed(label.args([
        "--seq-len",
        "50",
        "--tokens-format",
        "nanogpt",
        "--temperatures",
        "0.5,2",
    ]));
    let found = workspace.check(model);
    println!("tiny-random-gpt2: {found}");
    assert_eq!(found["targets"].as_u64(), Some(191));
}

#[test]
fn a_teacher_with_another_tokenizers_tokens_is_refused() {
    let workspace = Workspace::new();
    let sample = shared("corpus/tinystories.sample.txt");
    workspace.tokenize(&sample, "models/tiny-random-gpt2/tokenizer.json");
    let mut label = workspace.label(&shared("models/tiny-random-gpt2/past.onnx"), "tokens");
    let printed = fail_with(label.args(["--seq-len", "50"]), 2);
    assert!(
        printed.contains("1000") && printed.contains("50295"),
        "{printed}"
    );
    assert!(!workspace.path("labels").exists());
}
