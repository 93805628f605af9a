use super::*;
use crate::train::config::{LrShape, RunConfig, ScheduleConfig};
use proptest::prelude::*;

fn any_shape() -> impl Strategy<Value = LrShape> {
    prop_oneof![
        Just(LrShape::Constant),
        Just(LrShape::Linear),
        Just(LrShape::Cosine),
        Just(LrShape::Wsd),
    ]
}

/// Steps of a run and a schedule that fits them.
fn any_schedule() -> impl Strategy<Value = (u64, ScheduleConfig)> {
    let floats = (1e-6..1.0f64, prop::option::of(0.0..=1.0f64));
    (
        any_shape(),
        1..400u64,
        0.0..=1.0f64,
        prop::option::of(0.0..=1.0f64),
        floats,
    )
        .prop_map(|(shape, steps, warmup, decay, (lr, min_share))| {
            let warmup_steps = (steps as f64 * warmup) as u64;
            let decay = decay.map(|share| ((steps - warmup_steps) as f64 * share) as u64);
            let schedule = ScheduleConfig {
                lr,
                min_lr: min_share
                    .filter(|_| shape != LrShape::Constant)
                    .map(|share| lr * share),
                shape,
                warmup_steps: Some(warmup_steps),
                decay_steps: decay.filter(|_| shape == LrShape::Wsd),
            };
            (steps, schedule)
        })
}

/// A run of `steps` with the given `[kd]` and both sources.
fn run(steps: u64, kd: &str) -> RunConfig {
    let text = format!(
        "output = \"o\"\ninit = \"i\"\n[data]\ntokens = \"t\"\nlabels = \"l\"\nselection = \"s\"\n\
         [train]\nsteps = {steps}\nbatch_size = 1\n[kd]\n{kd}"
    );
    toml::from_str(&text).unwrap()
}

fn rates(steps: u64, schedule: &ScheduleConfig) -> Vec<f64> {
    (0..=steps)
        .map(|step| learning_rate(schedule, steps, step))
        .collect()
}

proptest! {
    #[test]
    fn the_learning_rate_stays_between_its_ends((steps, schedule) in any_schedule()) {
        for (step, lr) in rates(steps, &schedule).into_iter().enumerate() {
            let min_lr = if (step as u64) < schedule.warmup_steps(steps) { 0.0 } else { schedule.min_lr() };
            prop_assert!(lr >= min_lr && lr <= schedule.lr, "step {step}: {lr}");
        }
    }

    #[test]
    fn the_learning_rate_rises_in_the_warm_up_and_never_after((steps, schedule) in any_schedule()) {
        let rates = rates(steps, &schedule);
        let warmup = schedule.warmup_steps(steps) as usize;
        prop_assert!(rates[..warmup].windows(2).all(|pair| pair[0] < pair[1]));
        prop_assert!(rates[warmup..].windows(2).all(|pair| pair[0] >= pair[1]));
    }

    #[test]
    fn the_learning_rate_meets_its_ends_exactly((steps, schedule) in any_schedule()) {
        let rates = rates(steps, &schedule);
        if let Some(last) = schedule.warmup_steps(steps).checked_sub(1) {
            prop_assert_eq!(rates[last as usize], schedule.lr);
        }
        let falls_at_once = schedule.shape == LrShape::Wsd && schedule.decay_steps(steps) == 0;
        if schedule.warmup_steps(steps) < steps && !falls_at_once {
            prop_assert_eq!(rates[schedule.warmup_steps(steps) as usize], schedule.lr);
        }
        prop_assert_eq!(rates[steps as usize], schedule.min_lr());
    }

    #[test]
    fn the_learning_rate_is_continuous((steps, schedule) in any_schedule()) {
        // The steepest slope is that of half a cosine over the shortest part: pi / 2 times that of a line.
        let decay = schedule.decay_steps(steps);
        let parts = [schedule.warmup_steps(steps), steps - schedule.warmup_steps(steps), decay];
        let shortest = parts.into_iter().filter(|&n| n > 0).min().unwrap();
        let most = 1.571 * schedule.lr / shortest as f64;
        let rates = rates(steps, &schedule);
        prop_assert!(rates[..steps as usize].windows(2).all(|pair| (pair[1] - pair[0]).abs() <= most));
    }

    #[test]
    fn the_learning_rate_depends_on_the_step_alone((steps, schedule) in any_schedule()) {
        let forwards = rates(steps, &schedule);
        let backwards: Vec<_> = (0..=steps).rev().map(|s| learning_rate(&schedule, steps, s)).collect();
        prop_assert!(forwards.iter().eq(backwards.iter().rev()));
    }

    #[test]
    fn the_stable_part_of_wsd_is_flat((steps, schedule) in any_schedule()) {
        let schedule = ScheduleConfig { shape: LrShape::Wsd, min_lr: None, ..schedule };
        let start = schedule.warmup_steps(steps).max(steps - schedule.decay_steps(steps));
        for step in schedule.warmup_steps(steps)..start {
            prop_assert_eq!(learning_rate(&schedule, steps, step), schedule.lr);
        }
    }

    #[test]
    fn a_step_transition_has_all_of_omega_and_then_none(
        (steps, n_kd) in (1..300u64).prop_flat_map(|steps| (Just(steps), 1..=steps)),
        omega in 0.0..=1.0f64,
    ) {
        let config = run(steps, &format!("mode = \"salt\"\nn_kd = {n_kd}\nomega = {omega:?}"));
        let plan = StagePlan::of(&config);
        for step in 0..steps {
            let expected = if step < n_kd { (Stage::One, omega) } else { (Stage::Two, 0.0) };
            let got = plan.at(step, None);
            prop_assert_eq!((got.stage, got.omega), expected);
        }
        prop_assert_eq!(plan.max_labelled_steps(), n_kd);
        prop_assert_eq!(plan.max_token_steps(), steps - n_kd);
    }

    #[test]
    fn a_linear_transition_falls_in_a_line_on_labelled_sequences(
        (steps, n_kd) in (1..300u64).prop_flat_map(|steps| (Just(steps), 1..=steps)),
        decay in 1..100u64,
        omega in 0.01..=1.0f64,
    ) {
        let kd = format!(
            "mode = \"salt-ds\"\ntransition = \"linear\"\nn_kd = {n_kd}\ndecay_steps = {decay}\nomega = {omega:?}"
        );
        let plan = StagePlan::of(&run(steps, &kd));
        let omegas: Vec<_> = (0..n_kd + decay + 2).map(|step| plan.at(step, None)).collect();
        let fall = omega / (decay + 1) as f64;
        for (step, pair) in omegas.windows(2).enumerate() {
            let step = step as u64;
            let expected = if step + 1 < n_kd || step >= n_kd + decay { 0.0 } else { fall };
            prop_assert!((pair[0].omega - pair[1].omega - expected).abs() < 1e-12, "step {step}");
        }
        prop_assert_eq!(omegas[n_kd as usize - 1].omega, omega);
        prop_assert!(omegas[(n_kd + decay) as usize - 1].omega > 0.0);
        prop_assert_eq!(omegas[(n_kd + decay) as usize], StepPlan { stage: Stage::Two, omega: 0.0, lr_factor: 1.0 });
        let labelled = (0..steps).filter(|&s| plan.at(s, None).stage == Stage::One).count() as u64;
        prop_assert_eq!(labelled, plan.max_labelled_steps());
        prop_assert_eq!(steps - labelled, plan.max_token_steps());
    }

    #[test]
    fn an_auto_transition_ends_within_its_bounds_and_for_good(
        nlls in prop::collection::vec((0.0..5.0f64, 0.0..5.0f64), 60),
        (n_kd, min_kd) in (1..50u64).prop_flat_map(|n| (Just(n), 1..=n)),
        running in 1..20u64,
    ) {
        let kd = format!(
            "mode = \"salt\"\ntransition = \"auto\"\nn_kd = {n_kd}\nmin_kd = {min_kd}\nrunning_steps = {running}"
        );
        let plan = StagePlan::of(&run(60, &kd));
        let mut auto = plan.auto_transition().unwrap();
        let mut end = None;
        for (step, (student, teacher)) in nlls.into_iter().enumerate() {
            let step = step as u64;
            let stage = plan.at(step, Some(&auto)).stage;
            if stage == Stage::Two {
                end.get_or_insert(step);
            }
            prop_assert_eq!(stage == Stage::Two, end.is_some(), "it went back at step {}", step);
            if stage == Stage::One {
                auto.observe(student, teacher);
            }
        }
        let end = end.unwrap();
        prop_assert!((min_kd..=n_kd).contains(&end), "{end}");
        prop_assert!(end <= plan.max_labelled_steps() && 60 - end <= plan.max_token_steps());
    }
}

#[test]
fn golden_learning_rates_of_each_shape() {
    let of = |shape, min_lr, decay_steps| {
        let schedule = ScheduleConfig {
            lr: 1.0,
            min_lr,
            shape,
            warmup_steps: Some(2),
            decay_steps,
        };
        (0..10)
            .map(|step| learning_rate(&schedule, 10, step))
            .collect::<Vec<_>>()
    };
    let near = |got: Vec<f64>, expected: [f64; 10]| {
        let is_near = got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(is_near, "{got:?}");
    };
    near(
        of(LrShape::Constant, None, None),
        [0.5, 1., 1., 1., 1., 1., 1., 1., 1., 1.],
    );
    near(
        of(LrShape::Linear, Some(0.2), None),
        [0.5, 1.0, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3],
    );
    near(
        of(LrShape::Wsd, None, Some(4)),
        [0.5, 1., 1., 1., 1., 1., 1., 0.75, 0.5, 0.25],
    );
    // 0.1 + 0.45 * (1 + cos(pi * i / 8)) for i from 0 to 7.
    let cosine = of(LrShape::Cosine, None, None);
    assert_eq!((cosine[1], cosine[2]), (1.0, 1.0));
    assert!(
        (cosine[6] - 0.55).abs() < 1e-12,
        "half the way is half the fall"
    );
    assert!((cosine[4] - (0.1 + 0.45 * (1.0 + 0.5f64.sqrt()))).abs() < 1e-12);
}

#[test]
fn each_mode_reads_and_learns_what_the_table_says() {
    let at = |kd: &str, step| {
        let plan = StagePlan::of(&run(10, kd));
        let got = plan.at(step, None);
        (u8::from(got.stage), got.omega)
    };
    assert_eq!(at("mode = \"rkd\"", 9), (1, 0.5));
    assert_eq!(at("mode = \"salt\"\nn_kd = 4", 3), (1, 0.5));
    assert_eq!(at("mode = \"salt\"\nn_kd = 4", 4), (2, 0.0));
    assert_eq!(at("mode = \"ds-ce\"\nn_kd = 4", 3), (1, 0.0));
    assert_eq!(at("mode = \"ds-ce\"\nn_kd = 4", 4), (2, 0.0));
    assert_eq!(at("mode = \"baseline\"\nn_kd = 4", 3), (1, 0.0));
    assert_eq!(at("mode = \"baseline\"", 9), (1, 0.0));
    let mut plain = run(10, "mode = \"baseline\"");
    plain.data.labels = None;
    let plan = StagePlan::of(&plain);
    assert_eq!(
        plan.at(0, None),
        StepPlan {
            stage: Stage::Two,
            omega: 0.0,
            lr_factor: 1.0
        }
    );
    assert_eq!((plan.max_labelled_steps(), plan.max_token_steps()), (0, 10));
    assert!(!plan.learns_from_labels());
    assert!(StagePlan::of(&run(10, "mode = \"rkd\"")).learns_from_labels());
}

#[test]
fn the_learning_rate_of_stage_1_has_its_factor_and_falls_with_omega() {
    let factor = |kd: &str, step| StagePlan::of(&run(10, kd)).at(step, None).lr_factor;
    let salt = "mode = \"salt\"\nn_kd = 4\nlr_factor = 3";
    assert_eq!(
        [0, 3, 4, 9].map(|step| factor(salt, step)),
        [3.0, 3.0, 1.0, 1.0]
    );
    let linear = &format!("{salt}\ntransition = \"linear\"\ndecay_steps = 3");
    let expected = [3.0, 2.5, 2.0, 1.5, 1.0];
    assert_eq!([3, 4, 5, 6, 7].map(|step| factor(linear, step)), expected);
    assert_eq!(factor("mode = \"rkd\"\nlr_factor = 0.5", 9), 0.5);
    // Without KD there is nothing to bear another rate.
    for kd in [
        "mode = \"baseline\"\nn_kd = 4",
        "mode = \"ds-ce\"\nn_kd = 4",
        "mode = \"salt\"\nn_kd = 4\nomega = 0\ngate = \"excess\"",
    ] {
        assert_eq!(factor(&format!("{kd}\nlr_factor = 3"), 0), 1.0, "{kd}");
    }
    assert_eq!(factor("mode = \"salt\"\nn_kd = 4", 0), 1.0);
}

#[test]
fn an_auto_transition_ends_when_the_running_means_meet() {
    let mut auto = AutoTransition::new(2, 100, 2);
    let mut ends = Vec::new();
    // Weights halve with each step: the student's mean falls below the teacher's 3 after the fourth step.
    for student in [5.0, 4.0, 3.0, 1.0, 9.0] {
        auto.observe(student, 3.0);
        ends.push(auto.has_ended(ends.len() as u64 + 1));
    }
    assert_eq!(ends, [false, false, false, true, true]);
    assert!(!auto.has_ended(3) && auto.has_ended(4));
}

#[test]
fn a_step_without_labelled_positions_counts_and_is_left_out() {
    let mut auto = AutoTransition::new(1, 9, 10);
    auto.observe(f64::NAN, f64::NAN);
    auto.observe(4.0, 3.0);
    assert!(!auto.has_ended(2));
    auto.observe(1.0, 3.0);
    assert!(!auto.has_ended(2) && auto.has_ended(3));
}

#[test]
fn an_auto_transition_goes_on_from_a_checkpoint() {
    let mut whole = AutoTransition::new(3, 50, 7);
    let nll = |step: u64| 4.0 - step as f64 * 0.1;
    (0..9).for_each(|step| whole.observe(nll(step), 3.1));
    let json = serde_json::to_string(&whole).unwrap();
    let mut resumed: AutoTransition = serde_json::from_str(&json).unwrap();
    assert_eq!(resumed, whole);
    for step in 9..30 {
        whole.observe(nll(step), 3.1);
        resumed.observe(nll(step), 3.1);
    }
    assert_eq!(resumed, whole);
    assert!(whole.has_ended(29));
}

#[test]
fn a_margin_ends_stage_1_that_much_earlier_or_later() {
    let steps_with = |margin: f64| {
        let mut auto = AutoTransition::new(1, 100, 1).with_margin(margin);
        let mut step = 0;
        // The student's NLL falls from 5 by 0.25 per step, the teacher's is 3; all are exact in binary.
        while !auto.has_ended(step) {
            auto.observe(5.0 - 0.25 * step as f64, 3.0);
            step += 1;
        }
        step
    };
    assert_eq!(steps_with(0.0), 9);
    assert_eq!(steps_with(0.5), 7);
    assert_eq!(steps_with(-1.0), 13);
    assert_eq!(steps_with(-90.0), 100, "at most n_kd");
    let config = run(
        40,
        "mode = \"salt\"\nn_kd = 9\ntransition = \"auto\"\nauto_margin = 0.25",
    );
    let auto = StagePlan::of(&config).auto_transition();
    assert_eq!(auto, Some(AutoTransition::new(1, 9, 50).with_margin(0.25)));
}

#[test]
fn an_auto_transition_of_a_checkpoint_without_a_margin_has_none() {
    let mut auto = AutoTransition::new(3, 50, 7);
    auto.observe(4.0, 3.0);
    let mut json = serde_json::to_value(&auto).unwrap();
    json.as_object_mut().unwrap().remove("margin").unwrap();
    let read: AutoTransition = serde_json::from_value(json).unwrap();
    assert_eq!(read, auto);
}

#[test]
fn the_demand_for_labels_counts_steps_batches_and_epochs() {
    let demand = |kd: &str, epochs: Option<u32>| {
        let mut config = run(40, kd);
        config.train.batch_size = 3;
        config.data.label_epochs = epochs;
        LabelDemand::of(&config)
    };
    let salt = demand("mode = \"salt\"\nn_kd = 10", None);
    assert_eq!((salt.n_steps, salt.n_seen, salt.n_sequences), (10, 30, 30));
    let four_times = demand("mode = \"salt\"\nn_kd = 10", Some(4));
    assert_eq!((four_times.n_seen, four_times.n_sequences), (30, 8));
    // omega falls over a tenth of the steps, which still read labels.
    let linear = demand("mode = \"salt\"\nn_kd = 10\ntransition = \"linear\"", None);
    assert_eq!(linear.n_sequences, 33);
    assert_eq!(demand("mode = \"rkd\"", None).n_sequences, 120);
}
