//! One training step as a share of what the matrix product alone reaches: model-FLOP utilisation
//! (MFU) of forward, backward, clipping and AdamW, against the sgemm peak measured between steps.
//!
//! `cargo bench --bench train_step`

use saltworks::train::loss::{KdLoss, KdTargets, MicroBatch};
use saltworks::train::model::{Capacity, MemoryPlan, ModelSpec, Network, Params};
use saltworks::train::ops::{AdamW, AdamWConfig, sgemm_peak_flops};
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
        norm_eps: 1e-5,
        tie_embeddings: false,
    }
}

fn measure(vocab_size: usize, threads: usize) {
    let spec = spec(vocab_size);
    let n = SEQ_LEN * BATCH;
    let capacity = Capacity {
        n_positions: n,
        seq_len: SEQ_LEN,
        threads,
        training: true,
        recompute: false,
    };
    let planned = MemoryPlan::of(&spec, &capacity).total() + 8 * spec.n_parameters() as u64;
    let flops = spec.flops_per_token(SEQ_LEN) * n as f64;
    let mut network = Network::new(Params::init(&spec, 1), capacity);
    let mut optimizer = AdamW::new(network.params.layout.len);
    let (ce, kd) = (batch(vocab_size, false), batch(vocab_size, true));
    let mut steps = 0;
    let mut step = |batch: &MicroBatch, network: &mut Network| {
        steps += 1;
        one_step(network, &mut optimizer, batch, steps)
    };
    step(&ce, &mut network);
    let mut rows = Vec::new();
    for _ in 0..ROUNDS {
        let peak = sgemm_peak_flops(threads);
        let ce_seconds = step(&ce, &mut network);
        let kd_seconds = step(&kd, &mut network);
        rows.push((peak, ce_seconds, kd_seconds));
    }
    let median = |f: &dyn Fn(&(f64, f64, f64)) -> f64| {
        let mut values: Vec<f64> = rows.iter().map(f).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!(
        "\n{:.1}M parameters, V {vocab_size}: {:.1} GFLOP a step, sgemm peak {:.0} GFLOP/s",
        spec.n_parameters() as f64 / 1e6,
        flops / 1e9,
        median(&|row| row.0) / 1e9
    );
    println!(
        "  step {:.0} ms, MFU {:.1}%",
        1e3 * median(&|row| row.1),
        100.0 * median(&|row| flops / row.1 / row.0)
    );
    println!("  KD (K {K}) over CE: {:.3}", median(&|row| row.2 / row.1));
    println!(
        "  memory planned {} MiB, peak resident {} MiB",
        planned >> 20,
        peak_resident_kib().map_or("?".into(), |kib| (kib >> 10).to_string())
    );
    let total: f64 = network.profile().seconds().map(|(_, s)| s).sum();
    let optimizer: f64 = rows.iter().map(|row| row.1 + row.2).sum::<f64>();
    for (name, seconds) in network.profile().seconds() {
        println!(
            "    {name:22} {:5.1}%",
            100.0 * seconds / optimizer.max(total)
        );
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
    let layout = &params.layout;
    optimizer.update(
        &config,
        layout,
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
