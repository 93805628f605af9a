//! One training step as a fraction of what the matrix product alone reaches: model-FLOP utilisation (MFU) of
//! forward, backward, clipping and AdamW, relative to the sgemm peak measured between steps. Also KD steps,
//! with every gate and with two teachers, relative to CE steps, including their targets: in wall-clock time,
//! and in CPU time, which other load on the machine affects less.
//!
//! `cargo bench --bench train_step`

use saltworks::signals::PositionSignals;
use saltworks::train::loss::{
    Gate, Joining, KdPolicy, StepKd, Teachers, join_stats, least_excess, targets_of,
};
use saltworks::train::model::{Capacity, MemoryPlan, ModelSpec, Network, Params};
use saltworks::train::ops::{AdamW, AdamWConfig, sgemm_peak_flops};
use saltworks::train::{Example, KdLoss, MicroBatch};
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
    let mut ce = Task::cross_entropy(vocab_size);
    let mut kds = kinds(vocab_size);
    trainer.step(&mut ce);
    // The gate `excess` has its threshold from the step before.
    for (_, task) in &mut kds {
        trainer.step(task);
    }
    let rounds: Vec<Round> = (0..ROUNDS)
        .map(|_| Round {
            peak: sgemm_peak_flops(threads),
            ce: trainer.timed_step(&mut ce),
            kds: kds
                .iter_mut()
                .map(|(_, task)| trainer.timed_step(task))
                .collect(),
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
        1e3 * median(&rounds, |round| round.ce.seconds),
        100.0 * median(&rounds, |round| flops / round.ce.seconds / round.peak)
    );
    println!("  KD (K {K}) over CE, targets included: by the clock, by processor time");
    for (i, (name, _)) in kds.iter().enumerate() {
        let by_clock = median(&rounds, |round| round.kds[i].seconds / round.ce.seconds);
        let by_processor = median(&rounds, |round| round.kds[i].processor / round.ce.processor);
        println!("    {name:22} {by_clock:.3}  {by_processor:.3}");
    }
    println!(
        "  memory planned {} MiB, peak resident {} MiB",
        trainer.planned_bytes >> 20,
        peak_resident_kib().map_or("?".into(), |kib| (kib >> 10).to_string())
    );
    let mut recomputing = Trainer::new(&spec, threads, true);
    recomputing.step(&mut ce);
    let ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| recomputing.step(&mut ce) / trainer.step(&mut ce))
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
    ce: Time,
    kds: Vec<Time>,
}

/// Of one step, seconds.
#[derive(Clone, Copy)]
struct Time {
    seconds: f64,
    /// Of all threads together; NaN where the system does not say.
    processor: f64,
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

    fn timed_step(&mut self, task: &mut Task) -> Time {
        let before = processor_seconds().unwrap_or(f64::NAN);
        let seconds = self.step(task);
        let after = processor_seconds().unwrap_or(f64::NAN);
        Time {
            seconds,
            processor: after - before,
        }
    }

    /// Seconds.
    fn step(&mut self, task: &mut Task) -> f64 {
        self.n_steps += 1;
        let began = Instant::now();
        let batch = task.batch();
        one_step(&mut self.network, &mut self.optimizer, &batch, self.n_steps);
        task.observe(&batch, &self.network);
        let seconds = began.elapsed().as_secs_f64();
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

/// Forward, backward, clipping, update.
fn one_step(network: &mut Network, optimizer: &mut AdamW, batch: &MicroBatch, step: u64) {
    let config = AdamWConfig {
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
    };
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
}

/// What a step learns from.
struct Task {
    examples: Vec<Example>,
    policy: Option<KdPolicy>,
    least_excess: Option<f32>,
}

impl Task {
    fn cross_entropy(vocab_size: usize) -> Self {
        Self {
            examples: examples(vocab_size, 0),
            policy: None,
            least_excess: None,
        }
    }

    fn batch(&self) -> MicroBatch {
        let kd = self.policy.as_ref().map(|policy| {
            StepKd::new(policy, 0.5, &self.examples, false).with_least_excess(self.least_excess)
        });
        targets_of(&self.examples, kd, false)
    }

    /// The threshold that a step leaves to the next.
    fn observe(&mut self, batch: &MicroBatch, network: &Network) {
        let policy = self
            .policy
            .as_ref()
            .filter(|policy| policy.gate == Gate::Excess);
        if let (Some(policy), Some(kd)) = (policy, &batch.kd) {
            let rows = network.row_losses(batch.n_positions()).iter();
            let excesses = rows.zip(&kd.teacher_nll_n);
            let excesses = excesses.map(|(row, &nll)| (row.ce - f64::from(nll)) as f32);
            self.least_excess = least_excess(excesses.collect(), policy.gate_fraction);
        }
    }
}

/// KD by one teacher behind every gate, and by two.
fn kinds(vocab_size: usize) -> Vec<(&'static str, Task)> {
    let one = examples(vocab_size, 1);
    let gates = [
        ("no gate", Gate::None),
        ("learnable", Gate::Learnable),
        ("entropy", Gate::Entropy),
        ("agreement", Gate::Agreement),
        ("excess", Gate::Excess),
    ];
    let gated = gates.map(|(name, gate)| {
        let policy = KdPolicy {
            gate,
            gate_k: 10,
            gate_fraction: if gate == Gate::Excess { 0.4 } else { 0.15 },
            ..KdPolicy::of(KdLoss::TailBucket)
        };
        (name, of_teachers(one.clone(), policy))
    });
    let two = examples(vocab_size, 2);
    let several = [
        ("two teachers, mixed", Teachers::Mix),
        ("two, of the lower NLL", Teachers::LowerNll),
    ];
    let several = several.map(|(name, how)| {
        let policy = KdPolicy {
            tau_idx: vec![None; 2],
            joining: Joining::new(how, &[1.0, 1.0]),
            ..KdPolicy::of(KdLoss::TailBucket)
        };
        (name, of_teachers(two.clone(), policy))
    });
    gated.into_iter().chain(several).collect()
}

/// With what the loader does once for all steps.
fn of_teachers(mut examples: Vec<Example>, policy: KdPolicy) -> Task {
    for example in examples
        .iter_mut()
        .filter(|example| !example.others.is_empty())
    {
        let signals = example.signals.as_mut().expect("there are teachers");
        example.chosen_t = join_stats(signals, &example.others, &policy.joining);
    }
    Task {
        examples,
        policy: Some(policy),
        least_excess: None,
    }
}

fn examples(vocab_size: usize, n_teachers: usize) -> Vec<Example> {
    let mut state = 1_u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % below
    };
    let mut example = || {
        let mut teachers = (0..n_teachers).map(|_| signals(vocab_size, &mut next));
        let (first, others) = (teachers.next(), teachers.collect());
        Example {
            input_ids: (0..=SEQ_LEN).map(|_| next(vocab_size) as u32).collect(),
            doc_starts: vec![0],
            signals: first,
            others,
            ..Example::default()
        }
    };
    (0..BATCH).map(|_| example()).collect()
}

/// A teacher of random text: its NLL lies about the student's first.
fn signals(vocab_size: usize, next: &mut impl FnMut(usize) -> usize) -> PositionSignals {
    let mut list = |below| -> Vec<usize> { (0..SEQ_LEN).map(|_| next(below)).collect() };
    let (nlls, ranks, entropies, firsts) = (list(1800), list(40), list(600), list(vocab_size));
    let ids = firsts
        .into_iter()
        .flat_map(|first| (0..K).map(move |k| ((first + 7919 * k) % vocab_size) as u32));
    PositionSignals {
        target_logprob_t: nlls.into_iter().map(|nll| -(nll as f32) / 100.0).collect(),
        target_rank_t: ranks.into_iter().map(|rank| rank as u16).collect(),
        entropy_t: entropies.into_iter().map(|e| e as f32 / 100.0).collect(),
        topk_ids_tk: ids.collect(),
        topk_logprobs_tk: vec![(0.9 / K as f32).ln(); SEQ_LEN * K],
        tail_mass_t: vec![0.1; SEQ_LEN],
        ..PositionSignals::default()
    }
}

/// Processor time of every thread of this process that still runs.
fn processor_seconds() -> Option<f64> {
    let mut nanoseconds = 0.0;
    for thread in std::fs::read_dir("/proc/self/task").ok()? {
        let times = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanoseconds += times.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    Some(nanoseconds / 1e9)
}

/// VmHWM of this process.
fn peak_resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
