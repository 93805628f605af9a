//! The whole pipeline over the bare model: tokens a second of `label`, from token file to published
//! shards, divided by those of nothing but `session.run` on the same batches, in one run.
//!
//!     make bench            (or: ORT_DYLIB_PATH=… cargo bench --bench pipeline [-- TOKENS])
//!
//! Machines are noisy: the bare model is timed before and after each pipeline run, and the ratio
//! of each round is printed beside the median.

use saltworks::label::{Interrupt, LabelOptions, Observer, label};
use saltworks::onnx::build::{DecoderSpec, decoder};
use saltworks::shards::Group;
use saltworks::teacher::{DeviceChoice, Teacher, TeacherOptions, TokenBatch, load_runtime};
use saltworks::tokens::TokenFormat;
use std::path::Path;
use std::time::Instant;

const SEQ_LEN: u32 = 512;
const BATCH_ROWS: usize = 2;
const VOCAB_SIZE: u64 = 50_257;
const TOP_K: u32 = 64;
const N_ROUNDS: usize = 5;

fn main() {
    let n_tokens = std::env::args()
        .filter_map(|arg| arg.parse().ok())
        .next()
        .unwrap_or(16_384);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let model = dir.path().join("teacher.onnx");
    let spec = DecoderSpec {
        vocab_size: VOCAB_SIZE,
        width: 384,
        n_layers: 6,
        n_heads: 6,
        max_seq_len: u64::from(SEQ_LEN),
        seed: 1,
        ..DecoderSpec::default()
    };
    let n_parameters = decoder(&spec, &model).expect("the teacher is written");
    let tokens = dir.path().join("tokens.bin");
    std::fs::write(&tokens, random_tokens(n_tokens + 1)).expect("the tokens are written");
    load_runtime(None).expect("ONNX Runtime is found: set ORT_DYLIB_PATH, or run `make setup`");

    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "teacher {:.1}M parameters, V {VOCAB_SIZE}, T {SEQ_LEN}, K {TOP_K}, {n_tokens} tokens, {threads} threads",
        n_parameters as f64 / 1e6
    );
    println!("round  bare tok/s  pipeline tok/s  ratio");
    let mut bare_before = bare(&model, n_tokens, threads);
    let mut ratios = Vec::new();
    for round in 0..N_ROUNDS {
        let pipeline = pipeline(
            &model,
            &tokens,
            &dir.path().join(format!("labels-{round}")),
            threads,
        );
        let bare_after = bare(&model, n_tokens, threads);
        let bare = 2.0 / (1.0 / bare_before + 1.0 / bare_after);
        println!(
            "{round:>5}  {bare:>10.0}  {pipeline:>14.0}  {:.3}",
            pipeline / bare
        );
        ratios.push(pipeline / bare);
        bare_before = bare_after;
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.3}", ratios[N_ROUNDS / 2]);
}

/// Tokens a second of the model alone, after one batch to warm up.
fn bare(model: &Path, n_tokens: usize, threads: usize) -> f64 {
    let mut teacher = Teacher::open(&TeacherOptions {
        model: model.into(),
        device: DeviceChoice::Cpu,
        threads,
        logits_output: None,
        seq_len_max: SEQ_LEN,
    })
    .expect("the teacher opens");
    let width = SEQ_LEN as usize;
    let ids_bt = (0..BATCH_ROWS * width)
        .map(|i| (i * 7919 % VOCAB_SIZE as usize) as u32)
        .collect();
    let batch = TokenBatch {
        ids_bt,
        n_rows: BATCH_ROWS,
        width,
        lengths: vec![SEQ_LEN; BATCH_ROWS],
    };
    teacher.run(&batch, |_| ()).expect("the teacher runs");
    let n_runs = n_tokens / (BATCH_ROWS * width);
    let started = Instant::now();
    for _ in 0..n_runs {
        teacher.run(&batch, |_| ()).expect("the teacher runs");
    }
    (n_runs * BATCH_ROWS * width) as f64 / started.elapsed().as_secs_f64()
}

/// Tokens a second of labelling into `output`, after the inputs are open.
fn pipeline(model: &Path, tokens: &Path, output: &Path, threads: usize) -> f64 {
    let options = LabelOptions {
        teacher: Some(model.into()),
        tokens: Some(tokens.into()),
        tokens_format: Some(TokenFormat::NanoGpt),
        output: Some(output.into()),
        seq_len: Some(SEQ_LEN),
        top_k: Some(TOP_K),
        groups: Some(vec![Group::Stats, Group::Topk]),
        device: Some("cpu".into()),
        threads: Some(threads),
        batch_tokens: Some(BATCH_ROWS as u32 * SEQ_LEN),
        ..LabelOptions::default()
    };
    let config = options.resolve().expect("the options are good");
    label(&config, &Interrupt::new(), &Observer::NONE)
        .expect("labelling works")
        .tokens_per_s
}

fn random_tokens(n_tokens: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((u64::from(state) * VOCAB_SIZE) >> 32) as u16).to_le_bytes()
    };
    (0..n_tokens).flat_map(next).collect()
}
