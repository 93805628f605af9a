//! Plans: which are refused, and which may share a directory.

use crate::shards::testing::{plan, plan_with_samples, with_targets, write_set, write_shard};
use crate::shards::*;
use crate::signals::Rounding;
use proptest::prelude::*;
use std::path::Path;

fn ranged(start: u64, end: u64) -> Plan {
    let mut plan = plan();
    plan.sequences.start = start;
    plan.sequences.end = end;
    with_targets(plan)
}

#[test]
fn a_plan_comes_back_as_it_was_written() {
    let plan = with_targets(plan());
    let read = Plan::from_json(Path::new("plan.json"), &plan.to_json()).unwrap();
    assert_eq!(read, plan);
    assert_eq!(read.fingerprint(), plan.fingerprint());
    assert_eq!(read.differing_field(&plan), None);
}

#[test]
fn a_field_of_a_newer_minor_version_is_ignored() {
    let plan = with_targets(plan());
    let mut value: serde_json::Value = serde_json::from_slice(&plan.to_json()).unwrap();
    value["signals"]["colour"] = "blue".into();
    let read = Plan::from_json(Path::new("plan.json"), value.to_string().as_bytes()).unwrap();
    assert_eq!(read.fingerprint(), plan.fingerprint());
}

#[test]
fn a_later_format_and_an_unknown_feature_are_refused_before_anything_else() {
    let refused =
        |json: &str| Plan::from_json(Path::new("x/plan.json"), json.as_bytes()).unwrap_err();
    let error = refused(r#"{"format_version": 2, "required_features": [], "new": {}}"#);
    assert!(matches!(
        error,
        ShardsError::UnsupportedVersion { got: 2, .. }
    ));
    assert!(
        error.to_string().contains("use a newer saltworks"),
        "{error}"
    );
    let error = refused(r#"{"format_version": 1, "required_features": ["draughts"]}"#);
    assert!(error.to_string().contains("\"draughts\""), "{error}");
    let error = refused(r#"{"format_version": 1"#);
    assert!(matches!(error, ShardsError::Json { .. }));
}

type Edit<P> = (&'static str, fn(&mut P));
type Change = Edit<Plan>;

#[test]
fn every_kind_of_difference_is_named_and_who_made_the_plan_is_none() {
    let ours = with_targets(plan());
    let changes: [Change; 9] = [
        ("format_version", |p| p.format_version = 2),
        ("teacher.fingerprint", |p| p.teacher.fingerprint.push('0')),
        ("corpus.files[0].bytes", |p| p.corpus.files[0].bytes = 1),
        ("tokenizer", |p| p.tokenizer = None),
        ("sequences.sequence_bos", |p| {
            p.sequences.sequence_bos = Some(1)
        }),
        ("signals.temperatures", |p| p.signals.temperatures = vec![]),
        ("signals.rounding", |p| p.signals.rounding = Rounding::Bf16),
        ("signals.samples", |p| {
            p.signals.samples = plan_with_samples().signals.samples
        }),
        ("layout.order_seed", |p| p.layout.order_seed = None),
    ];
    for (field, change) in changes {
        let mut theirs = ours.clone();
        change(&mut theirs);
        assert_eq!(ours.differing_field(&theirs).unwrap().field, field);
        assert_ne!(ours.fingerprint(), theirs.fingerprint(), "{field}");
    }
    let mut theirs = ours.clone();
    theirs.created_by = "another".to_owned();
    assert_eq!(ours.differing_field(&theirs), None);
    assert_eq!(ours.fingerprint(), theirs.fingerprint());
}

#[test]
fn every_setting_of_the_draws_is_part_of_the_plan() {
    let ours = with_targets(plan_with_samples());
    let changes: [Edit<PlanSamples>; 3] = [
        ("signals.samples.n_draws", |s| s.n_draws += 1),
        ("signals.samples.tau", |s| s.tau = 0.7),
        ("signals.samples.seed", |s| s.seed = u64::MAX),
    ];
    for (field, change) in changes {
        let mut theirs = ours.clone();
        change(theirs.signals.samples.as_mut().unwrap());
        assert_eq!(ours.differing_field(&theirs).unwrap().field, field);
        assert_ne!(ours.fingerprint(), theirs.fingerprint(), "{field}");
        let read = Plan::from_json(Path::new("plan.json"), &theirs.to_json()).unwrap();
        assert_eq!(read, theirs);
    }
}

#[test]
fn draws_that_cannot_be_are_refused_by_field() {
    fn samples(plan: &mut Plan) -> &mut PlanSamples {
        plan.signals.samples.as_mut().unwrap()
    }
    let changes: [Edit<Plan>; 8] = [
        ("signals.samples", |p| p.signals.samples = None),
        ("signals.samples", |p| p.signals.groups.truncate(3)),
        ("required_features", |p| p.required_features.clear()),
        ("signals.groups", |p| p.signals.groups.swap(2, 3)),
        ("signals.samples.n_draws", |p| samples(p).n_draws = 0),
        ("signals.samples.tau", |p| samples(p).tau = 0.0),
        ("signals.samples.tau", |p| samples(p).tau = f64::NAN),
        // 2^31 values in a row group of one row.
        ("layout.rows_per_row_group", |p| {
            (p.teacher.vocab_size, p.sequences.seq_len) = (1 << 16, 1 << 16);
            (p.layout.rows_per_row_group, p.signals.top_k) = (1, 1);
            samples(p).n_draws = 1 << 15;
        }),
    ];
    for (expected, change) in changes {
        let mut plan = with_targets(plan_with_samples());
        plan.validate().unwrap();
        change(&mut plan);
        match plan.validate() {
            Err(ShardsError::InvalidPlan { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    let mut without = with_targets(plan());
    without.required_features = plan_with_samples().required_features;
    assert!(without.validate().is_err());
}

#[test]
fn plans_that_cannot_be_are_refused_by_field() {
    let changes: [Change; 14] = [
        ("teacher.vocab_size", |p| p.teacher.vocab_size = 0),
        ("sequences.seq_len", |p| p.sequences.seq_len = 0),
        ("sequences.end", |p| p.sequences.end = p.sequences.start),
        ("sequences.end", |p| p.sequences.end = 81),
        ("signals.groups", |p| p.signals.groups = vec![Group::Topk]),
        ("signals.groups", |p| p.signals.groups.push(Group::Stats)),
        ("signals.top_k", |p| p.signals.top_k = 24),
        ("signals.top_k", |p| p.signals.top_k = 0),
        ("signals.temperatures", |p| {
            p.signals.temperatures = vec![1.0]
        }),
        ("signals.temperatures", |p| {
            p.signals.temperatures = vec![2.0, 2.0]
        }),
        ("layout.rows_per_shard", |p| p.layout.rows_per_shard = 7),
        ("layout.rows_per_shard", |p| p.layout.rows_per_row_group = 0),
        ("layout.n_shards", |p| p.layout.n_shards = 4),
        ("layout.zstd_level", |p| p.layout.zstd_level = 0),
    ];
    for (expected, change) in changes {
        let mut plan = with_targets(plan());
        plan.validate().unwrap();
        change(&mut plan);
        match plan.validate() {
            Err(ShardsError::InvalidPlan { field, .. }) => assert_eq!(field, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn the_same_plan_resumes_and_another_is_refused_by_field_and_values() {
    let dir = tempfile::tempdir().unwrap();
    let ours = ranged(20, 70);
    let first = LabelSet::create_or_match(dir.path(), &ours, None).unwrap();
    assert_eq!((first.outcome, first.segment), (Outcome::Created, 0));
    let again = LabelSet::create_or_match(dir.path(), &ours, None).unwrap();
    assert_eq!(again.outcome, Outcome::Resumed);
    assert_eq!(again.set, LabelSet::open(dir.path()).unwrap());
    let mut other = ours;
    other.signals.top_k = 5;
    let error = LabelSet::create_or_match(dir.path(), &other, None).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("signals.top_k is 4 there and 5 here; label into another directory, or with the same settings"),
        "{message}"
    );
    let mut other = ranged(20, 70);
    other.sequences.n_targets += 1;
    let error = LabelSet::create_or_match(dir.path(), &other, None).unwrap_err();
    assert!(
        matches!(error, ShardsError::PlanMismatch { field, .. } if field == "sequences.n_targets")
    );
}

#[test]
fn a_finished_set_is_extended_by_another_range_and_not_before() {
    let dir = tempfile::tempdir().unwrap();
    let first = LabelSet::create_or_match(dir.path(), &ranged(20, 50), None).unwrap();
    write_shard(dir.path(), first.plan(), 0).unwrap();
    let error = LabelSet::create_or_match(dir.path(), &ranged(50, 70), None).unwrap_err();
    assert!(
        matches!(error, ShardsError::UnfinishedSegment { shard: 1, .. }),
        "{error}"
    );
    write_shard(dir.path(), first.plan(), 1).unwrap();
    finalize(dir.path(), false).unwrap();

    for (start, end) in [(49, 70), (0, 21), (30, 40), (0, 80)] {
        let error = LabelSet::create_or_match(dir.path(), &ranged(start, end), None).unwrap_err();
        assert!(matches!(error, ShardsError::RangeOverlap { .. }), "{error}");
    }
    for (segment, (start, end)) in [(50, 70), (0, 20)].into_iter().enumerate() {
        let more = LabelSet::create_or_match(dir.path(), &ranged(start, end), None).unwrap();
        assert_eq!(
            (more.outcome, more.segment),
            (Outcome::Extended, segment + 1)
        );
        let plan = more.plan().clone();
        let resumed = LabelSet::create_or_match(dir.path(), &ranged(start, end), None).unwrap();
        assert_eq!((resumed.outcome, resumed.plan()), (Outcome::Resumed, &plan));
        for shard in plan.shards() {
            write_shard(dir.path(), &plan, shard).unwrap();
        }
        let manifest = finalize(dir.path(), false).unwrap();
        assert_eq!(manifest.segments.len(), segment + 2);
    }
    let set = LabelSet::open(dir.path()).unwrap();
    assert_eq!(set.n_shards(), 4);
    assert_eq!(set.segment_of_sequence(5).unwrap().layout.first_shard, 3);
    assert_eq!(set.segment_of_shard(2).unwrap().sequences.start, 50);
    let report = verify_files(dir.path(), &VerifyOptions::default(), |_| {}).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.n_rows, 70);
}

#[test]
fn a_directory_without_a_plan_is_refused_with_its_contents() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |dir: &Path| {
        let error = LabelSet::open(dir).unwrap_err();
        assert!(matches!(error, ShardsError::NoPlan { .. }));
        error.to_string()
    };
    assert!(refused(&dir.path().join("nowhere")).contains("nowhere does not exist: give"));
    assert!(refused(dir.path()).contains(" is empty: give"));
    for name in ["tokens.idx", "tokens.bin", "corpus.json", ".lock", "vocab"] {
        std::fs::write(dir.path().join(name), "").unwrap();
    }
    let message = refused(dir.path());
    let named = "contains corpus.json, tokens.bin, tokens.idx, 1 more, but no plan.json: give";
    assert!(message.contains(named), "{message}");
}

#[test]
fn of_many_tasks_that_plan_at_once_one_creates_and_all_agree() {
    let dir = tempfile::tempdir().unwrap();
    let plan = ranged(20, 70);
    let outcomes: Vec<Opened> = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| LabelSet::create_or_match(dir.path(), &plan, None).unwrap()))
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).collect()
    });
    let n_created = outcomes
        .iter()
        .filter(|o| o.outcome == Outcome::Created)
        .count();
    assert_eq!(n_created, 1);
    assert!(outcomes.iter().all(|o| o.set == outcomes[0].set));
}

#[test]
fn a_broken_second_segment_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plan = write_set(dir.path(), &ranged(20, 50));
    let mut second = ranged(50, 70);
    second.layout.first_shard = plan.n_shards() + 1;
    std::fs::write(dir.path().join("plan-00001.json"), second.to_json()).unwrap();
    let error = LabelSet::open(dir.path()).unwrap_err();
    assert!(
        matches!(error, ShardsError::BrokenSegment { .. }),
        "{error}"
    );
}

fn signals(groups: &[Group], top_k: u32, rounding: Rounding) -> PlanSignals {
    PlanSignals {
        groups: groups.to_vec(),
        top_k,
        temperatures: vec![],
        rounding,
        mask_vocab_padding: false,
        impossible_targets: false,
        score_k: SCORE_K,
        samples: None,
    }
}

#[test]
fn the_default_layout_aims_at_its_sizes() {
    let all = [Group::Scores, Group::Stats, Group::Topk];
    for (mean_targets, top_k) in [(256.0, 32), (512.0, 64), (2048.0, 64), (13.0, 8)] {
        let signals = signals(&all, top_k, Rounding::F16);
        let layout = Layout::choose(mean_targets, &signals, DEFAULT_SHARD_BYTES);
        let raw = mean_targets * (18.0 + 4.0 + 8.0 * f64::from(top_k));
        let group_mib = raw * layout.rows_per_row_group as f64 / f64::from(1 << 20);
        assert!((8.0..=32.0).contains(&group_mib), "{group_mib} MiB");
        let encoded = mean_targets * encoded_bytes_per_target(&signals);
        let shard_mib = encoded * layout.rows_per_shard as f64 / f64::from(1 << 20);
        assert!((64.0..=256.0).contains(&shard_mib), "{shard_mib} MiB");
        assert_eq!(layout.rows_per_shard % layout.rows_per_row_group, 0);
    }
}

#[test]
fn a_layout_makes_room_for_draws() {
    let all = [Group::Scores, Group::Stats, Group::Topk];
    let without = signals(&all, 64, Rounding::F16);
    let with = |n_draws| PlanSignals {
        samples: Some(PlanSamples {
            n_draws,
            tau: 1.0,
            seed: 0,
        }),
        ..without.clone()
    };
    let bytes =
        |n_draws| encoded_bytes_per_target(&with(n_draws)) - encoded_bytes_per_target(&without);
    // One draw is one id; with more draws some ids repeat.
    assert!((2.0..4.0).contains(&bytes(1)), "{}", bytes(1));
    assert!((25.0..45.0).contains(&bytes(50)), "{}", bytes(50));
    assert!(bytes(u16::MAX) < 200.0 * bytes(50));
    let rows = |signals: &PlanSignals| Layout::choose(512.0, signals, DEFAULT_SHARD_BYTES);
    assert!(rows(&with(50)).rows_per_row_group < rows(&without).rows_per_row_group);
    assert!(rows(&with(50)).rows_per_shard < rows(&without).rows_per_shard);
}

proptest! {
    #[test]
    fn every_shard_size_gives_a_layout(
        mean_targets: f64,
        top_k in 0u32..60_000,
        n_draws in proptest::option::of(1u16..),
        shard_bytes: u64,
    ) {
        let mut signals = signals(&[Group::Scores, Group::Topk], top_k, Rounding::F32);
        signals.samples = n_draws.map(|n_draws| PlanSamples { n_draws, tau: 1.0, seed: 0 });
        let layout = Layout::choose(mean_targets, &signals, shard_bytes);
        prop_assert!(layout.rows_per_row_group >= 1);
        prop_assert!(layout.rows_per_shard >= layout.rows_per_row_group);
    }
}
