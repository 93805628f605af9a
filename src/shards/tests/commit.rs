//! The commit protocol with a first writer, a second one, and interruptions.

use crate::shards::testing::{
    plan, row, runtime, shard_rows, with_targets, write_set, write_shard,
};
use crate::shards::*;
use crate::storage::{self, StorageError};
use std::path::Path;
use std::sync::Barrier;

fn small_plan() -> Plan {
    with_targets(plan())
}

/// Every file under `dir` that is not hidden, with its content.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for sub in ["", "scores", "positions"] {
        for entry in std::fs::read_dir(dir.join(sub)).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.strip_prefix(dir).unwrap().display().to_string();
                found.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// Overwrites a file in place, as damage does, so that its hard links are changed too.
fn flip_byte(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x40;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn two_racing_writers_of_a_shard_commit_once_and_both_are_content() {
    let plan = small_plan();
    let dir = tempfile::tempdir().unwrap();
    let barrier = Barrier::new(2);
    let race = || {
        let mut writer = ShardWriter::create(dir.path(), &plan, 0).unwrap();
        for rows in shard_rows(&plan, 0) {
            writer.write_row_group(&rows).unwrap();
        }
        barrier.wait();
        writer.seal_and_publish(&runtime())
    };
    let (a, b) = std::thread::scope(|scope| {
        let (a, b) = (scope.spawn(race), scope.spawn(race));
        (a.join().unwrap(), b.join().unwrap())
    });
    assert_eq!(a.unwrap(), b.unwrap());
    let state = check_finished(dir.path(), &plan, 0).unwrap();
    assert!(matches!(state, ShardState::Finished(_)), "{state:?}");
    assert_eq!(
        contents(dir.path()).len(),
        3,
        "nothing but the shard is left"
    );
}

#[test]
fn a_shard_that_is_there_already_stays() {
    let plan = small_plan();
    let dir = tempfile::tempdir().unwrap();
    let first = write_shard(dir.path(), &plan, 0).unwrap();
    let before = contents(dir.path());
    assert_eq!(write_shard(dir.path(), &plan, 0).unwrap(), first);
    assert_eq!(contents(dir.path()), before);
}

#[test]
fn other_bytes_under_the_same_name_are_refused_and_stay() {
    let plan = small_plan();
    let dir = tempfile::tempdir().unwrap();
    write_shard(dir.path(), &plan, 0).unwrap();
    let before = contents(dir.path());
    let other = || {
        let mut writer = ShardWriter::create(dir.path(), &plan, 0).unwrap();
        for mut rows in shard_rows(&plan, 0) {
            rows[0].scores.mean_topk_mass = 0.5;
            writer.write_row_group(&rows).unwrap();
        }
        let runtime = RuntimeStamp {
            provider: "cuda".to_owned(),
            ..runtime()
        };
        writer.seal_and_publish(&runtime)
    };
    let error = other().unwrap_err();
    assert!(matches!(error, ShardsError::DifferentBytes { .. }));
    let message = error.to_string();
    assert!(
        message.contains("on cpu") && message.contains("on cuda"),
        "{message}"
    );
    assert_eq!(contents(dir.path()), before);
    // The same without a sidecar: the other writer may be about to write it.
    std::fs::remove_file(dir.path().join("part-00000.json")).unwrap();
    let error = other().unwrap_err();
    assert!(matches!(error, ShardsError::DifferentBytes { .. }));
    assert_eq!(contents(dir.path()), before[1..]);
}

#[test]
fn a_partial_file_without_a_sidecar_is_replaced() {
    let plan = small_plan();
    let dir = tempfile::tempdir().unwrap();
    write_shard(dir.path(), &plan, 0).unwrap();
    let before = contents(dir.path());
    for name in ["scores/part-00000.parquet", "positions/part-00000.parquet"] {
        let path = dir.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for len in [0, 3, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..len]).unwrap();
            std::fs::remove_file(dir.path().join("part-00000.json")).unwrap();
            write_shard(dir.path(), &plan, 0).unwrap();
            assert_eq!(contents(dir.path()), before);
        }
    }
}

#[test]
fn a_damaged_shard_is_noticed_on_resume_and_made_again() {
    let plan = small_plan();
    let dir = tempfile::tempdir().unwrap();
    write_shard(dir.path(), &plan, 0).unwrap();
    let before = contents(dir.path());
    for (name, bytes) in &before {
        flip_byte(&dir.path().join(name), bytes.len() / 3);
        let state = check_finished(dir.path(), &plan, 0);
        assert!(!matches!(state, Ok(ShardState::Finished(_))), "{name}");
        if matches!(state, Err(ShardsError::ForeignSidecar { .. })) {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
        write_shard(dir.path(), &plan, 0).unwrap();
        assert_eq!(contents(dir.path()), before);
    }
}

#[test]
fn a_missing_file_of_a_finished_shard_is_noticed_and_made_again() {
    let plan = small_plan();
    let dir = tempfile::tempdir().unwrap();
    write_shard(dir.path(), &plan, 0).unwrap();
    let before = contents(dir.path());
    std::fs::remove_file(dir.path().join("positions/part-00000.parquet")).unwrap();
    let state = check_finished(dir.path(), &plan, 0).unwrap();
    assert!(matches!(state, ShardState::Damaged(_)));
    write_shard(dir.path(), &plan, 0).unwrap();
    assert_eq!(contents(dir.path()), before);
}

/// Makes the missing parts of a set, like a run that may be the second or third.
fn resume(dir: &Path, plan: &Plan) -> Result<(), ShardsError> {
    let opened = LabelSet::create_or_match(dir, plan, None)?;
    for shard in opened.plan().shards() {
        match check_finished(dir, opened.plan(), shard)? {
            ShardState::Finished(_) => {}
            ShardState::Missing => drop(write_shard(dir, opened.plan(), shard)?),
            ShardState::Damaged(error) => panic!("a half-written shard: {error}"),
        }
    }
    finalize(dir, false).map(drop)
}

/// Makes the n-th operation fail for n = 0, 1, ... until a run has no such operation: each run
/// reports the error, whatever exists is whole, and the next attempt ends with the bytes of an
/// undisturbed run.
fn assert_every_failure_is_survived(run: impl Fn(&Path, &Plan) -> Result<(), ShardsError>) {
    let plan = small_plan();
    let undisturbed = tempfile::tempdir().unwrap();
    write_set(undisturbed.path(), &plan);
    let expected = contents(undisturbed.path());
    for n in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (result, reached) = storage::fail_nth(n, || run(dir.path(), &plan));
        if !reached {
            result.unwrap();
            assert!(n > 40, "only {n} operations were met");
            assert_eq!(contents(dir.path()), expected);
            break;
        }
        let error = result.unwrap_err();
        let is_full = matches!(&error, ShardsError::Storage(StorageError::NoSpace { .. }));
        assert!(is_full, "operation {n}: {error:?}");
        for (name, bytes) in contents(dir.path()) {
            let whole = expected.iter().find(|(other, _)| *other == name);
            let whole = whole.map(|(_, bytes)| bytes);
            assert_eq!(whole, Some(&bytes), "operation {n}: {name}");
        }
        run(dir.path(), &plan).unwrap();
        assert_eq!(contents(dir.path()), expected, "operation {n}");
    }
}

#[test]
fn whichever_operation_fails_nothing_half_written_stays_and_resuming_works() {
    assert_every_failure_is_survived(resume);
}

#[test]
fn without_hard_links_too_nothing_half_written_stays_and_resuming_works() {
    assert_every_failure_is_survived(|dir, plan| storage::without_hard_links(|| resume(dir, plan)));
}

#[test]
fn rows_must_be_the_plans_row_groups() {
    let plan = small_plan();
    let dir = tempfile::tempdir().unwrap();
    let groups = shard_rows(&plan, 0);
    let writer_of = |dir: &tempfile::TempDir| ShardWriter::create(dir.path(), &plan, 0).unwrap();
    let mut writer = writer_of(&dir);
    let error = writer.write_row_group(&groups[0][..3]).unwrap_err();
    assert!(
        matches!(
            error,
            ShardsError::RowGroup {
                expected: 8,
                got: 3,
                ..
            }
        ),
        "{error}"
    );
    drop(writer);

    let mut writer = writer_of(&dir);
    writer.write_row_group(&groups[0]).unwrap();
    let error = writer.write_row_group(&groups[0]).unwrap_err();
    assert!(
        matches!(error, ShardsError::RefusedRow { row: 8, .. }),
        "{error}"
    );
    drop(writer);

    let mut writer = writer_of(&dir);
    writer.write_row_group(&groups[0]).unwrap();
    let error = writer.seal_and_publish(&runtime()).unwrap_err();
    assert!(
        matches!(error, ShardsError::RowGroup { row_group: 1, .. }),
        "{error}"
    );

    let mut writer = writer_of(&dir);
    groups
        .iter()
        .for_each(|rows| writer.write_row_group(rows).unwrap());
    let error = writer.write_row_group(&[row(&plan, 20)]).unwrap_err();
    assert!(
        matches!(
            error,
            ShardsError::RowGroup {
                expected: 0,
                got: 1,
                ..
            }
        ),
        "{error}"
    );
    drop(writer);
    assert!(
        contents(dir.path()).is_empty(),
        "a dropped writer leaves nothing"
    );

    let error = ShardWriter::create(dir.path(), &plan, 3).err().unwrap();
    assert!(matches!(
        error,
        ShardsError::NoSuchShard {
            shard: 3,
            first: 0,
            end: 3
        }
    ));
}

#[test]
fn finalizing_lists_what_is_missing_and_refuses_mixed_runtimes() {
    let dir = tempfile::tempdir().unwrap();
    let opened = LabelSet::create_or_match(dir.path(), &small_plan(), None).unwrap();
    let plan = opened.plan();
    write_shard(dir.path(), plan, 1).unwrap();
    let error = finalize(dir.path(), false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 of 3 shards are missing (0, 2): run `saltworks label` with the same settings and output directory again"
    );
    write_shard(dir.path(), plan, 0).unwrap();
    let mut writer = ShardWriter::create(dir.path(), plan, 2).unwrap();
    for rows in shard_rows(plan, 2) {
        writer.write_row_group(&rows).unwrap();
    }
    let other = RuntimeStamp {
        ort_version: "1.31.0".to_owned(),
        ..runtime()
    };
    writer.seal_and_publish(&other).unwrap();
    let error = finalize(dir.path(), false).unwrap_err();
    assert!(
        error.to_string().contains("--allow-mixed-runtime"),
        "{error}"
    );
    let manifest = finalize(dir.path(), true).unwrap();
    assert_eq!(manifest.runtimes, [other, runtime()]);
    assert_eq!(manifest.n_rows, 50);
    assert_eq!(manifest.n_targets, plan.sequences.n_targets);
    assert_eq!(Manifest::read(dir.path()).unwrap(), Some(manifest));
}

#[test]
fn targets_that_do_not_add_up_to_the_plans_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = small_plan();
    plan.sequences.n_targets += 1;
    let opened = LabelSet::create_or_match(dir.path(), &plan, None).unwrap();
    for shard in 0..3 {
        write_shard(dir.path(), opened.plan(), shard).unwrap();
    }
    let error = finalize(dir.path(), false).unwrap_err();
    assert!(matches!(error, ShardsError::Targets { .. }), "{error}");
}

#[test]
fn finalizing_sweeps_what_killed_runs_left() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &small_plan());
    let left = [
        ".plan.json.host.12.00112233445566ff",
        ".part-00000.json.host.12.00112233445566ff",
        "scores/.part-00001.parquet.host.12.00112233445566ff",
    ];
    for name in left {
        std::fs::write(dir.path().join(name), "half").unwrap();
    }
    finalize(dir.path(), false).unwrap();
    for name in left {
        assert!(!dir.path().join(name).exists());
    }
}
