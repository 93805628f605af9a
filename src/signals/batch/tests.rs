use super::super::reference::Reference;
use super::super::types::{Groups, PositionSignals, Rounding, SCORE_K, Sampling};
use super::*;
use proptest::prelude::*;

/// Nats. The vector exponential has a relative error of 3e-7, sums add some rounding, and the
/// result is stored in f32, whose step at 100 nats is 8e-6.
const LOGPROB_TOLERANCE: f64 = 1e-6;
const F32_RELATIVE: f64 = 1.2e-7;
/// Logit minus maximum is rounded to f32: half a step at 87 nats is 3.8e-6, which e^d turns into a
/// relative error of the far tail.
const TAIL_RELATIVE: f64 = 5e-6;

fn config(vocab_size: usize, top_k: usize) -> SignalsConfig {
    SignalsConfig {
        groups: Groups {
            stats: true,
            topk: true,
        },
        top_k,
        temperatures: vec![2.0, 0.5],
        rounding: Rounding::F32,
        vocab_size,
        sampling: None,
    }
}

fn sequence(targets: &[u32]) -> SequenceTargets<'_> {
    SequenceTargets { seq_id: 7, targets }
}

fn reduce_one(
    row: &[f32],
    target: u32,
    config: &SignalsConfig,
) -> Result<SequenceSignals, SignalsError> {
    let logits = Logits {
        data: LogitsData::F32(row),
        n_rows: 1,
        width: 1,
        vocab_size: row.len(),
    };
    reduce_batch(logits, &[sequence(&[target])], config).map(|mut all| all.remove(0))
}

fn assert_close(got: f32, want: f64, what: &str) {
    let (got, tolerance) = (
        f64::from(got),
        LOGPROB_TOLERANCE + F32_RELATIVE * want.abs(),
    );
    let same_infinity = got == want;
    assert!(
        same_infinity || (got - want).abs() <= tolerance,
        "{what}: {got} against {want}"
    );
}

/// Compares every signal of one row with the reference.
fn check(row: &[f32], target: u32, top_k: usize) {
    let config = config(row.len(), top_k);
    let (want, got) = (
        Reference::of(row),
        reduce_one(row, target, &config).unwrap(),
    );
    let positions = &got.positions;
    assert_eq!(positions.topk_ids_tk, want.ranked_ids[..top_k]);
    for (&id, &logprob) in positions
        .topk_ids_tk
        .iter()
        .zip(&positions.topk_logprobs_tk)
    {
        assert_close(logprob, want.logprob_v[id as usize], "topk_logprob");
    }
    let target_logprob = want.logprob_v[target as usize];
    assert_close(
        positions.target_logprob_t[0],
        target_logprob,
        "target_logprob",
    );
    assert_eq!(
        u32::from(positions.target_rank_t[0]),
        want.target_rank(target).min(65_535)
    );
    assert_close(positions.logsumexp_t[0], want.logsumexp, "logsumexp");
    assert_close(positions.entropy_t[0], want.entropy, "entropy");
    let tail = want.tail_mass(top_k);
    let tail_error = (f64::from(positions.tail_mass_t[0]) - tail).abs();
    assert!(
        tail_error <= TAIL_RELATIVE * tail + 1e-30,
        "tail_mass {} against {tail}",
        positions.tail_mass_t[0]
    );
    for (list, tau) in positions.log_partition_xt.iter().zip([2.0, 0.5]) {
        assert_close(list[0], want.log_partition(tau), "log_partition");
    }

    assert_close(-got.scores.mean_nll as f32, target_logprob, "mean_nll");
    let mass = 1.0 - want.tail_mass(SCORE_K.min(row.len()));
    assert!((got.scores.mean_topk_mass - mass).abs() < 1e-6);
}

/// Rows of any width with ties, -inf, zeros of both signs, far offsets and sharp peaks.
fn rows() -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        6 => -20.0_f32..20.0,
        2 => (-3_i8..3).prop_map(f32::from),
        1 => Just(f32::NEG_INFINITY),
        1 => prop_oneof![Just(0.0_f32), Just(-0.0)],
    ];
    let offset = prop_oneof![Just(0.0_f32), Just(1000.0), Just(-30_000.0)];
    let whole = (prop::collection::vec(value, 1..700), offset);
    whole.prop_map(|(row, offset)| row.iter().map(|z| z + offset).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]
    #[test]
    fn the_kernel_equals_the_reference(row in rows(), target in any::<prop::sample::Index>(), k in any::<prop::sample::Index>()) {
        prop_assume!(row.iter().any(|z| *z > f32::NEG_INFINITY));
        check(&row, target.index(row.len()) as u32, 1 + k.index(row.len()));
    }

    #[test]
    fn a_nan_or_infinite_logit_anywhere_is_found_and_named(
        mut row in prop::collection::vec(-5.0_f32..5.0, 1..300),
        at in any::<prop::sample::Index>(),
        bad in prop_oneof![Just(f32::NAN), Just(-f32::NAN), Just(f32::INFINITY)],
    ) {
        let at = at.index(row.len());
        row[at] = bad;
        let error = reduce_one(&row, 0, &config(row.len(), 1)).unwrap_err();
        let named = matches!(error, SignalsError::NotFinite { id, .. } if id as usize == at);
        prop_assert!(named, "{error}");
    }
}

#[test]
fn k_equal_to_v_leaves_no_tail() {
    let row: Vec<f32> = (0..131).map(|i| (i as f32 * 0.7).sin() * 4.0).collect();
    let got = reduce_one(&row, 7, &config(131, 131)).unwrap();
    assert_eq!(got.positions.tail_mass_t, [0.0]);
    let sum: f64 = got
        .positions
        .topk_logprobs_tk
        .iter()
        .map(|&l| f64::from(l).exp())
        .sum();
    assert!((sum - 1.0).abs() < 1e-6);
}

#[test]
fn equal_logits_are_ranked_by_id() {
    let got = reduce_one(&[1.0; 200], 150, &config(200, 12)).unwrap();
    assert_eq!(got.positions.topk_ids_tk, (0..12).collect::<Vec<u32>>());
    assert_eq!(got.positions.target_rank_t, [150]);
    assert!((f64::from(got.positions.entropy_t[0]) - 200_f64.ln()).abs() < 1e-6);
}

#[test]
fn a_rank_past_u16_saturates() {
    let row: Vec<f32> = (0..70_000).map(|i| -(i as f32) * 1e-4).collect();
    let got = reduce_one(&row, 69_999, &config(row.len(), 4)).unwrap();
    assert_eq!(got.positions.target_rank_t, [u16::MAX]);
}

#[test]
fn a_row_of_nothing_but_minus_infinity_is_refused() {
    let error = reduce_one(&[f32::NEG_INFINITY; 5], 0, &config(5, 1)).unwrap_err();
    assert_eq!(
        error,
        SignalsError::AllMasked {
            row_idx: 0,
            position: 0
        }
    );
}

#[test]
fn a_target_outside_the_vocabulary_is_refused() {
    let error = reduce_one(&[0.0; 5], 5, &config(5, 1)).unwrap_err();
    assert_eq!(
        error,
        SignalsError::Target {
            row_idx: 0,
            position: 0,
            target: 5,
            vocab_size: 5
        }
    );
}

#[test]
fn logits_past_the_vocabulary_are_left_out() {
    let padded = reduce_one(&[1.0, 2.0, 3.0, f32::NAN], 1, &config(3, 2)).unwrap();
    assert_eq!(
        padded,
        reduce_one(&[1.0, 2.0, 3.0], 1, &config(3, 2)).unwrap()
    );
}

#[test]
fn half_precision_logits_give_what_their_widened_values_give() {
    for vocab_size in [1, 63, 64, 99, 1000] {
        let values: Vec<f32> = (0..vocab_size).map(|i| (i as f32).cos() * 9.0).collect();
        let f16: Vec<half::f16> = values.iter().copied().map(half::f16::from_f32).collect();
        let bf16: Vec<half::bf16> = values.iter().copied().map(half::bf16::from_f32).collect();
        let widened_f16: Vec<f32> = f16.iter().map(|h| h.to_f32()).collect();
        let widened_bf16: Vec<f32> = bf16.iter().map(|h| h.to_f32()).collect();
        for (data, widened) in [
            (LogitsData::F16(&f16), widened_f16),
            (LogitsData::Bf16(&bf16), widened_bf16),
        ] {
            let logits = Logits {
                data,
                n_rows: 1,
                width: 1,
                vocab_size,
            };
            let config = config(vocab_size, 1.max(vocab_size / 7));
            let got = reduce_batch(logits, &[sequence(&[0])], &config).unwrap();
            assert_eq!(got[0], reduce_one(&widened, 0, &config).unwrap());
        }
    }
}

#[test]
fn a_half_precision_logit_that_is_not_finite_is_found_and_named() {
    for at in [0, 70, 129] {
        let mut row = vec![half::f16::ZERO; 130];
        row[at] = half::f16::INFINITY;
        let logits = Logits {
            data: LogitsData::F16(&row),
            n_rows: 1,
            width: 1,
            vocab_size: 130,
        };
        let error = reduce_batch(logits, &[sequence(&[0])], &config(130, 3)).unwrap_err();
        let named = matches!(error, SignalsError::NotFinite { id, .. } if id as usize == at);
        assert!(named, "{error}");
    }
}

#[test]
fn a_sequence_does_not_depend_on_its_batch() {
    let (width, vocab_size) = (50, 77);
    let values: Vec<f32> = (0..3 * width * vocab_size)
        .map(|i| ((i * 7919) % 1013) as f32 * 0.01)
        .collect();
    let targets: Vec<Vec<u32>> = [50, 1, 33].iter().map(|&n| (0..n).collect()).collect();
    let slices: Vec<SequenceTargets> = targets.iter().map(|t| sequence(t)).collect();
    let config = SignalsConfig {
        sampling: Some(Sampling {
            n_draws: 20,
            tau: 2.0,
            seed: 3,
        }),
        ..config(vocab_size, 5)
    };
    let whole = Logits {
        data: LogitsData::F32(&values),
        n_rows: 3,
        width,
        vocab_size,
    };
    let together = reduce_batch(whole, &slices, &config).unwrap();
    for (row_idx, alone) in values.chunks_exact(width * vocab_size).enumerate() {
        let logits = Logits {
            data: LogitsData::F32(alone),
            n_rows: 1,
            width,
            vocab_size,
        };
        let got = reduce_batch(logits, &slices[row_idx..=row_idx], &config).unwrap();
        assert_eq!(got[0], together[row_idx]);
    }
}

#[test]
fn only_the_lists_of_the_kept_ids_depend_on_k() {
    let row: Vec<f32> = (0..5000)
        .map(|i| (i as f32 * 0.37).sin() * 9.0 + (i as f32 * 0.011).cos())
        .collect();
    let with_k = |top_k| {
        let config = SignalsConfig {
            sampling: Some(Sampling {
                n_draws: 50,
                tau: 1.0,
                seed: 1,
            }),
            ..config(row.len(), top_k)
        };
        reduce_one(&row, 4321, &config).unwrap()
    };
    let few = with_k(1);
    for top_k in [3, 10, 64, 1000, row.len()] {
        let many = with_k(top_k);
        assert_eq!(few.scores, many.scores);
        let without_kept = |positions: &PositionSignals| PositionSignals {
            topk_ids_tk: Vec::new(),
            topk_logprobs_tk: Vec::new(),
            tail_mass_t: Vec::new(),
            ..positions.clone()
        };
        assert_eq!(without_kept(&few.positions), without_kept(&many.positions));
    }
}

#[test]
fn draws_are_listed_position_after_position() {
    let (width, vocab_size, n_draws) = (37, 300, 9);
    let values: Vec<f32> = (0..width * vocab_size)
        .map(|i| ((i * 7919) % 1013) as f32 * 0.01)
        .collect();
    let logits = Logits {
        data: LogitsData::F32(&values),
        n_rows: 1,
        width,
        vocab_size,
    };
    let config = SignalsConfig {
        sampling: Some(Sampling {
            n_draws,
            tau: 1.0,
            seed: 5,
        }),
        ..config(vocab_size, 4)
    };
    let targets = vec![0; width];
    let got = reduce_batch(logits, &[sequence(&targets)], &config)
        .unwrap()
        .remove(0)
        .positions;
    assert_eq!(got.sample_offsets.len(), width + 1);
    assert_eq!(got.sample_offsets[0], 0);
    assert_eq!(got.sample_offsets[width] as usize, got.sampled_ids.len());
    for bounds in got.sample_offsets.windows(2) {
        let range = bounds[0] as usize..bounds[1] as usize;
        assert!(got.sampled_ids[range.clone()].is_sorted_by(|a, b| a < b));
        assert_eq!(
            got.sampled_counts[range].iter().sum::<u16>(),
            config.sampling.unwrap().n_draws
        );
    }
}

#[test]
fn scores_alone_store_no_lists() {
    let config = SignalsConfig {
        groups: Groups::default(),
        ..config(40, 8)
    };
    let row: Vec<f32> = (0..40).map(|i| i as f32 * 0.1).collect();
    let got = reduce_one(&row, 39, &config).unwrap();
    assert_eq!(got.positions, PositionSignals::default());
    assert_eq!(got.scores.learnable_fraction, 1.0);
}
