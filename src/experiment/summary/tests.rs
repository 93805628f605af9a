use super::super::testing::{arm, labelled_arm, results, run};
use super::*;

/// Sums of a few f64 near 1.
const TOLERANCE: f64 = 1e-12;

fn baseline() -> ArmResults {
    let runs = vec![
        run(0, &[(5, 5.0), (10, 4.0)]),
        run(1, &[(5, 5.2), (10, 4.2)]),
    ];
    arm("baseline", runs)
}

fn close(got: f64, want: f64) {
    assert!((got - want).abs() < TOLERANCE, "{got} is not {want}");
}

#[test]
fn a_spread_is_the_sample_standard_deviation() {
    let spread = OverSeeds::of(vec![(0, 1.0), (1, 2.0), (2, 6.0)]).unwrap();
    assert_eq!((spread.mean, spread.min, spread.max), (3.0, 1.0, 6.0));
    close(spread.sd.unwrap(), 7.0_f64.sqrt());
    assert_eq!(OverSeeds::of(vec![(3, 2.5)]).unwrap().sd, None);
    assert_eq!(OverSeeds::of(Vec::new()), None);
}

#[test]
fn a_curve_reaches_a_value_on_the_line_between_two_models() {
    let curve = [(0.5, 5.0), (0.7, 4.5), (1.0, 4.0)];
    let Reach::At(share) = reach(&curve, 4.25) else {
        panic!("{:?}", reach(&curve, 4.25));
    };
    close(share, 0.85);
    assert_eq!(reach(&curve, 4.5), Reach::At(0.7));
    assert_eq!(reach(&curve, 4.0), Reach::At(1.0));
}

#[test]
fn a_curve_may_reach_the_target_at_the_start_or_never() {
    let curve = [(0.5, 5.0), (1.0, 4.0)];
    assert_eq!(reach(&curve, 5.0), Reach::AtMost(0.5));
    assert_eq!(reach(&curve, 6.0), Reach::AtMost(0.5));
    assert_eq!(reach(&curve, 3.9), Reach::Never);
    assert_eq!(reach(&[], 3.9), Reach::Never);
}

#[test]
fn the_first_crossing_of_a_nonmonotonic_curve_counts() {
    let curve = [(0.5, 5.0), (0.6, 3.0), (0.8, 6.0), (1.0, 3.0)];
    assert_eq!(reach(&curve, 4.0), Reach::At(0.55));
}

#[test]
fn the_baseline_reaches_itself_at_the_end() {
    let results = results(vec![baseline()]);
    for budget in Budget::ALL {
        let reach = results.reach(&results.arms[0], budget).unwrap();
        assert_eq!(reach.by_seed, [(0, Reach::At(1.0)), (1, Reach::At(1.0))]);
    }
}

#[test]
fn runs_are_paired_by_seed() {
    // Paired with the other seed's baseline, the same curve would give another fraction.
    let salt = arm("salt", vec![run(1, &[(5, 4.7), (10, 3.7)])]);
    let results = results(vec![baseline(), salt]);
    let reach = results.reach(&results.arms[1], Budget::Steps).unwrap();
    assert_eq!(reach.by_seed.len(), 1);
    close(reach.spread().unwrap().mean, 0.75);
    let difference = results.nll_difference(&results.arms[1], 0, 1.0).unwrap();
    assert_eq!(difference.values.len(), 1);
    close(difference.mean, -0.5);
    let hard = results.bucket_difference(&results.arms[1], 0, 2).unwrap();
    close(hard.mean, -0.75);
}

#[test]
fn the_cost_of_the_teacher_counts_where_it_is_asked_for_and_needed() {
    let runs = || vec![run(0, &[(5, 4.5), (10, 3.5)])];
    let results = results(vec![
        baseline(),
        labelled_arm("salt", runs()),
        arm("free", runs()),
    ]);
    let mean = |arm: usize, budget| {
        let reach = results.reach(&results.arms[arm], budget).unwrap();
        reach.spread().unwrap().mean
    };
    for budget in Budget::ALL {
        close(mean(2, budget), 0.75);
    }
    close(mean(1, Budget::Flops), 0.75);
    close(mean(1, Budget::Seconds), 0.75);
    // A tenth for the teacher's training and a half for the labels.
    close(mean(1, Budget::FlopsWithTeacher), 1.35);
    close(mean(1, Budget::SecondsWithTeacher), 1.35);
}

#[test]
fn an_arm_with_a_teacher_of_its_own_pays_for_that_one() {
    let runs = || vec![run(0, &[(5, 4.5), (10, 3.5)])];
    let mut results = results(vec![baseline(), labelled_arm("salt", runs())]);
    let common = results.teacher.clone().unwrap();
    let reach = |results: &Results| {
        let reach = results.reach(&results.arms[1], Budget::FlopsWithTeacher);
        reach.unwrap().spread().unwrap().mean
    };
    let paid = reach(&results);
    results.arms[1].teacher = Some(TeacherCost {
        flops: 3.0 * common.flops,
        ..common
    });
    // A tenth for the training of the common teacher.
    close(reach(&results) - paid, 0.2);
}

#[test]
fn a_model_is_charged_the_labels_that_its_steps_read() {
    let mut salt = labelled_arm("salt", vec![run(0, &[(5, 4.5), (10, 3.5)])]);
    let branches = &mut salt.runs[0].branches;
    branches[0].n_labelled_tokens = Some(2000);
    branches[1].n_labelled_tokens = Some(4000);
    let results = results(vec![baseline(), salt]);
    for budget in [Budget::FlopsWithTeacher, Budget::SecondsWithTeacher] {
        let reach = results.reach(&results.arms[1], budget).unwrap();
        // Between 0.5 + 0.1 + 0.25 of half of the steps and 1 + 0.1 + 0.5 of all of them.
        close(reach.spread().unwrap().mean, (0.85 + 1.6) / 2.0);
    }
}

#[test]
fn unknown_teacher_costs_are_null() {
    let salt = labelled_arm("salt", vec![run(0, &[(10, 3.5)])]);
    let mut results = results(vec![baseline(), salt]);
    results.arms[1].label_seconds = None;
    let reach = |results: &Results, budget| results.reach(&results.arms[1], budget);
    assert_eq!(reach(&results, Budget::SecondsWithTeacher), None);
    assert!(reach(&results, Budget::FlopsWithTeacher).is_some());
    results.teacher = None;
    assert_eq!(reach(&results, Budget::FlopsWithTeacher), None);
    assert!(reach(&results, Budget::Steps).is_some());
}

#[test]
fn an_arm_with_a_seed_that_never_reaches_the_target_has_no_mean() {
    let salt = arm(
        "salt",
        vec![run(0, &[(5, 3.9), (10, 3.5)]), run(1, &[(10, 4.3)])],
    );
    let results = results(vec![baseline(), salt]);
    let reach = results.reach(&results.arms[1], Budget::Steps).unwrap();
    assert_eq!(reach.by_seed, [(0, Reach::AtMost(0.5)), (1, Reach::Never)]);
    assert_eq!(reach.spread(), None);
    assert!(reach.is_bound());
}

#[test]
fn a_run_under_way_is_not_compared_yet() {
    let salt = arm("salt", vec![run(0, &[(5, 3.9)])]);
    let results = results(vec![baseline(), salt]);
    assert_eq!(results.reach(&results.arms[1], Budget::Steps), None);
    assert_eq!(results.nll(&results.arms[1], 0, 1.0), None);
    assert!(results.nll(&results.arms[1], 0, 0.5).is_some());
    assert_eq!(results.shares(), [0.5, 1.0]);
}

#[test]
fn runs_that_no_grid_made_reach_the_baseline_by_their_validations() {
    let validated = |last: f64, validations: &[(u64, f64)]| RunResults {
        validations: run(0, validations).branches,
        ..run(0, &[(10, last)])
    };
    let baseline = arm("baseline", vec![validated(4.0, &[(5, 5.0), (10, 4.0)])]);
    let salt = arm("salt", vec![validated(3.5, &[(5, 4.5), (10, 3.5)])]);
    let results = results(vec![baseline, salt]);
    let reach = results.reach(&results.arms[1], Budget::Steps).unwrap();
    assert_eq!(reach.by_seed, [(0, Reach::At(0.75))]);
    assert_eq!(results.shares(), [1.0], "validations are no decayed models");
}
