use super::*;
use crate::train::batch::KdLoss;
use proptest::prelude::*;

fn policy(gate: Gate, gate_fraction: f64) -> KdPolicy {
    KdPolicy {
        gate,
        gate_fraction,
        ..KdPolicy::of(KdLoss::TailBucket)
    }
}

fn example(entropy_t: &[f32], doc_starts: &[u32]) -> Example {
    Example {
        seq_id: 0,
        input_ids: vec![0; entropy_t.len() + 1],
        doc_starts: doc_starts.to_vec(),
        signals: Some(PositionSignals {
            entropy_t: entropy_t.to_vec(),
            ..PositionSignals::default()
        }),
        ..Example::default()
    }
}

/// omega of every position of the examples.
fn omegas(examples: &[Example], policy: &KdPolicy, mask: bool) -> Vec<Vec<f32>> {
    let step = StepKd::new(policy, 0.5, examples, mask);
    let of = |example: &Example| {
        let signals = example.signals.as_ref().unwrap();
        (0..example.n_targets())
            .map(|t| step.omega_at(signals, t))
            .collect()
    };
    examples.iter().map(of).collect()
}

#[test]
fn the_gate_entropy_closes_over_the_whole_step_and_not_over_each_sequence() {
    let examples = [
        example(&[0.1, 0.2, 0.3, 0.4], &[0]),
        example(&[5.0, 6.0, 7.0, 8.0], &[0]),
    ];
    let got = omegas(&examples, &policy(Gate::Entropy, 0.5), false);
    assert_eq!(got, [[0.0; 4], [0.5; 4]]);
    // floor(0.15 * 8) = 1.
    let got = omegas(&examples, &policy(Gate::Entropy, 0.15), false);
    assert_eq!(got, [[0.0, 0.5, 0.5, 0.5], [0.5; 4]]);
}

#[test]
fn masked_positions_do_not_count_for_the_gate_entropy() {
    // Targets 0 and 1 are the first tokens of documents.
    let examples = [example(&[0.0, 0.1, 2.0, 3.0], &[0, 1, 2])];
    let half = policy(Gate::Entropy, 0.5);
    assert_eq!(omegas(&examples, &half, false), [[0.0, 0.0, 0.5, 0.5]]);
    assert_eq!(omegas(&examples, &half, true), [[0.0, 0.0, 0.0, 0.5]]);
}

#[test]
fn a_step_without_labels_has_no_threshold() {
    let unlabelled = Example {
        signals: None,
        ..example(&[0.0], &[0])
    };
    let policy = policy(Gate::Entropy, 0.5);
    assert_eq!(
        StepKd::new(&policy, 0.5, &[unlabelled], false).min_entropy,
        None
    );
}

proptest! {
    /// Compared with sorting: the closed positions are the lowest, at most the fraction, and no open one has
    /// the same entropy.
    #[test]
    fn the_gate_entropy_closes_the_lowest_entropies(
        // Few distinct values, so that many are equal.
        entropies in prop::collection::vec(0_u8..20, 1..60),
        fraction in 0.01_f64..0.99,
    ) {
        let entropies: Vec<f32> = entropies.into_iter().map(f32::from).collect();
        let got = &omegas(&[example(&entropies, &[0])], &policy(Gate::Entropy, fraction), false)[0];
        let closed: Vec<f32> = entropies.iter().zip(got).filter(|x| *x.1 == 0.0).map(|x| *x.0).collect();
        let open: Vec<f32> = entropies.iter().zip(got).filter(|x| *x.1 > 0.0).map(|x| *x.0).collect();
        let n_closed = (fraction * entropies.len() as f64).floor() as usize;
        prop_assert!(closed.len() <= n_closed);
        let mut sorted = entropies.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let n_below = sorted.iter().filter(|&&e| e < sorted[n_closed]).count();
        prop_assert_eq!(closed.len(), n_below);
        prop_assert!(closed.iter().all(|c| open.iter().all(|o| c < o)));
    }

    /// Compared with sorting: at most the fraction lies below the boundary, which is the next value.
    #[test]
    fn the_threshold_of_the_gate_excess_has_its_fraction_below_it(
        excesses in prop::collection::vec(-9_i8..9, 1..60), fraction in 0.01_f64..0.99,
    ) {
        let excesses: Vec<f32> = excesses.into_iter().map(|e| f32::from(e) / 4.0).collect();
        let threshold = least_excess(excesses.clone(), fraction).unwrap();
        let n_below = excesses.iter().filter(|&&excess| excess < threshold).count();
        let n_cut = (fraction * excesses.len() as f64).floor() as usize;
        prop_assert!(n_below <= n_cut);
        let mut sorted = excesses;
        sorted.sort_unstable_by(f32::total_cmp);
        prop_assert_eq!(threshold, sorted[n_cut]);
    }
}

#[test]
fn a_threshold_that_is_nan_is_none() {
    assert_eq!(least_excess(vec![], 0.4), None);
    assert_eq!(
        least_excess(vec![f32::NEG_INFINITY, f32::NEG_INFINITY, 1.0], 0.4),
        None
    );
}
