use super::*;
use crate::signals::{
    Groups, Logits, LogitsData, Sampling, SequenceTargets, SignalsConfig, reduce_batch,
};

fn signals(ids: &[u32], logprobs: &[f32]) -> PositionSignals {
    PositionSignals {
        target_logprob_t: vec![-1.0],
        topk_ids_tk: ids.to_vec(),
        topk_logprobs_tk: logprobs.to_vec(),
        tail_mass_t: vec![0.25],
        ..Default::default()
    }
}

fn compare(stored: PositionSignals, fresh: PositionSignals) -> RelabelReport {
    let mut report = RelabelReport {
        tolerance_nats: Noise::default().tolerance_nats(),
        ..RelabelReport::default()
    };
    let row = Row {
        signals: stored,
        ..Row::default()
    };
    let again = SequenceSignals {
        positions: fresh,
        ..Default::default()
    };
    let top_k = again.positions.topk_ids_tk.len();
    let mut comparison = Comparison {
        seq_id: 7,
        rounding: Rounding::F16,
        report: &mut report,
    };
    comparison.compare(&row, &again, top_k);
    report
}

#[test]
fn differences_within_noise_and_rounding_are_not_findings() {
    let noisy = signals(&[3, 1], &[-0.5, -2.0 - 2.0 * f32::from(half::f16::EPSILON)]);
    let report = compare(signals(&[3, 1], &[-0.500_05, -2.0]), noisy);
    assert_eq!((report.n_findings, report.n_tied_ids), (0, 0));
    assert!(report.max_difference_nats > 1e-5);
}

#[test]
fn ids_may_change_places_only_where_they_tie() {
    let tied = compare(
        signals(&[1, 3], &[-1.0, -1.0]),
        signals(&[3, 1], &[-1.0, -1.0]),
    );
    assert_eq!((tied.n_findings, tied.n_tied_ids), (0, 2));
    let apart = compare(
        signals(&[1, 3], &[-1.0, -2.0]),
        signals(&[3, 1], &[-1.0, -2.0]),
    );
    assert_eq!((apart.n_findings, apart.n_tied_ids), (2, 0));
    assert!(apart.findings[0].contains("sequence 7: topk_ids[0][0] is 1"));
}

#[test]
fn every_kind_of_wrong_value_is_named() {
    let good = || signals(&[3, 1], &[-0.5, -2.0]);
    let off = [
        (
            PositionSignals {
                target_logprob_t: vec![-1.001],
                ..good()
            },
            "target_logprob[0]",
        ),
        (
            PositionSignals {
                topk_logprobs_tk: vec![-0.6, -2.0],
                ..good()
            },
            "topk_logprobs[0]",
        ),
        (
            PositionSignals {
                topk_logprobs_tk: vec![-0.5, f32::NEG_INFINITY],
                ..good()
            },
            "topk_logprobs[1]",
        ),
        (
            PositionSignals {
                tail_mass_t: vec![0.3],
                ..good()
            },
            "tail_mass[0]",
        ),
    ];
    for (stored, name) in off {
        let report = compare(stored, good());
        assert_eq!(report.n_findings, 1, "{name}");
        assert!(report.findings[0].contains(name), "{:?}", report.findings);
    }
}

#[test]
fn findings_beyond_the_listed_ones_are_counted() {
    let n = MAX_LISTED + 5;
    let many = |value| PositionSignals {
        entropy_t: vec![value; n],
        ..Default::default()
    };
    let report = compare(many(1.0), many(2.0));
    assert_eq!(
        (report.n_findings, report.findings.len()),
        (n as u64, MAX_LISTED)
    );
}

/// Draws of two positions, N = 20.
fn draws(ids: &[u32], counts: &[u16], offsets: [u32; 3]) -> PositionSignals {
    PositionSignals {
        sampled_ids: ids.to_vec(),
        sampled_counts: counts.to_vec(),
        sample_offsets: offsets.to_vec(),
        ..Default::default()
    }
}

#[test]
fn a_few_draws_may_move_and_more_are_named_by_their_position() {
    let stored = || draws(&[1, 4, 2], &[15, 5, 20], [0, 2, 3]);
    let report = compare(stored(), stored());
    assert_eq!((report.n_findings, report.n_moved_draws), (0, 0));
    // Two draws of the first position moved to an id that was there, and one of the second to an id that was not.
    let moved = draws(&[1, 4, 2, 7], &[13, 7, 19, 1], [0, 2, 4]);
    let report = compare(stored(), moved);
    assert_eq!((report.n_findings, report.n_moved_draws), (0, 3));
    let moved = draws(&[1, 4, 2, 7], &[15, 5, 16, 4], [0, 2, 4]);
    let report = compare(stored(), moved);
    assert_eq!((report.n_findings, report.n_moved_draws), (1, 4));
    let finding = &report.findings[0];
    assert!(
        finding.contains("of the 20 samples of position 1, 4 have other ids"),
        "{finding}"
    );
}

#[test]
fn draws_of_another_seed_are_found_even_where_a_position_has_but_one() {
    let n = 60;
    let one_each = |id: fn(u32) -> u32| PositionSignals {
        sampled_ids: (0..n).map(id).collect(),
        sampled_counts: vec![1; n as usize],
        sample_offsets: (0..=n).collect(),
        ..Default::default()
    };
    let report = compare(one_each(|t| t % 3), one_each(|t| t % 4));
    assert_eq!(report.n_findings, 1);
    assert!(
        report.findings[0].contains("of 60 samples, 45 have"),
        "{:?}",
        report.findings
    );
}

/// Logits of 32,000 ids from a linear congruential generator, `spread` nats wide, with `noise` nats from another.
fn noisy_logits(n_rows: usize, spread: f32, noise: f32) -> Vec<f32> {
    let mut state = 1_u64;
    let mut unit = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    let mut value = || (spread * unit(), unit());
    (0..n_rows * NOISE_VOCAB_SIZE)
        .map(|_| value())
        .map(|(logit, other)| logit + 2.0 * noise * other)
        .collect()
}

const NOISE_VOCAB_SIZE: usize = 32_000;

/// Ten times the effect of another instruction set or runtime version on f32 logits of this size.
const NOISE_NATS: f32 = 1e-5;

#[test]
fn float_noise_moves_fewer_draws_than_are_allowed() {
    let n_positions = 40;
    let targets = vec![0; n_positions];
    let config = SignalsConfig {
        groups: Groups::default(),
        top_k: 0,
        temperatures: vec![],
        rounding: Rounding::F32,
        vocab_size: NOISE_VOCAB_SIZE,
        sampling: Some(Sampling {
            n_draws: 50,
            tau: 1.0,
            seed: 0,
        }),
    };
    let reduced = |spread, noise| {
        let logits = noisy_logits(n_positions, spread, noise);
        let logits = Logits {
            data: LogitsData::F32(&logits),
            n_rows: 1,
            width: n_positions,
            vocab_size: NOISE_VOCAB_SIZE,
        };
        let sequence = SequenceTargets {
            seq_id: 3,
            targets: &targets,
        };
        reduce_batch(logits, &[sequence], &config)
            .unwrap()
            .remove(0)
            .positions
    };
    // From nearly uniform, unlike any trained teacher, to a few likely ids.
    for spread in [1.0, 20.0, 60.0] {
        let report = compare(reduced(spread, 0.0), reduced(spread, NOISE_NATS));
        assert_eq!(report.n_findings, 0, "{spread}: {:?}", report.findings);
        assert!(
            report.n_moved_draws < 20,
            "{spread}: {}",
            report.n_moved_draws
        );
    }
}
