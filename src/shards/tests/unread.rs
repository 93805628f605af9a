//! A disk that does not answer is not damage: every reader of labels reports it, and nothing is
//! removed.

use crate::error::{Classified, Kind};
use crate::shards::testing::{
    add_selection, plan, with_targets, write_set, write_set_selected, write_shard,
};
use crate::shards::*;
use crate::storage::fail_nth_read;
use std::path::Path;

const CODES: [i32; 5] = [
    libc::EIO,
    libc::ESTALE,
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOMEM,
];

/// One shard of one row group.
fn small_plan() -> Plan {
    let mut plan = plan();
    plan.sequences.end = 24;
    with_targets(plan)
}

/// Makes every read of `work` fail in turn, with each error in turn; in the end `work` succeeds.
#[track_caller]
fn each_failing_read(work: impl Fn() -> Result<(), ShardsError>) {
    for n in 0.. {
        let code = CODES[n as usize % CODES.len()];
        let (result, reached) = fail_nth_read(n, code, &work);
        if !reached {
            assert!(n > 5, "only {n} reads");
            return result.unwrap();
        }
        let error = result.unwrap_err();
        assert!(error.is_unread(), "read {n}, error {code}: {error:?}");
        assert_eq!(error.kind(), Kind::Failed);
        assert!(error.to_string().contains("try again"), "{error}");
        assert!(!error.to_string().contains("remove"), "{error}");
    }
}

fn read_all(dir: &Path, plan: &Plan) -> Result<(), ShardsError> {
    for shard in plan.shards() {
        let groups = &plan.signals.groups;
        let mut reader = ShardReader::open_checked(dir, plan, shard, groups)?;
        reader.try_for_each(|rows| rows.map(drop))?;
    }
    Ok(())
}

#[test]
fn no_reader_of_shards_calls_a_failing_read_damage() {
    let dir = tempfile::tempdir().unwrap();
    let plan = write_set(dir.path(), &small_plan());
    each_failing_read(|| read_all(dir.path(), &plan));
    each_failing_read(|| {
        let scores = [ScoreId::Salt];
        let mut reader = ScoreReader::open(dir.path(), &plan, 0, &scores)?;
        reader.try_for_each(|columns| columns.map(drop))
    });
    each_failing_read(|| match check_finished(dir.path(), &plan, 0)? {
        ShardState::Finished(_) => Ok(()),
        other => panic!("{other:?}"),
    });
}

#[test]
fn no_reader_of_selections_calls_a_failing_read_damage() {
    let dir = tempfile::tempdir().unwrap();
    let labels = dir.path().join("labels");
    write_set(&labels, &with_targets(plan()));
    let set = LabelSet::open(&labels).unwrap();
    let path = dir.path().join("kept.parquet");
    super::selections::select(&set, &path);
    each_failing_read(|| Selection::read(&path, 80).map(drop));
    let selected = dir.path().join("selected");
    let plan = with_targets(add_selection(plan(), &path));
    write_set_selected(&selected, &plan, Some(&path));
    each_failing_read(|| LabelSet::open(&selected).map(drop));
}

#[test]
fn a_shard_that_could_not_be_read_stays_when_it_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let plan = write_set(dir.path(), &with_targets(plan()));
    let path = dir.path().join("positions/part-00000.parquet");
    // A file that a process with another runtime is about to claim.
    std::fs::remove_file(dir.path().join("part-00000.json")).unwrap();
    let other = std::fs::read(dir.path().join("positions/part-00001.parquet")).unwrap();
    std::fs::write(&path, &other).unwrap();
    for n in 0.. {
        let (result, reached) = fail_nth_read(n, libc::EIO, || write_shard(dir.path(), &plan, 0));
        if !reached {
            break;
        }
        if result.is_err() {
            assert_eq!(std::fs::read(&path).unwrap(), other, "read {n}");
        }
    }
}

#[test]
fn verify_tells_what_it_could_not_read_from_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &small_plan());
    // On a single thread, the one whose reads fail.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let verify = || verify_files(dir.path(), &VerifyOptions::default(), |_| {});
    for n in 0.. {
        let code = CODES[n as usize % CODES.len()];
        let (result, reached) = pool.install(|| fail_nth_read(n, code, verify));
        if !reached {
            assert!(result.unwrap().is_clean());
            assert!(n > 10, "only {n} reads");
            break;
        }
        let report = match result {
            Ok(report) => report,
            Err(error) => {
                assert!(error.is_unread(), "{error:?}");
                continue;
            }
        };
        assert_eq!(report.findings, [], "read {n}");
        assert_eq!((report.n_findings, report.n_unread), (0, 1));
        assert!(!report.is_clean());
        let message = &report.unread[0].message;
        assert!(message.contains("try again"), "{message}");
    }
}
