use super::*;
use crate::train::batch::KdLoss;
use crate::train::loss::TemperatureMode;
use proptest::prelude::*;

fn policy(gate: Gate, gate_fraction: f64) -> KdPolicy {
    KdPolicy {
        loss: KdLoss::TailBucket,
        tau: 1.0,
        temperature_mode: TemperatureMode::Teacher,
        gate,
        gate_k: 10,
        gate_fraction,
        tau_idx: None,
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
    // The targets 0 and 1 are first tokens of documents.
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
    /// Against sorting: the closed ones are the lowest, at most the fraction, and no equal one is open.
    #[test]
    fn the_gate_entropy_closes_the_lowest(
        // Few values, so that many are equal.
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
}
