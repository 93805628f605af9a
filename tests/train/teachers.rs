//! Gates that look at the student, and several teachers.

use crate::bench::{Bench, DRAWS, STEPS, label_by, lines_of, metrics, numbers, stopped};
use crate::support::{fail_with, succeed, text};
use serde_json::Value;

/// Fewer ids and draws than in the shared labels, and shards of other sizes.
const OTHER_LABEL_OPTIONS: [&str; 10] = [
    "--top-k",
    "5",
    "--samples",
    "7",
    "--samples-tau",
    "0.8",
    "--temperatures",
    "2",
    "--shard-bytes",
    "30000",
];

/// With labels of a second teacher, trained for a few steps, in `others`.
fn bench_with_two_teachers() -> Bench {
    let bench = Bench::new();
    let small = ["kd.mode=baseline", "train.steps=16"];
    let small = small.iter().flat_map(|key| ["--set", key]);
    succeed(bench.run("slm").args(small));
    label_by(&bench, "slm", "others", &OTHER_LABEL_OPTIONS);
    let labels = [&bench.labels, &bench.path("others")].map(|dir| format!("{dir:?}"));
    let both = format!("data.labels=[{}]", labels.join(", "));
    bench.with(&[&both])
}

#[test]
fn a_stopped_run_of_two_teachers_goes_on_to_the_same_bits() {
    let cases: [&[&str]; 3] = [
        &["kd.gate=excess", "kd.teacher_weights=[3, 1]"],
        &["kd.teachers=lower-nll", "kd.gate=agreement", "kd.tau=2"],
        &["kd.teachers=lower-nll", DRAWS[0], DRAWS[1]],
    ];
    let mut bench = bench_with_two_teachers().with(&["kd.n_kd=22"]);
    let shared = bench.keys.clone();
    for (i, keys) in cases.iter().enumerate() {
        bench.keys = shared.clone();
        bench = bench.with(keys);
        let names = [format!("reference-{i}"), format!("stopped-{i}")];
        succeed(&mut bench.run(&names[0]));
        // The last checkpoint that is left is of step 20, within stage 1.
        stopped(&bench, &names[1]);
        succeed(&mut bench.resume(&names[1]));
        bench.assert_same(&names[1], &names[0]);
    }
}

#[test]
fn excess_cuts_about_its_fraction_from_the_second_step_on() {
    for omega in ["0.5", "0"] {
        let omega = format!("kd.omega={omega}");
        let bench = Bench::new().with(&["kd.gate=excess", "kd.gate_fraction=0.25", &omega]);
        succeed(&mut bench.run("run"));
        let metrics = metrics(&bench.path("run"));
        let of_labels = |line: &&Value| line["stage"] == 1;
        let lines: Vec<&Value> = lines_of(&metrics, "train").filter(of_labels).collect();
        let learnt: Vec<f64> = lines
            .iter()
            .map(|line| line["learnt_fraction"].as_f64().unwrap())
            .collect();
        assert_eq!(learnt[0], 1.0, "the first step has no threshold");
        let rest = &learnt[1..];
        let mean = rest.iter().sum::<f64>() / rest.len() as f64;
        assert!((0.65..0.85).contains(&mean), "{learnt:?}");
        for line in &lines {
            let has_kd = line["omega"].as_f64().unwrap() > 0.0;
            assert_eq!(line["kd_fraction"].is_number(), has_kd, "{line}");
            if has_kd {
                assert_eq!(line["kd_fraction"], line["learnt_fraction"], "{line}");
            }
        }
        let last = lines_of(&metrics, "train").last().unwrap();
        assert!(
            last["learnt_fraction"].is_null(),
            "stage 2 has no gate: {last}"
        );
        let ce = numbers(&metrics, "train", "ce");
        assert_eq!(ce.len(), STEPS as usize);
        assert!(ce[ce.len() - 1] < ce[0] - 0.5, "{ce:?}");
    }
}

#[test]
fn excess_weights_from_the_first_step_on() {
    for omega in ["0.5", "0"] {
        let omega = format!("kd.omega={omega}");
        let bench = Bench::new().with(&["kd.gate=excess", "kd.gate_excess=weight", &omega]);
        succeed(&mut bench.run("run"));
        let metrics = metrics(&bench.path("run"));
        for line in lines_of(&metrics, "train") {
            let weight = line["learnt_fraction"].as_f64();
            match line["stage"] == 1 {
                true => assert!(weight.is_some_and(|it| 0.0 < it && it < 1.0), "{line}"),
                false => assert_eq!(weight, None, "stage 2 has no gate: {line}"),
            }
        }
        let ce = numbers(&metrics, "train", "ce");
        assert!(ce[ce.len() - 1] < ce[0] - 0.5, "{ce:?}");
    }
    let bench = Bench::new().with(&["kd.gate_excess=weight"]);
    let said = fail_with(&mut bench.run("run"), 2);
    assert!(said.contains("kd.gate_excess"), "{said}");
}

#[test]
fn the_teachers_nll_is_that_of_the_mixture_or_of_the_better_one() {
    let bench = bench_with_two_teachers().with(&["log.every=1", "kd.n_kd=4"]);
    let first = |name: &str, keys: &[&str]| {
        let mut command = bench.run(name);
        for key in keys {
            command.args(["--set", key]);
        }
        succeed(&mut command);
        numbers(&metrics(&bench.path(name)), "train", "teacher_nll")[0]
    };
    let one = |dir: &std::path::Path| format!("data.labels={}", dir.display());
    let alone = [&bench.labels, &bench.path("others")].map(|dir| one(dir));
    let alone = [first("one", &[&alone[0]]), first("other", &[&alone[1]])];
    let mixed = first("mixed", &[]);
    let lower = first("lower", &["kd.teachers=lower-nll"]);
    // Jensen: -log of a mean is at most the mean of -log; a maximum is at least every one of them.
    assert!(
        mixed <= f64::midpoint(alone[0], alone[1]),
        "{mixed} {alone:?}"
    );
    assert!(lower <= alone[0].min(alone[1]), "{lower} {alone:?}");
    assert!(mixed >= lower, "{mixed} {lower}");
}

#[test]
fn teachers_that_do_not_go_together_are_refused_before_the_first_step() {
    let bench = bench_with_two_teachers();
    let labels = bench.labels.display();
    label_by(&bench, "slm", "part", &["--sequences", "0..90"]);
    label_by(&bench, "slm", "topk", &["--groups", "topk"]);
    let with = |other: &str| {
        format!(
            "data.labels=[\"{labels}\", \"{}\"]",
            bench.path(other).display()
        )
    };
    let twice = format!("data.labels=[\"{labels}\", \"{labels}\"]");
    let one = format!("data.labels={labels}");
    let cases: [(&[&str], &[&str]); 10] = [
        (
            &["data.labels=[]"],
            &["data.labels is 0 of them", "1 to 8 paths"],
        ),
        (&["data.labels=3"], &["a path, or a list of paths"]),
        (&[&twice], &["the same labels twice"]),
        (
            &[&with("part")],
            &["part cannot be joined with", "what is labelled is 0..90"],
        ),
        (
            &[&with("topk"), "kd.gate=excess"],
            &["kd.gate = \"excess\" needs the group stats", "topk"],
        ),
        (
            &[&with("topk"), "kd.teachers=lower-nll"],
            &["kd.teachers = \"lower-nll\" needs"],
        ),
        (
            &["kd.teacher_weights=[1, -1]"],
            &["kd.teacher_weights is -1: expected at least 0"],
        ),
        (&["kd.teacher_weights=[0, 0]"], &["at least one is above 0"]),
        (
            &["kd.teacher_weights=[1, 2, 3]"],
            &["a weight for each of the 2 in data.labels"],
        ),
        (
            &[&one, "kd.teachers=lower-nll"],
            &["kd.teachers is lower-nll: expected no such key"],
        ),
    ];
    for (keys, words) in cases {
        let mut command = bench.run("refused");
        for key in keys {
            command.args(["--set", key]);
        }
        let printed = fail_with(&mut command, 2);
        for word in words {
            assert!(printed.contains(word), "{keys:?}: {printed}");
        }
        assert!(!bench.path("refused").exists(), "{keys:?}");
    }
}

#[test]
fn a_run_resumes_with_all_its_teachers_and_no_others() {
    let bench = bench_with_two_teachers();
    stopped(&bench, "run");
    label_by(&bench, "slm", "third", &["--top-k", "3"]);
    let with = |other: &str| {
        let (labels, other) = (bench.labels.display(), bench.path(other));
        format!("data.labels=[\"{labels}\", \"{}\"]", other.display())
    };
    let printed = fail_with(bench.resume("run").args(["--set", &with("third")]), 2);
    assert!(printed.contains("data.labels"), "{printed}");
    std::fs::rename(bench.path("others"), bench.path("moved")).unwrap();
    let resumed = text(&succeed(
        bench.resume("run").args(["--set", &with("moved")]),
    ));
    assert!(resumed.contains("resuming from"), "{resumed}");
}
