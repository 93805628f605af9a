//! Partial plans left by a killed process, where a plan is written under its own name.

use crate::shards::testing::{plan, with_targets, write_shard};
use crate::shards::*;
use crate::storage::{Unsupported, on_filesystem};
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Barrier;
use std::time::Duration;

fn small_plan() -> Plan {
    with_targets(plan())
}

/// Parts of a plan that may have been written.
fn halves(bytes: &[u8]) -> [&[u8]; 4] {
    [
        &[],
        &bytes[..1],
        &bytes[..bytes.len() / 2],
        &bytes[..bytes.len() - 2],
    ]
}

fn put(dir: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(dir.join(name), bytes).unwrap();
}

#[test]
fn half_a_plan_without_shards_gives_way() {
    let whole = small_plan().to_json();
    for half in halves(&whole) {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "plan.json", half);
        // A mere reader leaves it.
        assert!(matches!(
            LabelSet::open(dir.path()),
            Err(ShardsError::Json { .. })
        ));
        assert_eq!(std::fs::read(dir.path().join("plan.json")).unwrap(), half);
        let create = || LabelSet::create_or_match(dir.path(), &small_plan(), None).unwrap();
        let opened = on_filesystem(Unsupported::LinksAndExclusiveRenames, create);
        assert_eq!(opened.outcome, Outcome::Created);
        assert_eq!(std::fs::read(dir.path().join("plan.json")).unwrap(), whole);
    }
}

#[test]
fn half_a_plan_with_shards_beside_it_stays() {
    let opened = |dir: &Path| LabelSet::create_or_match(dir, &small_plan(), None);
    let dir = tempfile::tempdir().unwrap();
    let plan = opened(dir.path()).unwrap().plan().clone();
    write_shard(dir.path(), &plan, 1).unwrap();
    let half = &plan.to_json()[..300];
    put(dir.path(), "plan.json", half);
    assert!(matches!(opened(dir.path()), Err(ShardsError::Json { .. })));
    std::fs::remove_file(dir.path().join("part-00001.json")).unwrap();
    assert!(matches!(opened(dir.path()), Err(ShardsError::Json { .. })));
    assert_eq!(std::fs::read(dir.path().join("plan.json")).unwrap(), half);
}

#[test]
fn half_the_plan_of_an_extension_gives_way_and_the_finished_segment_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = plan();
    first.sequences.end = 40;
    let first = with_targets(first);
    let opened = LabelSet::create_or_match(dir.path(), &first, None).unwrap();
    for shard in opened.plan().shards() {
        write_shard(dir.path(), opened.plan(), shard).unwrap();
    }
    let mut second = plan();
    (second.sequences.start, second.sequences.end) = (40, 70);
    let second = with_targets(second);
    let half = &second.to_json()[..100];
    put(dir.path(), "plan-00001.json", half);
    let opened = LabelSet::create_or_match(dir.path(), &second, None).unwrap();
    assert_eq!((opened.outcome, opened.segment), (Outcome::Extended, 1));
    write_shard(dir.path(), opened.plan(), opened.plan().layout.first_shard).unwrap();
    // Now the second plan has a shard.
    put(dir.path(), "plan-00001.json", half);
    let again = LabelSet::create_or_match(dir.path(), &second, None);
    assert!(matches!(again, Err(ShardsError::Json { .. })));
}

#[test]
fn tasks_that_start_beside_half_a_plan_agree_on_one() {
    for unsupported in [Unsupported::Nothing, Unsupported::LinksAndExclusiveRenames] {
        for _ in 0..10 {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), "plan.json", &small_plan().to_json()[..200]);
            let barrier = Barrier::new(4);
            let start = || {
                barrier.wait();
                on_filesystem(unsupported, || {
                    LabelSet::create_or_match(dir.path(), &small_plan(), None)
                })
            };
            let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
                let tasks: Vec<_> = (0..4).map(|_| scope.spawn(start)).collect();
                let ended = tasks.into_iter().map(|task| task.join().unwrap());
                ended.map(|opened| opened.unwrap().outcome).collect()
            });
            let n_created = outcomes.iter().filter(|o| **o == Outcome::Created).count();
            assert_eq!(n_created, 1, "{outcomes:?}");
            let bytes = std::fs::read(dir.path().join("plan.json")).unwrap();
            assert_eq!(bytes, small_plan().to_json());
        }
    }
}

#[test]
fn a_plan_that_another_task_is_writing_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("plan.json");
    let whole = small_plan().to_json();
    std::thread::scope(|scope| {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .unwrap();
        file.lock().unwrap();
        let (path, whole) = (&path, &whole);
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(150));
            std::fs::write(path, whole).unwrap();
            drop(file);
        });
        let opened = LabelSet::create_or_match(dir.path(), &small_plan(), None).unwrap();
        assert_eq!(opened.outcome, Outcome::Resumed);
    });
    assert_eq!(std::fs::read(&path).unwrap(), whole);
}
