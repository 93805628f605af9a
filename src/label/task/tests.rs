use super::*;
use crate::error::{Classified, Kind};

type Variables<'a> = &'a [(&'a str, &'a str)];

fn auto_of(n_tasks: Option<u32>, variables: Variables<'_>) -> Result<Choice, LabelError> {
    let lookup = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    choose(Some("auto"), n_tasks, &lookup)
}

fn task(variables: Variables<'_>) -> (u32, u32) {
    let choice = auto_of(None, variables).unwrap();
    (choice.task.index, choice.task.count)
}

fn refused(n_tasks: Option<u32>, variables: Variables<'_>) -> String {
    let error = auto_of(n_tasks, variables).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    error.to_string()
}

/// What sbatch --array sets, as Slurm 22.05 does.
const fn array<'a>(
    id: &'a str,
    min: &'a str,
    max: &'a str,
    count: &'a str,
    step: &'a str,
) -> [(&'a str, &'a str); 6] {
    [
        ("SLURM_ARRAY_TASK_ID", id),
        ("SLURM_ARRAY_TASK_MIN", min),
        ("SLURM_ARRAY_TASK_MAX", max),
        ("SLURM_ARRAY_TASK_COUNT", count),
        ("SLURM_ARRAY_TASK_STEP", step),
        ("SLURM_PROCID", "0"),
    ]
}

/// What srun sets in addition, in a step.
const fn step<'a>(procid: &'a str, n: &'a str) -> [(&'a str, &'a str); 3] {
    [
        ("SLURM_STEP_ID", "0"),
        ("SLURM_STEP_NUM_TASKS", n),
        ("SLURM_PROCID", procid),
    ]
}

#[test]
fn slurms_arrays_number_their_tasks_from_the_least_id() {
    assert_eq!(task(&array("3", "0", "63", "64", "1")), (3, 64));
    assert_eq!(task(&array("3", "1", "4", "4", "1")), (2, 4));
    assert_eq!(task(&array("7", "1", "7", "3", "3")), (2, 3));
    assert_eq!(task(&array("5", "5", "5", "1", "1")), (0, 1));
    let without_step = &array("3", "0", "3", "4", "1")[..4];
    assert_eq!(task(without_step), (3, 4));
    let choice = auto_of(None, &array("3", "0", "63", "64", "1")).unwrap();
    let message = choice.source.unwrap();
    assert!(message.contains("Slurm"), "{message}");
    assert!(message.contains("SLURM_ARRAY_TASK_ID=3"), "{message}");
}

#[test]
fn a_step_of_srun_numbers_processes_and_within_an_array_both_count() {
    assert_eq!(task(&step("1", "4")), (1, 4));
    let inside = [&step("1", "2")[..], &array("3", "0", "4", "5", "1")].concat();
    assert_eq!(task(&inside), (7, 10));
    let older = [
        ("SLURM_STEP_ID", "0"),
        ("SLURM_PROCID", "2"),
        ("SLURM_NTASKS", "3"),
    ];
    assert_eq!(task(&older), (2, 3));
}

#[test]
fn a_batch_script_that_is_no_array_has_no_number() {
    let batch = [
        ("SLURM_JOB_ID", "5"),
        ("SLURM_PROCID", "0"),
        ("SLURM_NTASKS", "2"),
    ];
    assert!(refused(None, &batch).contains("none is set"));
}

#[test]
fn an_array_with_gaps_is_refused_unless_the_number_of_tasks_is_given() {
    let gaps = array("3", "1", "7", "3", "1");
    assert!(refused(None, &gaps).contains("without gaps"));
    let task = auto_of(Some(64), &gaps).unwrap().task;
    assert_eq!((task.index, task.count), (3, 64));
    assert!(refused(Some(3), &gaps).contains("says 3 of 3"));
    for bad in [
        array("8", "1", "7", "7", "1"),
        array("0", "1", "7", "7", "1"),
        array("3", "1", "7", "3", "0"),
        array("2", "1", "7", "3", "3"),
        array("3", "7", "1", "7", "1"),
    ] {
        assert!(refused(None, &bad).contains("without gaps"), "{bad:?}");
    }
}

#[test]
fn every_other_engine_gives_a_number_and_how_many_there_are() {
    let sky = [("SKYPILOT_JOB_RANK", "2"), ("SKYPILOT_NUM_JOBS", "8")];
    let ranks = [("RANK", "1"), ("WORLD_SIZE", "4")];
    assert_eq!((task(&sky), task(&ranks)), ((2, 8), (1, 4)));
    let kubernetes = [("JOB_COMPLETION_INDEX", "5")];
    let choice = auto_of(Some(64), &kubernetes).unwrap();
    assert_eq!((choice.task.index, choice.task.count), (5, 64));
    let message = choice.source.unwrap();
    assert!(
        message.contains("JOB_COMPLETION_INDEX=5, --tasks=64"),
        "{message}"
    );
    let message = refused(None, &kubernetes);
    assert!(message.contains("--tasks N"), "{message}");
    let rank = auto_of(Some(4), &ranks[..1]).unwrap().task;
    assert_eq!((rank.index, rank.count), (1, 4));
}

#[test]
fn an_incomplete_pair_of_variables_is_refused_or_ignored() {
    let message = refused(None, &[("RANK", "1")]);
    assert!(message.contains("WORLD_SIZE as well as RANK"), "{message}");
    assert!(refused(None, &[("SKYPILOT_JOB_RANK", "1")]).contains("SKYPILOT_NUM_JOBS"));
    assert!(refused(None, &[("WORLD_SIZE", "4")]).contains("none is set"));
    assert!(refused(None, &[("SLURM_ARRAY_TASK_ID", "1")]).contains("SLURM_ARRAY_TASK_MIN"));
    let step = [("SLURM_STEP_ID", "0"), ("SLURM_PROCID", "1")];
    assert!(refused(None, &step).contains("SLURM_NTASKS"));
}

#[test]
fn nothing_and_empty_variables_are_an_error_that_lists_what_is_known() {
    for none in [&[][..], &[("RANK", ""), ("WORLD_SIZE", "")]] {
        let message = refused(None, none);
        for name in [
            "SLURM_ARRAY_TASK_ID",
            "SLURM_PROCID",
            "JOB_COMPLETION_INDEX",
            "SKYPILOT_JOB_RANK",
            "WORLD_SIZE",
            "--task I/N",
        ] {
            assert!(message.contains(name), "{message}");
        }
    }
}

#[test]
fn an_engine_of_one_process_gives_way_and_two_of_several_must_agree() {
    let one = [("RANK", "0"), ("WORLD_SIZE", "1")];
    let sky = [("SKYPILOT_JOB_RANK", "2"), ("SKYPILOT_NUM_JOBS", "8")];
    assert_eq!(task(&[one, sky].concat()), (2, 8));
    assert_eq!(task(&one), (0, 1));
    let same = [("RANK", "2"), ("WORLD_SIZE", "8")];
    let choice = auto_of(None, &[same, sky].concat()).unwrap();
    assert_eq!(choice.task, Task { index: 2, count: 8 });
    assert!(choice.source.unwrap().contains(" and "));
    let other = [("RANK", "3"), ("WORLD_SIZE", "8")];
    let message = refused(None, &[other, sky].concat());
    assert!(message.contains("SKYPILOT_JOB_RANK=2"), "{message}");
    assert!(message.contains("RANK=3"), "{message}");
    let inside = [&other[..], &array("1", "0", "3", "4", "1")].concat();
    assert!(refused(None, &inside).contains("SLURM_ARRAY_TASK_ID=1"));
}

#[test]
fn impossible_values_are_refused_by_name() {
    for (name, others) in [
        ("RANK", &[("WORLD_SIZE", "4")][..]),
        ("WORLD_SIZE", &[("RANK", "0")]),
        ("SKYPILOT_JOB_RANK", &[("SKYPILOT_NUM_JOBS", "4")]),
        ("SKYPILOT_NUM_JOBS", &[("SKYPILOT_JOB_RANK", "0")]),
        ("JOB_COMPLETION_INDEX", &[]),
        ("SLURM_ARRAY_TASK_ID", &[]),
        ("SLURM_ARRAY_TASK_COUNT", &array("1", "0", "3", "4", "1")),
        ("SLURM_ARRAY_TASK_STEP", &array("1", "0", "3", "4", "1")),
        ("SLURM_PROCID", &step("1", "4")),
        ("SLURM_STEP_NUM_TASKS", &step("1", "4")),
    ] {
        for bad in ["-1", "x", "1.5", " 1", "4294967296"] {
            let variables = [&[(name, bad)][..], others].concat();
            let message = refused(None, &variables);
            assert!(message.contains(&format!("{name} is {bad:?}")), "{message}");
        }
    }
    for [index, count] in [["4", "4"], ["0", "0"], ["9", "4"]] {
        let message = refused(None, &[("RANK", index), ("WORLD_SIZE", count)]);
        assert!(
            message.contains(&format!("{index} of {count}")),
            "{message}"
        );
        assert!(refused(None, &step(index, count)).contains("SLURM_PROCID"));
    }
    let huge = [
        &step("1", "2")[..],
        &array("4294967295", "0", "4294967295", "4294967295", "1"),
    ]
    .concat();
    assert!(refused(None, &huge).contains("without gaps"));
}

#[test]
fn a_number_of_tasks_that_contradicts_the_engine_is_refused() {
    let ranks = [("RANK", "1"), ("WORLD_SIZE", "4")];
    assert!(auto_of(Some(4), &ranks).is_ok());
    let message = refused(Some(8), &ranks);
    assert!(message.contains("WORLD_SIZE, which is 4"), "{message}");
    assert!(refused(Some(4), &[("JOB_COMPLETION_INDEX", "4")]).contains("4 of 4"));
}

#[test]
fn a_typed_task_looks_at_no_environment() {
    let unasked = |_: &str| -> Option<String> { panic!("looked") };
    let typed = choose(Some("2/4"), None, &unasked).unwrap();
    assert_eq!(
        (typed.task, typed.source),
        (Task { index: 2, count: 4 }, None)
    );
    assert_eq!(choose(None, None, &unasked).unwrap().task, Task::WHOLE);
    for task in [None, Some("2/4")] {
        let message = choose(task, Some(4), &unasked).unwrap_err().to_string();
        assert!(message.contains("--task auto"), "{message}");
    }
}
