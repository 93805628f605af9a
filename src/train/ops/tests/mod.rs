//! Compares each operation with a slow reference in f64, and its backward pass with central differences of that
//! reference.

mod kernels;
mod row_loss;

/// Relative step of central differences in f64: about the cube root of its precision.
const STEP: f64 = 1e-5;
/// f32 sums of some hundred terms compared with f64: a few roundings of 6e-8, relative to the largest value of
/// the buffer.
const TOLERANCE: f64 = 2e-5;

/// Numbers in -1..1 from a linear congruential generator.
fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

/// The gradient of `f` at `x`, by central differences.
fn differences(x: &[f32], f: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let mut x = wide(x);
    (0..x.len())
        .map(|i| {
            let (value, step) = (x[i], STEP * x[i].abs().max(1.0));
            x[i] = value + step;
            let above = f(&x);
            x[i] = value - step;
            let below = f(&x);
            x[i] = value;
            (above - below) / (2.0 * step)
        })
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Asserts that the two agree within `tolerance` of the largest expected value.
#[track_caller]
fn assert_close(got: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    let largest = expected.iter().fold(1e-3_f64, |a, b| a.max(b.abs()));
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let difference = (f64::from(got) - expected).abs();
        assert!(
            difference <= tolerance * largest,
            "value {i}: got {got}, expected {expected}, largest {largest}"
        );
    }
}

/// Runs on a pool of that many threads.
fn on_threads<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("threads can be started").install(work)
}
