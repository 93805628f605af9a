//! The requests of commands to a store, as a function of the number of shards. Where time matters they must not make a
//! request per shard, or must make many at a time.

use crate::shards::testing::{plan, with_targets, write_set};
use crate::shards::*;
use crate::storage::testing::counted_store;
use std::path::{Path, PathBuf};

/// Shards of the larger set; `SALTWORKS_TEST_SHARDS` sets another number, for measurements with `--nocapture`.
const N_SHARDS: u64 = 40;

/// A plan of `n_shards` shards of one row, from a corpus with one sequence more.
fn plan_of(n_shards: u64) -> Plan {
    let mut plan = plan();
    plan.sequences.n_total = n_shards + 1;
    (plan.sequences.start, plan.sequences.end) = (0, n_shards);
    (plan.layout.rows_per_shard, plan.layout.rows_per_row_group) = (1, 1);
    with_targets(plan)
}

/// Requests of each command on a set of `n_shards` shards.
fn requests_of(n_shards: u64) -> Vec<(&'static str, u64)> {
    let store = format!("s3://requests-{n_shards}");
    let requests = counted_store(&store);
    let dir = PathBuf::from(store).join("labels");
    let plan = write_set(&dir, &plan_of(n_shards));
    let shards: Vec<u32> = plan.shards().collect();
    type Work<'a> = (&'static str, &'a dyn Fn(&Path));
    let commands: [Work<'_>; 7] = [
        ("plan", &|dir| {
            LabelSet::create_or_match(dir, &plan, None).unwrap();
        }),
        ("resume", &|dir| {
            let states = check_all_finished(dir, &plan, &shards).unwrap();
            let is_done = |state: &ShardState| matches!(state, ShardState::Finished(_));
            assert!(states.iter().all(is_done));
        }),
        ("status", &|dir| {
            let status = LabelSet::open(dir).unwrap().status().unwrap();
            assert!(status.is_finalized);
        }),
        ("finalize", &|dir| drop(finalize(dir, false).unwrap())),
        ("open", &|dir| {
            let set = LabelSet::open(dir).unwrap();
            set.finished_manifest().unwrap();
        }),
        ("verify", &|dir| {
            let report = verify_files(dir, &VerifyOptions::default(), |_| ()).unwrap();
            assert!(report.is_clean(), "{report:?}");
        }),
        ("extend", &|dir| {
            let mut later = plan.clone();
            (later.sequences.start, later.sequences.end) = (n_shards, n_shards + 1);
            let opened = LabelSet::create_or_match(dir, &with_targets(later), None);
            assert_eq!(opened.unwrap().outcome, Outcome::Extended);
        }),
    ];
    let counted = commands.iter().map(|(name, work)| {
        let before = requests.n_requests();
        work(&dir);
        (*name, requests.n_requests() - before)
    });
    counted.collect()
}

#[test]
fn requests_grow_with_the_shards_only_where_each_has_to_be_read() {
    let n = std::env::var("SALTWORKS_TEST_SHARDS");
    let n: u64 = n.map_or(N_SHARDS, |n| n.parse().unwrap());
    let (half, whole) = (requests_of(n / 2), requests_of(n));
    for ((name, few), (_, many)) in half.into_iter().zip(whole) {
        let a_shard = (many - few) as f64 / (n - n / 2) as f64;
        println!("{name}: {many} requests of {n} shards, {a_shard} a shard");
        let most = match name {
            "plan" | "status" => 0.0,
            // Each sidecar once, many at a time.
            "resume" | "finalize" | "open" | "extend" => 1.0,
            _ => f64::INFINITY,
        };
        assert!(a_shard <= most, "{name}: {a_shard} a shard");
        if most <= 1.0 {
            let fixed = many as f64 - most * n as f64;
            assert!(fixed <= 24.0, "{name}: {fixed} beside those");
        }
    }
}
