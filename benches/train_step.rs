//! One training step as a share of what the matrix product alone reaches: model-FLOP utilisation
//! (MFU) of forward, backward, clipping and AdamW, against the sgemm peak measured between steps.
//!
//! `cargo bench --bench train_step`

use saltworks::train::model::{Capacity, MemoryPlan, ModelSpec, Network, Params};
use saltworks::train::ops::{AdamW, AdamWConfig, sgemm_peak_flops};
use saltworks::train::{KdLoss, KdTargets, MicroBatch};
use std::time::Instant;

const SEQ_LEN: usize = 256;
const BATCH: usize = 8;
const ROUNDS: usize = 9;
const K: usize = 64;

fn main() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let pool = pool.expect("threads can be started");
    println!("{threads} threads, T {SEQ_LEN}, B {BATCH}, f32");
    pool.install(|| {
        for vocab_size in [8192, 32_000] {
            measure(vocab_size, threads);
        }
    });
}

fn spec(vocab_size: usize) -> ModelSpec {
    ModelSpec {
        vocab_size,
        d_model: 256,
        n_layers: 6,
        n_heads: 8,
        n_kv_heads: 8,
        head_dim: 32,
        d_ff: 768,
        max_seq_len: SEQ_LEN,
        rope_theta: 10_000.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tie_embeddings: false,
    }
}

fn measure(vocab_size: usize, threads: usize) {
    let spec = spec(vocab_size);
    let flops = spec.flops_per_token(SEQ_LEN) * (SEQ_LEN * BATCH) as f64;
    let mut trainer = Trainer::new(&spec, threads, false);
    let (ce, kd) = (batch(vocab_size, false), batch(vocab_size, true));
    trainer.step(&ce);
    let rounds: Vec<Round> = (0..ROUNDS)
        .map(|_| Round {
            peak: sgemm_peak_flops(threads),
            ce: trainer.step(&ce),
            kd: trainer.step(&kd),
        })
        .collect();
    println!(
        "\n{:.1}M parameters, V {vocab_size}: {:.1} GFLOP a step, sgemm peak {:.0} GFLOP/s",
        spec.n_parameters() as f64 / 1e6,
        flops / 1e9,
        median(&rounds, |round| round.peak) / 1e9
    );
    println!(
        "  step {:.0} ms, MFU {:.1}%",
        1e3 * median(&rounds, |round| round.ce),
        100.0 * median(&rounds, |round| flops / round.ce / round.peak)
    );
    println!(
        "  KD (K {K}) over CE: {:.3}",
        median(&rounds, |round| round.kd / round.ce)
    );
    println!(
        "  memory planned {} MiB, peak resident {} MiB",
        trainer.planned_bytes >> 20,
        peak_resident_kib().map_or("?".into(), |kib| (kib >> 10).to_string())
    );
    let mut recomputing = Trainer::new(&spec, threads, true);
    recomputing.step(&ce);
    let ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| recomputing.step(&ce) / trainer.step(&ce))
        .collect();
    println!(
        "  recompute: {} MiB planned, {:.3} times the time",
        recomputing.planned_bytes >> 20,
        median(&ratios, |ratio| *ratio)
    );
    for (name, seconds) in trainer.shares() {
        println!("    {name:22} {:5.1}%", 100.0 * seconds / trainer.seconds);
    }
}

/// What is timed in turn.
struct Round {
    peak: f64,
    ce: f64,
    kd: f64,
}

fn median<T>(rounds: &[T], value: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A network with its optimizer.
struct Trainer {
    network: Network,
    optimizer: AdamW,
    planned_bytes: u64,
    n_steps: u64,
    seconds: f64,
}

impl Trainer {
    fn new(spec: &ModelSpec, threads: usize, recompute: bool) -> Self {
        let capacity = Capacity {
            n_positions: SEQ_LEN * BATCH,
            seq_len: SEQ_LEN,
            threads,
            training: true,
            recompute,
        };
        let moments = 8 * spec.n_parameters() as u64;
        Self {
            network: Network::new(Params::init(spec, 1), capacity),
            optimizer: AdamW::new(spec.n_parameters()),
            planned_bytes: MemoryPlan::of(spec, &capacity).total() + moments,
            n_steps: 0,
            seconds: 0.0,
        }
    }

    /// Seconds.
    fn step(&mut self, batch: &MicroBatch) -> f64 {
        self.n_steps += 1;
        let seconds = one_step(&mut self.network, &mut self.optimizer, batch, self.n_steps);
        self.seconds += seconds;
        seconds
    }

    /// Seconds of each part, the optimizer and the norm of gradients as the last.
    fn shares(&self) -> Vec<(&'static str, f64)> {
        let mut shares: Vec<_> = self.network.profile().seconds().collect();
        let inside: f64 = shares.iter().map(|(_, seconds)| seconds).sum();
        shares.push(("optimizer, clipping", self.seconds - inside));
        shares
    }
}

/// Forward, backward, clipping, update; seconds.
fn one_step(network: &mut Network, optimizer: &mut AdamW, batch: &MicroBatch, step: u64) -> f64 {
    let config = AdamWConfig {
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
    };
    let began = Instant::now();
    network.zero_grads();
    network.forward_backward(batch, 1.0 / batch.n_positions() as f32);
    let scale = (1.0 / network.grad_norm()).min(1.0) as f32;
    let (params, grads) = (&mut network.params, &network.grads);
    optimizer.update(
        &config,
        &params.layout.tensors,
        &mut params.values,
        grads,
        1e-3,
        scale,
        step,
    );
    began.elapsed().as_secs_f64()
}

fn batch(vocab_size: usize, with_kd: bool) -> MicroBatch {
    let n = SEQ_LEN * BATCH;
    let mut state = 1_u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let ids: Vec<u32> = (0..=n).map(|_| next(vocab_size) as u32).collect();
    MicroBatch {
        ids_n: ids[..n].to_vec(),
        targets_n: ids[1..].to_vec(),
        weights_n: vec![1.0; n],
        starts: (0..=BATCH).map(|row| row * SEQ_LEN).collect(),
        kd: with_kd.then(|| KdTargets {
            loss: KdLoss::TailBucket,
            student_tau: 1.0,
            omega_n: vec![0.5; n],
            teacher_nll_n: Vec::new(),
            offsets: (0..=n).map(|row| (row * K) as u32).collect(),
            ids: (0..n)
                .flat_map(|_| {
                    let first = next(vocab_size);
                    (0..K).map(move |k| ((first + 7919 * k) % vocab_size) as u32)
                })
                .collect(),
            probs: (0..n).flat_map(|_| [0.9 / K as f32; K]).collect(),
            tail_n: vec![0.1; n],
        }),
    }
}

/// VmHWM of this process.
fn peak_resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
