//! The kernel's source, built by the system's C compiler and run on the CPU, compared with
//! `signals`.

// The emulation needs POSIX barriers, which are optional elsewhere.
#![cfg(target_os = "linux")]

mod alike;
mod binding;
mod emulator;

use super::error::CudaError;
use super::layout::*;
use super::limits::*;
use super::outputs::{NO_DEFECT, NOT_FINITE};
use crate::signals::{Groups, Rounding, SCORE_K, Sampling, SignalsConfig};
use crate::teacher::dtype::LogitsDtype;
use alike::{SCORE_TOLERANCE, assert_alike, assert_emulation_agrees};
use emulator::{Batch, Values, emulator};

const DTYPES: [LogitsDtype; 3] = [LogitsDtype::F32, LogitsDtype::F16, LogitsDtype::Bf16];
/// Any code of a defect other than the named ones.
const ALL_MASKED: u32 = 2;

fn config(vocab_size: usize, top_k: usize) -> SignalsConfig {
    SignalsConfig {
        groups: Groups {
            stats: true,
            topk: true,
        },
        top_k,
        temperatures: vec![0.5, 2.0],
        rounding: Rounding::F32,
        vocab_size,
        sampling: Some(Sampling {
            n_draws: 50,
            tau: 1.0,
            seed: 0x5a17_0b5e_55ed_0001,
        }),
    }
}

/// Reproducible pseudo-random numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        crate::splitmix::next(&mut self.0)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Approximately normal, with standard deviation about `scale`.
    fn logit(&mut self, scale: f32) -> f32 {
        let uniform = |x: u64| (x >> 40) as f32 / (1_u64 << 24) as f32;
        let sum: f32 = (0..12).map(|_| uniform(self.next())).sum();
        (sum - 6.0) * scale
    }

    fn row(&mut self, vocab_size: usize, scale: f32) -> Vec<f32> {
        (0..vocab_size).map(|_| self.logit(scale)).collect()
    }

    fn batch(&mut self, dtype: LogitsDtype, n: usize, vocab_size: usize, scale: f32) -> Batch {
        let rows: Vec<_> = (0..n).map(|_| self.row(vocab_size, scale)).collect();
        let targets = (0..n).map(|_| self.below(vocab_size) as u32).collect();
        Batch::of_rows(dtype, &rows, targets)
    }
}

#[test]
fn host_and_kernel_agree_on_numbers_and_sizes() {
    let library = &emulator().library;
    // SAFETY: these are arrays and numbers of that type in emulation.c.
    let (list, len) = unsafe {
        let len = library.get::<*const u32>(b"LAYOUT_LEN\0").unwrap();
        let list = library.get::<*const u32>(b"LAYOUT\0").unwrap();
        (*list, **len)
    };
    // SAFETY: the length is the one that the library states.
    let got = unsafe { std::slice::from_raw_parts(list, len as usize) };
    let [f32, f16, bf16] = DTYPES.map(|dtype| dtype as u32);
    let sizes = [8 * POSITION_WORDS, 8 * SUMS_WORDS, size_of::<Reduction>()];
    let numbers = [N_THREADS as usize, MAX_K, SCORE_K, BLOCK, MAX_SUMMED_BLOCKS];
    let expected: Vec<u32> = numbers
        .map(|n| n as u32)
        .into_iter()
        .chain([f32, f16, bf16, NO_DEFECT, NOT_FINITE, ALL_MASKED])
        .chain(sizes.map(|n| n as u32))
        .collect();
    assert_eq!(got, expected);
}

#[test]
fn rows_of_any_length_and_lists_of_any_length_agree_with_the_cpu() {
    let mut random = Random(1);
    for vocab_size in [1, 2, 10, 11, 63, 64, 65, 257, 1000, 2048] {
        for top_k in [1, 8, 64, 256, vocab_size] {
            let top_k = top_k.min(vocab_size);
            let batch = random.batch(LogitsDtype::F32, 2, vocab_size, 3.0);
            assert_emulation_agrees(&batch, &config(vocab_size, top_k), 32);
        }
    }
}

#[test]
fn a_long_row_agrees_with_the_cpu() {
    let mut random = Random(2);
    for (dtype, top_k) in [(LogitsDtype::F32, 64), (LogitsDtype::Bf16, MAX_K)] {
        let batch = random.batch(dtype, 2, 50_257, 2.5);
        assert_emulation_agrees(&batch, &config(50_257, top_k), 64);
    }
}

#[test]
fn half_precision_logits_agree_with_the_cpu() {
    let mut random = Random(3);
    for dtype in [LogitsDtype::F16, LogitsDtype::Bf16] {
        // The second scale is around the smallest normal half, 6.1e-5, so that normal and subnormal
        // values are ordered together.
        for scale in [1e-6, 1e-4, 0.5, 3.0, 900.0] {
            let batch = random.batch(dtype, 4, 1_501, scale);
            assert_emulation_agrees(&batch, &config(1_501, 64), 32);
        }
    }
}

#[test]
fn ties_fall_to_the_lowest_ids_however_many_there_are() {
    let mut random = Random(4);
    for n_levels in [1, 2, 5] {
        let vocab_size = 5_003;
        let rows: Vec<Vec<f32>> = (0..3)
            .map(|_| {
                (0..vocab_size)
                    .map(|_| random.below(n_levels) as f32 - 0.5)
                    .collect()
            })
            .collect();
        let targets = vec![0, 2_500, 5_002];
        for top_k in [1, 64, 1_025] {
            let batch = Batch::of_rows(LogitsDtype::F32, &rows, targets.clone());
            assert_emulation_agrees(&batch, &config(vocab_size, top_k), 32);
        }
    }
}

#[test]
fn zeros_of_both_signs_tie() {
    let row: Vec<f32> = (0..300)
        .map(|id| if id % 3 == 0 { -0.0 } else { 0.0 })
        .collect();
    let batch = Batch::of_rows(LogitsDtype::F32, &[row], vec![150]);
    assert_emulation_agrees(&batch, &config(300, 20), 32);
}

#[test]
fn ids_without_any_probability_are_ranked_last_and_never_drawn() {
    let mut random = Random(5);
    for n_finite in [1, 5, 70] {
        let mut row = vec![f32::NEG_INFINITY; 777];
        for _ in 0..n_finite {
            let id = random.below(777);
            row[id] = random.logit(4.0);
        }
        let targets = vec![random.below(777) as u32];
        let batch = Batch::of_rows(LogitsDtype::F32, &[row], targets);
        assert_emulation_agrees(&batch, &config(777, 64), 32);
    }
}

#[test]
fn a_peak_leaves_the_tail_its_own_digits() {
    let mut row: Vec<f32> = (0..3_000).map(|id| -(id % 83) as f32 * 0.9).collect();
    row[1_234] = 40.0;
    let batch = Batch::of_rows(LogitsDtype::F32, &[row], vec![7]);
    assert_emulation_agrees(&batch, &config(3_000, 8), 32);
}

#[test]
fn sums_are_as_exact_as_those_of_f64() {
    let mut random = Random(6);
    let row = random.row(20_011, 3.0);
    let z: Vec<f64> = row.iter().map(|&z| f64::from(z)).collect();
    let max = z.iter().copied().fold(f64::MIN, f64::max);
    let logsumexp = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
    let entropy: f64 = z
        .iter()
        .map(|z| (z - logsumexp).exp() * (logsumexp - z))
        .sum();
    let batch = Batch::of_rows(LogitsDtype::F32, &[row], vec![11]);
    let got = &batch.emulated(&config(20_011, 64), 32).unwrap()[0].scores;
    assert!((got.mean_nll - (logsumexp - z[11])).abs() < SCORE_TOLERANCE);
    assert!((got.mean_entropy - entropy).abs() < SCORE_TOLERANCE);
}

#[test]
fn a_target_of_any_rank_gets_its_rank() {
    let mut random = Random(7);
    // With ties.
    let row: Vec<f32> = (0..150)
        .map(|_| (random.logit(2.0) * 4.0).round() / 4.0)
        .collect();
    let rows = vec![row; 50];
    let batch = Batch::of_rows(LogitsDtype::F32, &rows, (0..50).collect());
    let config = config(50, 8);
    assert_emulation_agrees(&batch, &config, 32);
    let mut ranks = batch.emulated(&config, 32).unwrap()[0]
        .positions
        .target_rank_t
        .clone();
    ranks.sort_unstable();
    assert_eq!(ranks, (0..50).collect::<Vec<u16>>());
}

#[test]
fn sequences_of_several_lengths_in_a_padded_batch_with_a_padded_head_agree_with_the_cpu() {
    let mut random = Random(8);
    let (n_rows, width, stride, vocab_size) = (3, 4, 128, 100);
    let mut values = random.row(n_rows * width * stride, 2.0);
    for (i, value) in values.iter_mut().enumerate() {
        let (position, id) = (i / stride % width, i % stride);
        // Values outside the vocabulary, or after a sequence, are never read.
        let is_past = id >= vocab_size || (i / stride / width == 1 && position > 0);
        *value = if is_past { f32::NAN } else { *value };
    }
    let batch = Batch {
        values: Values::new(LogitsDtype::F16, &values),
        width,
        stride,
        targets: vec![
            (3, vec![1, 99, 5, 6]),
            (1 << 40, vec![0]),
            (5, vec![7, 8, 9]),
        ],
    };
    assert_emulation_agrees(&batch, &config(vocab_size, 16), 32);
}

#[test]
fn only_what_is_asked_for_is_computed() {
    let mut random = Random(9);
    let batch = random.batch(LogitsDtype::F32, 3, 500, 2.0);
    let mut config = config(500, 64);
    config.sampling = None;
    config.groups.topk = false;
    assert_emulation_agrees(&batch, &config, 32);
    let requested = RequestedOutputs::new(&config).unwrap();
    assert_eq!(OutputLayout::new(&requested, 3).n_words, 3 * SUMS_WORDS);
}

#[test]
fn draws_at_another_temperature_agree_with_the_cpu() {
    let mut random = Random(10);
    for tau in [0.3, 1.7, 4.0] {
        let batch = random.batch(LogitsDtype::F32, 8, 2_100, 3.0);
        let mut config = config(2_100, 8);
        config.sampling = Some(Sampling {
            n_draws: 1_001,
            tau,
            seed: random.next(),
        });
        assert_emulation_agrees(&batch, &config, 32);
    }
}

#[test]
fn a_result_depends_neither_on_the_width_of_a_block_nor_on_which_thread_comes_first() {
    let mut random = Random(11);
    let batch = random.batch(LogitsDtype::Bf16, 6, 3_000, 2.0);
    let config = config(3_000, 100);
    let narrow = batch.emulated(&config, 32).unwrap();
    assert_eq!(narrow, batch.emulated(&config, 32).unwrap());
    let wide = batch.emulated(&config, 128).unwrap();
    assert_alike(&wide[0], &narrow[0]);
}

#[test]
fn what_the_teacher_left_unusable_is_named_as_on_the_cpu() {
    let mut random = Random(12);
    for (bad, also) in [(f32::NAN, f32::INFINITY), (f32::INFINITY, f32::NAN)] {
        for dtype in DTYPES {
            let mut rows: Vec<_> = (0..3).map(|_| random.row(400, 1.0)).collect();
            (rows[1][123], rows[1][300], rows[2][5]) = (bad, also, bad);
            let batch = Batch::of_rows(dtype, &rows, vec![0; 3]);
            let config = config(400, 8);
            let got = batch.emulated(&config, 32).unwrap_err();
            // NaN equals nothing, so the messages are compared.
            assert_eq!(
                got.to_string(),
                batch.on_cpu(&config).unwrap_err().to_string()
            );
            assert!(got.to_string().contains("id 123"), "{got}");
        }
    }
    let rows = [random.row(90, 1.0), vec![f32::NEG_INFINITY; 90]];
    let batch = Batch::of_rows(LogitsDtype::F32, &rows, vec![0; 2]);
    let got = batch.emulated(&config(90, 8), 32).unwrap_err();
    assert_eq!(got, batch.on_cpu(&config(90, 8)).unwrap_err());
}

#[test]
fn targets_and_vocabularies_that_do_not_fit_are_named_as_on_the_cpu() {
    let mut random = Random(13);
    let mut batch = random.batch(LogitsDtype::F32, 2, 50, 1.0);
    let too_wide = config(51, 8);
    assert_eq!(batch.emulated(&too_wide, 32), batch.on_cpu(&too_wide));
    batch.targets[0].1[1] = 50;
    let config = config(50, 8);
    assert_eq!(batch.emulated(&config, 32), batch.on_cpu(&config));
    assert!(batch.on_cpu(&config).is_err());
}

#[test]
fn what_the_kernel_cannot_do_is_refused_by_name() {
    let refusal = |change: &dyn Fn(&mut SignalsConfig)| {
        let mut config = config(400_000, 64);
        config.sampling = None;
        change(&mut config);
        RequestedOutputs::new(&config).map_err(|error| error.to_string())
    };
    let sampling = |n_draws| {
        Some(Sampling {
            n_draws,
            tau: 1.0,
            seed: 0,
        })
    };
    assert!(refusal(&|_| ()).is_ok());
    let error = refusal(&|config| config.top_k = 2_049).unwrap_err();
    assert!(
        error.contains("--top-k 2049") && error.contains("2048"),
        "{error}"
    );
    let error = refusal(&|config| config.sampling = sampling(2_049)).unwrap_err();
    assert!(error.contains("2049 samples"), "{error}");
    let error = refusal(&|config| config.sampling = sampling(50)).unwrap_err();
    assert!(
        error.contains("400000") && error.contains("393216"),
        "{error}"
    );
    assert!(matches!(
        RequestedOutputs::new(&config(100, 3_000)),
        Err(CudaError::TopK { top_k: 3_000 })
    ));
}
