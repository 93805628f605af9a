//! The reduction alone: microseconds per row and thread, and gigabytes of logits per second, compared with a
//! plain read (a sum) of the same bytes in the same run.
//!
//!     cargo bench --bench kernel

#[path = "support/measure.rs"]
mod measure;

use measure::fastest;
use saltworks::signals::{
    Groups, Logits, LogitsData, Rounding, Sampling, SequenceTargets, SignalsConfig,
    instruction_set, reduce_batch,
};
use std::hint::black_box;

const N_ROWS: usize = 256;

fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("one thread starts").install(|| {
        println!("instruction set {}", instruction_set());
        println!("     V    K  extras           us a row   GB/s  a plain read GB/s");
        for vocab_size in [32_000, 50_257, 128_256] {
            let values = gaussian_like(N_ROWS * vocab_size);
            for top_k in [8, 64, 256] {
                measure(&values, &config(vocab_size, top_k), "");
            }
            let tempered = SignalsConfig {
                temperatures: vec![2.0],
                ..config(vocab_size, 64)
            };
            measure(&values, &tempered, "tau 2");
            let sampled = SignalsConfig {
                sampling: Some(Sampling {
                    n_draws: 50,
                    tau: 1.0,
                    seed: 0,
                }),
                ..tempered
            };
            measure(&values, &sampled, "tau 2, 50 draws");
            let plain = config(vocab_size, 64);
            let half: Vec<half::f16> = values.iter().copied().map(half::f16::from_f32).collect();
            measure_data(LogitsData::F16(&half), &values, &plain, "f16 logits");
            let half: Vec<half::bf16> = values.iter().copied().map(half::bf16::from_f32).collect();
            measure_data(LogitsData::Bf16(&half), &values, &plain, "bf16 logits");
        }
    });
}

fn config(vocab_size: usize, top_k: usize) -> SignalsConfig {
    SignalsConfig {
        groups: Groups {
            stats: true,
            topk: true,
        },
        top_k,
        temperatures: Vec::new(),
        rounding: Rounding::F16,
        vocab_size,
        sampling: None,
    }
}

fn measure(values: &[f32], config: &SignalsConfig, extras: &str) {
    measure_data(LogitsData::F32(values), values, config, extras);
}

/// `values` are for the plain read; bandwidth counts four bytes a logit.
fn measure_data(data: LogitsData<'_>, values: &[f32], config: &SignalsConfig, extras: &str) {
    let (vocab_size, top_k) = (config.vocab_size, config.top_k);
    let logits = Logits {
        data,
        n_rows: 1,
        width: N_ROWS,
        vocab_size,
    };
    let targets: Vec<u32> = (0..N_ROWS)
        .map(|t| (t * 7919 % vocab_size) as u32)
        .collect();
    let sequence = SequenceTargets {
        seq_id: 0,
        targets: &targets,
    };
    let reduce = fastest(|| drop(black_box(reduce_batch(logits, &[sequence], config))));
    let read = fastest(|| {
        black_box(sum(values));
    });
    let gigabytes = size_of_val(values) as f64 / 1e9;
    println!(
        "{vocab_size:>6} {top_k:>4}  {extras:<16} {:>8.1} {:>6.1} {:>18.1}",
        reduce * 1e6 / N_ROWS as f64,
        gigabytes / reduce,
        gigabytes / read
    );
}

/// In 64 lanes, so that it is the memory that limits it.
fn sum(values: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 64];
    for block in values.chunks_exact(64) {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane += value;
        }
    }
    lanes.iter().sum()
}

/// Sums of uniform draws: bell-shaped like a model's logits, some 5 wide.
fn gaussian_like(n: usize) -> Vec<f32> {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..n)
        .map(|_| (0..4).map(|_| uniform()).sum::<f32>() * 5.0)
        .collect()
}
