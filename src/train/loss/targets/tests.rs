use super::*;
use crate::signals::Rounding;
use crate::train::batch::HeadGate;
use crate::train::loss::{GateExcess, Joining, join_stats};

fn policy(loss: KdLoss) -> KdPolicy {
    KdPolicy::of(loss)
}

fn example(input_ids: &[u32], doc_starts: &[u32]) -> Example {
    Example {
        seq_id: 0,
        input_ids: input_ids.to_vec(),
        doc_starts: doc_starts.to_vec(),
        ..Example::default()
    }
}

/// Two positions of K = 2, with the distributions (1/2, 1/4 | 1/4) and (1, 0 | 0).
fn labelled() -> Example {
    Example {
        signals: Some(PositionSignals {
            target_rank_t: vec![1, 4],
            target_logprob_t: vec![-0.25, f32::NEG_INFINITY],
            topk_ids_tk: vec![5, 2, 7, 0],
            topk_logprobs_tk: vec![0.5f32.ln(), 0.25f32.ln(), 0.0, f32::NEG_INFINITY],
            tail_mass_t: vec![0.25, 0.0],
            log_partition_xt: vec![vec![1.75f32.ln(), 0.0]],
            ..PositionSignals::default()
        }),
        ..example(&[1, 2, 3], &[0])
    }
}

fn kd(examples: &[Example], policy: &KdPolicy) -> KdTargets {
    let step = StepKd::new(policy, 0.5, examples, false);
    targets_of(examples, Some(step), false).kd.unwrap()
}

#[track_caller]
fn assert_close(got: &[f32], expected: &[f64]) {
    let close = |(&a, &b): (&f32, &f64)| (f64::from(a) - b).abs() < 1e-6;
    assert!(
        got.len() == expected.len() && got.iter().zip(expected).all(close),
        "{got:?}, expected {expected:?}"
    );
}

#[test]
fn examples_are_flattened_without_padding_and_a_short_one_stays_short() {
    let batch = targets_of(
        &[example(&[1, 2, 3, 4], &[0]), example(&[9, 8], &[0])],
        None,
        true,
    );
    assert_eq!(batch.ids_n, [1, 2, 3, 9]);
    assert_eq!(batch.targets_n, [2, 3, 4, 8]);
    assert_eq!(batch.weights_n, [1.0; 4]);
    assert_eq!(batch.starts, [0, 3, 4]);
    assert_eq!((batch.longest(), batch.kd), (3, None));
}

#[test]
fn only_the_first_token_of_another_document_is_masked_and_only_when_asked() {
    // Documents start at the sequence's tokens 0, 1 and 3: targets 1 and 3 are positions 0 and 2.
    let examples = [example(&[1, 2], &[0]), example(&[1, 2, 3, 4], &[0, 1, 3])];
    let masked = targets_of(&examples, None, true);
    assert_eq!(masked.weights_n, [1.0, 0.0, 1.0, 0.0]);
    assert_eq!(targets_of(&examples, None, false).weights_n, [1.0; 4]);
}

#[test]
fn probabilities_are_those_of_the_losses() {
    let tail_bucket = kd(&[labelled()], &policy(KdLoss::TailBucket));
    assert_eq!(tail_bucket.ids, [5, 2, 7, 0]);
    assert_eq!(tail_bucket.offsets, [0, 2, 4]);
    assert_close(&tail_bucket.probs, &[0.5, 0.25, 1.0, 0.0]);
    assert_eq!(tail_bucket.tails, [0.25, 0.0]);
    assert_eq!((tail_bucket.n_tails, tail_bucket.in_tail.len()), (1, 0));
    // -1/2 ln 2 - 2 (1/4 ln 4), and 0 for a certain id.
    assert_close(&tail_bucket.negentropy_n, &[-1.5 * 2.0_f64.ln(), 0.0]);
    assert_eq!(tail_bucket.omega_n, [0.5, 0.5]);
    assert_eq!(tail_bucket.student_tau, 1.0);

    let renormalize = kd(&[labelled()], &policy(KdLoss::Renormalize));
    assert_close(&renormalize.probs, &[2.0 / 3.0, 1.0 / 3.0, 1.0, 0.0]);
    let dropped = kd(&[labelled()], &policy(KdLoss::Drop));
    assert_close(&dropped.probs, &[0.5, 0.25, 1.0, 0.0]);
    assert!(renormalize.tails.is_empty() && dropped.tails.is_empty());
    assert_close(&dropped.negentropy_n, &[-2.0_f64.ln(), 0.0]);
}

#[test]
fn rounded_probabilities_are_rescaled_to_the_unrounded_tail() {
    let roundings = [
        (Rounding::F16, 1e-5),
        (Rounding::Bf16, 1e-4),
        (Rounding::M5, 1e-4),
    ];
    for (rounding, moved) in roundings {
        let exact = [0.6001, 0.2347, 0.0501];
        let tail = 1.0 - exact.iter().sum::<f64>();
        let rounded = exact.map(|p| rounding.round(p.ln() as f32));
        let kept: f64 = rounded.iter().map(|&l| f64::from(l).exp()).sum();
        assert!((kept + tail - 1.0).abs() > moved, "nothing to rescale");
        let signals = PositionSignals {
            topk_ids_tk: vec![3, 1, 4],
            topk_logprobs_tk: rounded.to_vec(),
            tail_mass_t: vec![tail as f32],
            ..PositionSignals::default()
        };
        let example = Example {
            signals: Some(signals),
            ..example(&[1, 3], &[0])
        };
        let got = kd(&[example], &policy(KdLoss::TailBucket));
        let mass: f64 = got.probs.iter().map(|&p| f64::from(p)).sum();
        assert!((mass + tail - 1.0).abs() < 1e-6, "{rounding:?}: {mass}");
        // All rounded values are scaled by the same factor.
        let factor = (1.0 - tail) / kept;
        let expected = rounded.map(|l| f64::from(l).exp() * factor);
        assert_close(&got.probs, &expected);
    }
}

#[test]
fn kept_ids_that_are_all_impossible_stay_so() {
    let mut example = labelled();
    let signals = example.signals.as_mut().unwrap();
    signals.topk_logprobs_tk = vec![f32::NEG_INFINITY; 4];
    signals.tail_mass_t = vec![1.0; 2];
    for loss in [KdLoss::TailBucket, KdLoss::Renormalize, KdLoss::Drop] {
        assert_eq!(kd(&[example.clone()], &policy(loss)).probs, [0.0; 4]);
    }
}

#[test]
fn another_temperature_takes_its_own_partition_and_the_rest_as_tail() {
    // At tau = 2 the first row is (sqrt(1/2), sqrt(1/4)) divided by its partition, 7/4.
    let tempered = KdPolicy {
        tau: 2.0,
        tau_idx: vec![Some(0)],
        temperature_mode: TemperatureMode::Both,
        ..policy(KdLoss::TailBucket)
    };
    let got = kd(&[labelled()], &tempered);
    let (a, b) = (0.5f64.sqrt() / 1.75, 0.5 / 1.75);
    assert_close(&got.probs, &[a, b, 1.0, 0.0]);
    assert_close(&got.tails, &[1.0 - a - b, 0.0]);
    assert_eq!(got.student_tau, 2.0);
    let renormalize = KdPolicy {
        loss: KdLoss::Renormalize,
        ..tempered
    };
    let got = kd(&[labelled()], &renormalize);
    assert_close(&got.probs, &[a / (a + b), b / (a + b), 1.0, 0.0]);
}

#[test]
fn no_temperature_makes_a_tail_where_every_id_is_kept() {
    // K = V = 2, rounded down: the sum is below 1, but there is no id in the tail. In the second row rounding
    // takes the sum past 1, with a tail that is not 0.
    let mut example = labelled();
    let signals = example.signals.as_mut().unwrap();
    signals.topk_logprobs_tk = vec![-0.7; 4];
    signals.tail_mass_t = vec![0.0, 0.01];
    signals.log_partition_xt = vec![vec![0.3466, 0.33]];
    let tempered = KdPolicy {
        tau: 2.0,
        tau_idx: vec![Some(0)],
        ..policy(KdLoss::TailBucket)
    };
    let got = kd(&[example.clone()], &tempered);
    assert_close(&got.probs, &[0.5; 4]);
    assert_eq!(got.tails, [0.0; 2]);
    let dropped = KdPolicy {
        loss: KdLoss::Drop,
        ..tempered
    };
    let sums = kd(&[example], &dropped).probs;
    assert!(sums[0] + sums[1] < 0.999 && sums[2] + sums[3] > 1.001);
}

#[test]
fn the_gate_closes_at_targets_that_the_teacher_ranks_at_k_or_below() {
    let gated = |gate_k| KdPolicy {
        gate: Gate::Learnable,
        gate_k,
        ..policy(KdLoss::TailBucket)
    };
    assert_eq!(kd(&[labelled()], &gated(1)).omega_n, [0.0, 0.0]);
    assert_eq!(kd(&[labelled()], &gated(2)).omega_n, [0.5, 0.0]);
    assert_eq!(kd(&[labelled()], &gated(4)).omega_n, [0.5, 0.0]);
    assert_eq!(kd(&[labelled()], &gated(5)).omega_n, [0.5, 0.5]);
}

#[test]
fn examples_without_kept_ids_learn_by_cross_entropy_alone() {
    let examples = [
        example(&[4, 5, 6], &[0]),
        labelled(),
        example(&[1, 2], &[0]),
    ];
    let got = kd(&examples, &policy(KdLoss::TailBucket));
    assert_eq!(got.omega_n, [0.0, 0.0, 0.5, 0.5, 0.0]);
    assert_eq!(got.offsets, [0, 0, 0, 2, 4, 4]);
    assert_eq!(got.tails, [0.0, 0.0, 0.25, 0.0, 0.0]);
    let sampled = kd(&examples, &policy(KdLoss::Sampled));
    assert!(sampled.ids.is_empty() && sampled.omega_n.iter().all(|&o| o == 0.0));
    assert_eq!(sampled.offsets.len(), 6);
}

/// Eight draws at each of two positions.
fn drawn() -> Example {
    Example {
        signals: Some(PositionSignals {
            target_rank_t: vec![1, 4],
            sampled_ids: vec![2, 5, 7, 3],
            sampled_counts: vec![1, 5, 2, 8],
            sample_offsets: vec![0, 3, 4],
            ..PositionSignals::default()
        }),
        ..example(&[1, 2, 3], &[0])
    }
}

#[test]
fn draws_become_their_share_of_all_draws_of_the_position() {
    let examples = [drawn(), example(&[4, 5], &[0]), labelled(), drawn()];
    let got = kd(&examples, &policy(KdLoss::Sampled));
    assert_eq!(got.ids, [2, 5, 7, 3, 2, 5, 7, 3]);
    assert_eq!(
        got.probs,
        [0.125, 0.625, 0.25, 1.0, 0.125, 0.625, 0.25, 1.0]
    );
    // Examples without draws have no targets, with or without stored ids.
    assert_eq!(got.offsets, [0, 3, 4, 4, 4, 4, 7, 8]);
    assert_eq!(got.omega_n, [0.5, 0.5, 0.0, 0.0, 0.0, 0.5, 0.5]);
    assert!(got.tails.is_empty());
    let gated = KdPolicy {
        gate: Gate::Learnable,
        gate_k: 2,
        temperature_mode: TemperatureMode::Both,
        tau: 0.8,
        ..policy(KdLoss::Sampled)
    };
    let got = kd(&[drawn()], &gated);
    assert_eq!((got.omega_n, got.student_tau), (vec![0.5, 0.0], 0.8));
}

#[test]
fn the_gate_agreement_passes_every_teacher_nll_to_the_head() {
    let gated = KdPolicy {
        gate: Gate::Agreement,
        ..policy(KdLoss::TailBucket)
    };
    let got = kd(&[example(&[4, 5], &[0]), labelled()], &gated);
    assert_eq!(got.omega_n, [0.0, 0.5, 0.5]);
    assert_eq!(got.gate, Some(HeadGate::Agreement));
    assert_eq!(got.teacher_nll_n, [f32::NEG_INFINITY, 0.25, f32::INFINITY]);
    let open = kd(&[labelled()], &policy(KdLoss::TailBucket));
    assert!(open.gate.is_none() && open.teacher_nll_n.is_empty());
}

#[test]
fn the_gate_excess_passes_its_threshold_to_the_head_and_ignores_unlabelled_positions() {
    let gated = KdPolicy {
        gate: Gate::Excess,
        gate_fraction: 0.4,
        ..policy(KdLoss::TailBucket)
    };
    let examples = [example(&[4, 5], &[0]), labelled()];
    let step = StepKd::new(&gated, 0.0, &examples, false);
    let of = |step| targets_of(&examples, Some(step), false).kd.unwrap();
    assert_eq!(of(step).gate, None, "the first step has no threshold");
    let got = of(step.with_least_excess(Some(0.5)));
    assert_eq!(got.gate, Some(HeadGate::Excess(0.5)));
    assert_eq!(got.teacher_nll_n, [f32::NEG_INFINITY, 0.25, f32::INFINITY]);
    let open = policy(KdLoss::TailBucket);
    let open = StepKd::new(&open, 0.5, &examples, false).with_least_excess(Some(0.5));
    assert_eq!(of(open).gate, None, "a threshold is for its gate alone");
    let weighted = KdPolicy {
        gate_excess: GateExcess::Weight,
        ..gated.clone()
    };
    let step = StepKd::new(&weighted, 0.0, &examples, false).with_least_excess(Some(0.5));
    let got = of(step);
    assert_eq!(got.gate, Some(HeadGate::ExcessWeight));
    assert_eq!(got.teacher_nll_n, [f32::NEG_INFINITY, 0.25, f32::INFINITY]);
}

/// The labelled example with another teacher of K = 1, which gives the first target a higher probability.
fn by_two(how: Teachers) -> (Example, KdPolicy) {
    let joining = Joining::new(how, &[1.0, 3.0]);
    let mut example = labelled();
    let signals = example.signals.as_mut().unwrap();
    signals.entropy_t = vec![1.0; 2];
    let other = PositionSignals {
        target_rank_t: vec![0, 9],
        target_logprob_t: vec![-0.125, f32::NEG_INFINITY],
        entropy_t: vec![2.0; 2],
        topk_ids_tk: vec![2, 3],
        topk_logprobs_tk: vec![0.5_f32.ln(), 0.75_f32.ln()],
        tail_mass_t: vec![0.5, 0.25],
        ..PositionSignals::default()
    };
    example.others = vec![other];
    example.chosen_t = join_stats(signals, &example.others, &joining);
    let policy = KdPolicy {
        tau_idx: vec![None, None],
        joining,
        ..policy(KdLoss::TailBucket)
    };
    (example, policy)
}

#[test]
fn teachers_that_are_mixed_have_their_ids_in_one_list_and_a_tail_each() {
    let (example, policy) = by_two(Teachers::Mix);
    let got = kd(std::slice::from_ref(&example), &policy);
    assert_eq!((got.n_tails, &got.offsets[..]), (2, &[0, 2, 5][..]));
    assert_eq!(got.ids, [5, 2, 7, 0, 3]);
    assert_close(&got.probs, &[0.125, 0.4375, 0.25, 0.0, 0.5625]);
    assert_close(&got.tails, &[0.0625, 0.375, 0.0, 0.1875]);
    let first = [false, false, true, false];
    let second = [false, false, true, true, true, false];
    assert_eq!(got.in_tail, [&first[..], &second].concat());
    let dropped = KdPolicy {
        loss: KdLoss::Drop,
        ..policy
    };
    let got = kd(&[example], &dropped);
    assert!(got.n_tails == 0 && got.tails.is_empty() && got.in_tail.is_empty());
    assert_close(&got.probs, &[0.125, 0.4375, 0.25, 0.0, 0.5625]);
}

#[test]
fn each_position_learns_from_the_teacher_of_the_lower_nll() {
    let (example, policy) = by_two(Teachers::LowerNll);
    let got = kd(&[example], &policy);
    // At the second position, whose target both give probability 0, the first is chosen.
    assert_eq!(
        (&got.ids[..], &got.offsets[..]),
        (&[2, 7, 0][..], &[0, 1, 3][..])
    );
    assert_close(&got.probs, &[0.5, 1.0, 0.0]);
    assert_close(&got.tails, &[0.5, 0.0]);
    assert!(got.n_tails == 1 && got.in_tail.is_empty());
}
