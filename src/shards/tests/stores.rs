//! The commit protocol in object stores: the same files as in a directory, whatever fails.

use crate::shards::testing::{plan, with_targets, write_set, write_shard};
use crate::shards::*;
use crate::storage::{self, Fault, install_faulty, install_sound};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Barrier;

/// Most attempts until the work is done: more than the injected faults.
const MAX_TRIES: usize = 60;
/// Faults per run. With a store that always fails, no run can finish.
const N_FAULTS: u64 = 40;

fn small_plan() -> Plan {
    with_targets(plan())
}

/// Every file of a set that is not hidden, with its content.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = storage::list_all(dir).unwrap().into_iter();
    let names = files.map(|entry| entry.name.into_string().unwrap());
    let seen = names.filter(|name| !name.rsplit('/').next().unwrap().starts_with('.'));
    seen.map(|name| {
        let bytes = storage::read(&dir.join(&name)).unwrap();
        (name, bytes)
    })
    .collect()
}

/// The content of a local directory with the same labels.
fn expected() -> BTreeMap<String, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &small_plan());
    contents(dir.path())
}

/// What `plan`, `label` and `finalize` do.
fn label(dir: &Path) -> Result<(), ShardsError> {
    let opened = LabelSet::create_or_match(dir, &small_plan(), None)?;
    let plan = opened.plan().clone();
    for shard in plan.shards() {
        if !matches!(check_finished(dir, &plan, shard)?, ShardState::Finished(_)) {
            write_shard(dir, &plan, shard)?;
        }
    }
    finalize(dir, false).map(drop)
}

fn verify(dir: &Path) -> Result<VerifyReport, ShardsError> {
    verify_files(dir, &VerifyOptions::default(), |_| ())
}

#[test]
fn a_set_in_a_store_has_the_files_of_one_in_a_directory() {
    let dir = install_sound("shards-sound").join("run/labels");
    label(&dir).unwrap();
    assert_eq!(contents(&dir), expected());
    let report = verify(&dir).unwrap();
    assert!(report.is_clean() && report.n_rows == 50, "{report:?}");
    // Again: nothing is written.
    label(&dir).unwrap();
    assert_eq!(contents(&dir), expected());
    let set = LabelSet::open(&dir).unwrap();
    set.finished_manifest().unwrap();
}

#[test]
fn whatever_fails_nothing_is_lost_and_the_same_work_finishes() {
    let expected = expected();
    for fault in Fault::ALL {
        let (mut n_injected, mut n_tries) = (0, 0);
        for every in [1, 2, 3, 5, 7, 11, 16, 23] {
            let name = format!("shards-{fault:?}-{every}").to_lowercase();
            let (url, faults, below) = install_faulty(&name, fault, every, N_FAULTS);
            let dir = url.join("labels");
            let sound = storage::install_store(&format!("{name}-below"), below).join("labels");
            let done = (0..MAX_TRIES).position(|_| {
                let result = label(&dir);
                if let Err(error) = &result {
                    let kind = crate::error::Classified::kind(error);
                    assert_eq!(kind, crate::error::Kind::Failed, "{fault:?}: {error}");
                }
                // After every attempt, whatever is there is whole and correct.
                for (name, bytes) in contents(&sound) {
                    assert!(expected[&name] == bytes, "{fault:?} {every}: {name}");
                }
                result.is_ok()
            });
            assert!(done.is_some(), "{fault:?} {every}: never done");
            assert_eq!(contents(&sound), expected, "{fault:?} {every}: lost");
            let report = verify(&sound).unwrap();
            assert!(report.is_clean(), "{fault:?} {every}: {report:?}");
            n_injected += faults.n_injected();
            n_tries += done.unwrap() + 1;
        }
        println!("{fault:?}: {n_injected} injected, {n_tries} tries of 8 runs");
        assert!(n_injected > 0, "{fault:?}");
    }
}

#[test]
fn a_failed_read_is_not_damage() {
    let (url, _, below) = install_faulty("shards-reads", Fault::Cut, 1, u64::MAX);
    let sound = storage::install_store("shards-reads-below", below).join("labels");
    label(&sound).unwrap();
    let error = verify(&url.join("labels")).unwrap_err();
    assert!(error.is_unread(), "{error}");
}

#[test]
fn two_writers_of_one_shard_leave_one_and_both_are_content() {
    let plan = small_plan();
    let dir = install_sound("shards-race").join("labels");
    let barrier = Barrier::new(2);
    let race = || {
        barrier.wait();
        write_shard(&dir, &plan, 0)
    };
    let (a, b) = std::thread::scope(|scope| {
        let (a, b) = (scope.spawn(race), scope.spawn(race));
        (a.join().unwrap(), b.join().unwrap())
    });
    assert_eq!(a.unwrap(), b.unwrap());
    let state = check_finished(&dir, &plan, 0).unwrap();
    assert!(matches!(state, ShardState::Finished(_)), "{state:?}");
    assert_eq!(contents(&dir).len(), 3, "nothing but the shard is left");
}

#[test]
fn a_prefix_with_another_plan_and_an_object_in_its_place_are_refused() {
    let dir = install_sound("shards-refused").join("labels");
    label(&dir).unwrap();
    let mut other = small_plan();
    other.signals.top_k = 3;
    let error = LabelSet::create_or_match(&dir, &other, None).unwrap_err();
    assert!(error.to_string().contains("top_k"), "{error}");
    let error = LabelSet::open(&dir.join("plan.json")).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("give s3://shards-refused/labels"),
        "{error}"
    );
    let error = LabelSet::open(&dir.join("other")).unwrap_err();
    assert!(matches!(error, ShardsError::NoPlan { .. }), "{error}");
}

#[test]
fn reading_scores_fetches_no_positions_and_few_ranges() {
    let (url, faults, _) = install_faulty("shards-scores", Fault::Reset, 1, 0);
    let dir = url.join("labels");
    label(&dir).unwrap();
    let plan = LabelSet::open(&dir).unwrap().segments.remove(0);
    storage::remove_tree(&dir.join("positions")).unwrap();
    let before = faults.n_requests();
    let n_rows: usize = ScoreReader::open(&dir, &plan, 0, &[ScoreId::Salt])
        .unwrap()
        .map(|columns| columns.unwrap().seq_ids.len())
        .sum();
    assert_eq!(n_rows as u64, plan.n_rows(0));
    // The sidecar; size and hash of the file; what it is, and its footer, which is all of a file this small.
    assert!(
        faults.n_requests() - before <= 5,
        "{}",
        faults.n_requests() - before
    );
}
