//! The time of a KD step from label shards relative to a CE step from token files, including the loader: the
//! cost of learning from a teacher.
//!
//!     make bench            (or: ORT_DYLIB_PATH=… cargo bench --bench train_labels)
//!
//! The shards are real: a small generated teacher first labels random tokens at K = 64. Both kinds of steps
//! alternate in blocks, each with its own loader reading ahead on the same cores.

#[path = "../tests/support/models/mod.rs"]
mod models;

use models::{DecoderSpec, decoder};
use saltworks::label::{Interrupt, LabelOptions, Observer, label};
use saltworks::teacher::load_runtime;
use saltworks::tokens::{OpenOptions, Packing, TokenFormat, ViewOptions};
use saltworks::train::data::{
    LabelNeeds, LabelSource, LabelSourceOptions, Loader, LoaderPosition, Stages, TokenOptions,
    TokenSource, TokenizerFacts,
};
use saltworks::train::loss::{Gate, KdPolicy, StepKd, targets_of};
use saltworks::train::model::{Capacity, ModelSpec, Network, Params};
use saltworks::train::ops::{AdamW, AdamWConfig};
use saltworks::train::{Example, KdLoss};
use std::path::Path;
use std::time::Instant;

const SEQ_LEN: u32 = 256;
const BATCH: usize = 8;
const TOP_K: u32 = 64;
const N_ROUNDS: usize = 7;
const STEPS_PER_BLOCK: usize = 6;

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    load_runtime(None).expect("ONNX Runtime is found: set ORT_DYLIB_PATH, or run `make setup`");
    println!("{threads} threads, T {SEQ_LEN}, B {BATCH}, K {TOP_K}, d 256, 6 layers");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.expect("threads can be started");
    for vocab_size in [8192, 32_000] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let n_steps = (N_ROUNDS + 1) * STEPS_PER_BLOCK;
        make_labels(dir.path(), vocab_size, n_steps * BATCH, threads);
        pool.install(|| compare(dir.path(), vocab_size as usize, threads));
    }
}

fn make_labels(dir: &Path, vocab_size: u64, n_sequences: usize, threads: usize) {
    let model = dir.join("teacher.onnx");
    let spec = DecoderSpec {
        vocab_size,
        width: 32,
        n_layers: 1,
        n_heads: 2,
        max_seq_len: u64::from(SEQ_LEN),
        ..DecoderSpec::default()
    };
    decoder(&spec, &model).expect("the teacher is written");
    let tokens = dir.join("tokens.bin");
    let n_tokens = n_sequences * SEQ_LEN as usize + 1;
    std::fs::write(&tokens, random_tokens(n_tokens, vocab_size)).expect("the tokens are written");
    let options = LabelOptions {
        teacher: Some(model),
        tokens: Some(tokens),
        tokens_format: Some(TokenFormat::NanoGpt),
        output: Some(dir.join("labels")),
        seq_len: Some(SEQ_LEN),
        top_k: TOP_K,
        device: "cpu".into(),
        threads: Some(threads),
        ..LabelOptions::default()
    };
    let config = options.resolve().expect("the options are good");
    label(&config, &Interrupt::new(), &Observer::NONE).expect("labelling works");
}

/// Which of the two streams a step reads.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Ce,
    Kd,
}

fn compare(dir: &Path, vocab_size: usize, threads: usize) {
    let mut trainer = Trainer::new(vocab_size, threads);
    let mut loaders = [loader(dir, Kind::Ce), loader(dir, Kind::Kd)];
    let mut block = |kind: Kind, trainer: &mut Trainer| {
        let began = Instant::now();
        for _ in 0..STEPS_PER_BLOCK {
            let examples = match kind {
                Kind::Ce => loaders[0].next_tokens(),
                Kind::Kd => loaders[1].next_labelled(),
            };
            trainer.step(&examples.expect("the loader gives the step"), kind);
        }
        began.elapsed().as_secs_f64() / STEPS_PER_BLOCK as f64
    };
    block(Kind::Ce, &mut trainer);
    block(Kind::Kd, &mut trainer);
    println!("V {vocab_size}\nround  CE ms  KD ms  ratio");
    let mut ratios = Vec::new();
    for round in 0..N_ROUNDS {
        // Each kind first in turn, so that a drift of the machine favours neither.
        let mut seconds = [0.0; 2];
        let order = if round % 2 == 0 {
            [Kind::Ce, Kind::Kd]
        } else {
            [Kind::Kd, Kind::Ce]
        };
        for kind in order {
            seconds[usize::from(kind == Kind::Kd)] = block(kind, &mut trainer);
        }
        let ratio = seconds[1] / seconds[0];
        println!(
            "{round:>5}  {:>5.0}  {:>5.0}  {ratio:.3}",
            1e3 * seconds[0],
            1e3 * seconds[1]
        );
        ratios.push(ratio);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.3}", ratios[N_ROUNDS / 2]);
}

fn loader(dir: &Path, kind: Kind) -> Loader {
    let n_steps = ((N_ROUNDS + 1) * STEPS_PER_BLOCK) as u64;
    let stages = |labelled: bool| Stages {
        labelled_steps: if labelled { n_steps } else { 0 },
        token_steps: if labelled { 0 } else { n_steps },
        batch_size: BATCH,
        label_epochs: 1,
        token_epochs: 1,
    };
    let labels = LabelSource::open(&LabelSourceOptions {
        dir: dir.join("labels"),
        selection: None,
        seed: 1,
        shuffle_row_groups: 8,
    })
    .expect("the labels open");
    if kind == Kind::Kd {
        let needs = LabelNeeds {
            loss: KdLoss::TailBucket,
            tau: 1.0,
            gate: Gate::None,
            min_top_k: TOP_K,
            teacher_nll: true,
        };
        labels
            .check_needs(&needs)
            .expect("the labels have what the loss needs");
        let start = LoaderPosition::default();
        return Loader::new(Some(labels), None, stages(true), 4, start).expect("enough labels");
    }
    let options = TokenOptions {
        path: dir.join("tokens.bin"),
        open_options: OpenOptions {
            format: Some(TokenFormat::NanoGpt),
            ..OpenOptions::default()
        },
        view: ViewOptions {
            packing: Packing::Concat,
            seq_len: SEQ_LEN,
            sequence_bos: None,
        },
        seed: 1,
    };
    let facts: TokenizerFacts = labels.tokenizer();
    let (tokens, _) = TokenSource::open(&options, &facts).expect("the tokens open");
    let start = LoaderPosition::default();
    Loader::new(None, Some(tokens), stages(false), 4, start).expect("enough tokens")
}

struct Trainer {
    network: Network,
    optimizer: AdamW,
    n_steps: u64,
}

impl Trainer {
    fn new(vocab_size: usize, threads: usize) -> Self {
        let spec = ModelSpec {
            vocab_size,
            d_model: 256,
            n_layers: 6,
            n_heads: 8,
            n_kv_heads: 8,
            head_dim: 32,
            d_ff: 768,
            max_seq_len: SEQ_LEN as usize,
            rope_theta: 10_000.0,
            rope_scaling: None,
            norm_eps: 1e-5,
            tie_embeddings: false,
        };
        let capacity = Capacity {
            n_positions: SEQ_LEN as usize * BATCH,
            seq_len: SEQ_LEN as usize,
            threads,
            training: true,
            recompute: false,
        };
        let network = Network::new(Params::init(&spec, 1), capacity);
        Self {
            optimizer: AdamW::new(network.params.layout.len),
            network,
            n_steps: 0,
        }
    }

    fn step(&mut self, examples: &[Example], kind: Kind) {
        let policy = KdPolicy::of(KdLoss::TailBucket);
        let kd = (kind == Kind::Kd).then(|| StepKd::new(&policy, 0.5, examples, false));
        let batch = targets_of(examples, kd, false);
        self.network.zero_grads();
        self.network
            .forward_backward(&batch, 1.0 / batch.n_positions() as f32);
        let scale = (1.0 / self.network.grad_norm()).min(1.0) as f32;
        let config = AdamWConfig {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
        };
        self.n_steps += 1;
        let (params, grads) = (&mut self.network.params, &self.network.grads);
        let values = &mut params.values;
        self.optimizer.update(
            &config,
            &params.layout.tensors,
            values,
            grads,
            1e-3,
            scale,
            self.n_steps,
        );
    }
}

/// nanoGPT's headerless u16.
fn random_tokens(n_tokens: usize, vocab_size: u64) -> Vec<u8> {
    let mut state = 1_u32;
    let next = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (((u64::from(state) * vocab_size) >> 32) as u16).to_le_bytes()
    };
    (0..n_tokens).flat_map(next).collect()
}
