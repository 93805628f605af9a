//! Selections compared with the most obvious way of making them.

use super::rows::Source;
use super::run::Job;
use super::*;
use crate::error::Classified;
use crate::shards::testing::{add_selection, plan, with_targets, write_set, write_set_selected};
use crate::shards::{
    LABELS_FINGERPRINT_KEY, LabelSet, POLICY_KEY, Provenance, ScoreId, Selection, ShardReader,
    labels_fingerprint,
};
use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

struct Fixture {
    dir: tempfile::TempDir,
    labels: LabelSet,
}

/// One sequence in a selection's file.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Line {
    seq_id: u64,
    score: Option<f64>,
    rank: Option<u64>,
    kept: bool,
}

impl Fixture {
    /// 50 sequences, some of which have no SALT score.
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut crate::shards::Plan)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut plan = plan();
        change(&mut plan);
        write_set(&dir.path().join("labels"), &with_targets(plan));
        let labels = LabelSet::open(&dir.path().join("labels")).unwrap();
        Fixture { dir, labels }
    }

    fn output(&self) -> PathBuf {
        self.dir.path().join("selection.parquet")
    }

    fn select(&self, policy: &Policy) -> Result<Summary, SelectError> {
        select(&self.labels, None, policy, &self.output(), |_| {})
    }

    /// With runs so short that everything is spilled.
    fn select_spilling(&self, policy: &Policy) -> Result<Summary, SelectError> {
        let job = Job {
            source: Source {
                labels: &self.labels,
                minus: None,
                score: policy.score,
            },
            policy,
            output: &self.output(),
            run_rows: 7,
        };
        job.run(&mut |_| {})
    }
}

fn policy(order: Order, amount: Amount) -> Policy {
    Policy {
        order,
        score: ScoreId::Salt,
        amount,
        min_learnable: None,
    }
}

fn read(path: &Path) -> Vec<Line> {
    let file = File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut lines = Vec::new();
    for batch in builder.build().unwrap() {
        let batch = batch.unwrap();
        let seq_ids = batch["seq_id"].as_primitive::<UInt64Type>();
        let scores = batch["score"].as_primitive::<Float64Type>();
        let ranks = batch["rank"].as_primitive::<UInt64Type>();
        let kept = batch["kept"].as_boolean();
        lines.extend((0..batch.num_rows()).map(|i| Line {
            seq_id: seq_ids.value(i),
            score: scores.is_valid(i).then(|| scores.value(i)),
            rank: ranks.is_valid(i).then(|| ranks.value(i)),
            kept: kept.value(i),
        }));
    }
    lines
}

fn metadata(path: &Path) -> BTreeMap<String, String> {
    let file = File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let entries = builder.metadata().file_metadata().key_value_metadata();
    let entries = entries.unwrap().iter();
    entries
        .map(|entry| (entry.key.clone(), entry.value.clone().unwrap()))
        .collect()
}

/// seq_id, score, learnable fraction and targets of all rows, read as whole rows.
fn scores(set: &LabelSet, score: ScoreId) -> Vec<(u64, Option<f64>, f64, u64)> {
    let mut all = Vec::new();
    for plan in &set.segments {
        for shard in plan.shards() {
            let reader = ShardReader::open(&set.dir, plan, shard).unwrap();
            all.extend(reader.flat_map(Result::unwrap).map(|row| {
                let value = match score {
                    ScoreId::Salt => row.scores.salt,
                    ScoreId::MeanNll => Some(row.scores.mean_nll),
                    other => unreachable!("{other:?} is not used here"),
                };
                let learnable = row.scores.learnable_fraction;
                (row.seq_id, value, learnable, u64::from(row.n_targets))
            }));
        }
    }
    all.sort_by_key(|row| row.0);
    all
}

/// The same in the most obvious way: everything in memory, sorted according to the order.
fn reference(rows: &[(u64, Option<f64>, f64, u64)], policy: &Policy) -> Vec<Line> {
    let floor = policy.min_learnable.unwrap_or(0.0);
    let mut wanted: Vec<(u64, f64, u64)> = rows
        .iter()
        .filter(|row| row.2 >= floor)
        .filter_map(|row| Some((row.0, row.1?, row.3)))
        .collect();
    wanted.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
    let place: BTreeMap<u64, usize> = wanted.iter().enumerate().map(|(i, w)| (w.0, i)).collect();
    let n = wanted.len() as f64;
    let wish = |&(seq_id, score, _): &(u64, f64, u64)| match policy.order {
        Order::Top => score,
        Order::Bottom => -score,
        Order::Middle => -(place[&seq_id] as f64 - (n - 1.0) / 2.0).abs(),
        Order::Random { seed } => crate::signals::uniform_at(seed, seq_id),
        Order::Weighted { temperature, seed } => {
            score / temperature - (-crate::signals::uniform_at(seed, seq_id).ln()).ln()
        }
    };
    // Stable, so that ties of `middle` stay in order of score, and others in order of seq_id.
    if !matches!(policy.order, Order::Middle) {
        wanted.sort_by_key(|w| w.0);
    }
    wanted.sort_by(|a, b| wish(b).total_cmp(&wish(a)));
    let (mut n_kept, mut n_tokens) = (0u64, 0u64);
    for (i, w) in wanted.iter().enumerate() {
        let fits = match policy.amount {
            Amount::Fraction(share) => (i as f64) < (share * rows.len() as f64).round().max(1.0),
            Amount::Rows(n) => (i as u64) < n,
            Amount::Tokens(n) => n_tokens + w.2 <= n,
        };
        if !fits {
            break;
        }
        n_kept += 1;
        n_tokens += w.2;
    }
    let rank: BTreeMap<u64, u64> = (0..).zip(&wanted).map(|(rank, w)| (w.0, rank)).collect();
    rows.iter()
        .map(|row| Line {
            seq_id: row.0,
            score: row.1,
            rank: rank.get(&row.0).copied(),
            kept: rank.get(&row.0).is_some_and(|&rank| rank < n_kept),
        })
        .collect()
}

fn orders() -> impl Strategy<Value = Order> {
    prop_oneof![
        Just(Order::Top),
        Just(Order::Bottom),
        Just(Order::Middle),
        any::<u64>().prop_map(|seed| Order::Random { seed }),
        (0.01..10.0f64, any::<u64>())
            .prop_map(|(temperature, seed)| Order::Weighted { temperature, seed }),
    ]
}

fn amounts() -> impl Strategy<Value = Amount> {
    prop_oneof![
        (0.01..=1.0f64).prop_map(Amount::Fraction),
        (1..60u64).prop_map(Amount::Rows),
        (6..200u64).prop_map(Amount::Tokens),
    ]
}

#[test]
fn every_selection_is_that_of_the_slow_reference() {
    let fixture = Fixture::new();
    let salt = scores(&fixture.labels, ScoreId::Salt);
    let nll = scores(&fixture.labels, ScoreId::MeanNll);
    assert!(salt.iter().any(|row| row.1.is_none()), "some have no score");
    let cases = (
        orders(),
        amounts(),
        prop::option::of(0.0..0.9f64),
        any::<bool>(),
    );
    proptest!(|((order, amount, min_learnable, by_nll) in cases)| {
        let (score, rows) = match by_nll {
            true => (ScoreId::MeanNll, &nll),
            false => (ScoreId::Salt, &salt),
        };
        let policy = Policy { order, score, amount, min_learnable };
        let expected = reference(rows, &policy);
        let n_kept = expected.iter().filter(|line| line.kept).count() as u64;
        match fixture.select_spilling(&policy) {
            Err(SelectError::KeepsNothing { .. }) => prop_assert_eq!(n_kept, 0),
            summary => {
                let summary = summary.unwrap();
                prop_assert_eq!(read(&fixture.output()), expected);
                prop_assert_eq!(summary.n_kept, n_kept);
            }
        }
    });
}

#[test]
fn a_selection_is_the_same_bytes_however_it_was_sorted_and_stored() {
    let fixture = Fixture::new();
    let other = Fixture::with(|plan| plan.layout.order_seed = None);
    for order in [Order::Top, Order::Middle, Order::Random { seed: 3 }] {
        let policy = policy(order, Amount::Fraction(0.4));
        fixture.select(&policy).unwrap();
        let in_memory = std::fs::read(fixture.output()).unwrap();
        fixture.select_spilling(&policy).unwrap();
        assert!(in_memory == std::fs::read(fixture.output()).unwrap());
        // Rows in another order are another label set, but give the same selection.
        other.select(&policy).unwrap();
        assert_eq!(read(&other.output()), read(&fixture.output()));
    }
}

#[test]
fn equal_scores_are_kept_by_rising_sequence() {
    // The made-up rows all have the same masked score.
    let fixture = Fixture::new();
    for order in [Order::Top, Order::Bottom] {
        let policy = Policy {
            score: ScoreId::SaltMasked,
            ..policy(order, Amount::Rows(4))
        };
        fixture.select(&policy).unwrap();
        let kept = read(&fixture.output()).into_iter().filter(|line| line.kept);
        let kept: Vec<u64> = kept.map(|line| line.seq_id).collect();
        assert_eq!(kept, [20, 21, 22, 23]);
    }
}

#[test]
fn the_summary_counts_what_the_file_holds() {
    let fixture = Fixture::new();
    let policy = Policy {
        min_learnable: Some(0.2),
        ..policy(Order::Top, Amount::Tokens(60))
    };
    let summary = fixture.select(&policy).unwrap();
    let lines = read(&fixture.output());
    let rows = scores(&fixture.labels, ScoreId::Salt);
    let n_null = rows.iter().filter(|row| row.1.is_none()).count() as u64;
    let is_below = |row: &&(u64, Option<f64>, f64, u64)| row.1.is_some() && row.2 < 0.2;
    let n_below = rows.iter().filter(is_below).count() as u64;
    let n_ranked = lines.iter().filter(|line| line.rank.is_some()).count() as u64;
    assert_eq!((summary.n_rows, summary.n_null), (50, n_null));
    assert_eq!(
        (summary.n_below_floor, summary.n_eligible),
        (n_below, n_ranked)
    );
    assert_eq!(n_null + n_below + n_ranked, 50);
    let tokens_of = |kept: bool| -> u64 {
        let pairs = lines.iter().zip(&rows);
        pairs
            .filter(|(l, _)| l.kept == kept)
            .map(|(_, r)| r.3)
            .sum()
    };
    assert_eq!(summary.n_tokens_kept, tokens_of(true));
    assert_eq!(summary.n_tokens, tokens_of(true) + tokens_of(false));
    assert!(summary.n_tokens_kept <= 60 && summary.n_tokens_kept > 60 - 6);
    let (kept, dropped) = (
        summary.scores.kept().unwrap(),
        summary.scores.dropped().unwrap(),
    );
    assert_eq!(kept.n, summary.n_kept);
    assert_eq!(kept.n + dropped.n + n_null, 50);
    assert!(kept.min >= dropped.p50, "the highest are kept");
}

#[test]
fn examples_are_the_ends_and_the_middle() {
    let fixture = Fixture::new();
    let policy = policy(Order::Top, Amount::Fraction(0.5));
    let examples = fixture.select(&policy).unwrap().examples;
    let hardest: Vec<Option<u64>> = examples.hardest_kept.iter().map(|e| e.rank).collect();
    assert_eq!(hardest, [Some(0), Some(1), Some(2)]);
    assert!(examples.hardest_kept.iter().all(|e| e.kept));
    assert!(
        examples
            .unlearnable
            .iter()
            .all(|e| e.learnable_fraction == 0.0)
    );
    assert!(
        examples
            .unlearnable
            .iter()
            .all(|e| e.score.is_none() && !e.kept)
    );
    let lines = read(&fixture.output());
    let mut ranked: Vec<f64> = lines.iter().filter_map(|line| line.score).collect();
    ranked.sort_by(f64::total_cmp);
    let median = ranked[(ranked.len() - 1) / 2];
    let width = (ranked[ranked.len() - 1] - ranked[0]) / 4096.0;
    let nearest = examples.median[0].score.unwrap();
    assert!(
        (nearest - median).abs() <= 2.0 * width,
        "{nearest} {median}"
    );
}

#[test]
fn a_difference_is_joined_by_sequence_whatever_the_order_of_rows() {
    let fixture = Fixture::new();
    // Another teacher with the same sequences in another order, without 20 to 29.
    let other = Fixture::with(|plan| {
        plan.teacher.fingerprint = format!("blake3:{}", "9".repeat(64));
        plan.layout.order_seed = Some(99);
        plan.sequences.start = 30;
    });
    let policy = Policy {
        score: ScoreId::MeanNll,
        ..policy(Order::Top, Amount::Rows(10))
    };
    let minus = Some(&other.labels);
    let summary = select(&fixture.labels, minus, &policy, &fixture.output(), |_| {}).unwrap();
    // The made-up scores depend only on the sequence, so all differences are 0.
    assert_eq!((summary.n_null, summary.n_eligible), (10, 40));
    for line in read(&fixture.output()) {
        let expected = (line.seq_id >= 30).then_some(0.0);
        assert_eq!(line.score, expected, "{}", line.seq_id);
        assert_eq!(line.kept, (30..40).contains(&line.seq_id));
    }
    let minus = metadata(&fixture.output())["saltworks.minus_fingerprint"].clone();
    assert_eq!(minus, labels_fingerprint(&other.labels));
}

#[test]
fn a_difference_of_other_sequences_is_refused_by_what_differs() {
    let fixture = Fixture::new();
    let other = Fixture::with(|plan| plan.sequences.n_total = 81);
    let policy = policy(Order::Top, Amount::Rows(10));
    let minus = Some(&other.labels);
    let error = select(&fixture.labels, minus, &policy, &fixture.output(), |_| {}).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("n_total is 80 in the first and 81"),
        "{message}"
    );
    assert!(!fixture.output().exists());
}

#[test]
fn unfinished_labels_are_refused() {
    let fixture = Fixture::new();
    std::fs::remove_file(fixture.labels.dir.join("manifest.json")).unwrap();
    let error = fixture
        .select(&policy(Order::Top, Amount::Rows(1)))
        .unwrap_err();
    assert!(error.to_string().contains("is not finalized"), "{error}");
}

#[test]
fn a_policy_that_keeps_nothing_says_why_and_leaves_the_earlier_selection() {
    let fixture = Fixture::new();
    fixture
        .select(&policy(Order::Top, Amount::Rows(3)))
        .unwrap();
    let before = std::fs::read(fixture.output()).unwrap();
    // A seed whose first sequence exceeds the budget.
    let rows = scores(&fixture.labels, ScoreId::Salt);
    let is_long = |seed: &u64| {
        let score = |row: &&(u64, Option<f64>, f64, u64)| crate::signals::uniform_at(*seed, row.0);
        let scored = rows.iter().filter(|row| row.1.is_some());
        let first = scored.max_by(|a, b| score(a).total_cmp(&score(b)));
        first.unwrap().3 > 1
    };
    let seed = (0..).find(is_long).unwrap();
    let nothing = policy(Order::Random { seed }, Amount::Tokens(1));
    let message = fixture.select(&nothing).unwrap_err().to_string();
    assert!(message.contains("keeps none of 50 sequences"), "{message}");
    assert!(before == std::fs::read(fixture.output()).unwrap());
}

#[test]
fn the_file_says_what_it_was_made_from_and_is_taken_by_readers() {
    let fixture = Fixture::new();
    let policy = policy(Order::Top, Amount::Rows(9));
    fixture.select(&policy).unwrap();
    let written = metadata(&fixture.output());
    assert_eq!(
        written[LABELS_FINGERPRINT_KEY],
        labels_fingerprint(&fixture.labels)
    );
    assert_eq!(
        serde_json::from_str::<Policy>(&written[POLICY_KEY]).unwrap(),
        policy
    );
    assert_eq!(
        (&*written["saltworks.n_kept"], &*written["saltworks.n_rows"]),
        ("9", "50")
    );
    let (selection, provenance) = Selection::read_for(&fixture.output(), &fixture.labels).unwrap();
    assert_eq!((selection.kept.len(), selection.listed.len()), (9, 50));
    assert_eq!(provenance, Provenance::TheseLabels);
}

#[test]
fn a_selection_by_scores_alone_holds_for_other_labels_of_the_same_sequences() {
    let scored = Fixture::with(|plan| {
        plan.signals.groups = vec![crate::shards::Group::Scores];
        plan.signals.top_k = 0;
        plan.signals.temperatures = vec![];
    });
    scored.select(&policy(Order::Top, Amount::Rows(9))).unwrap();
    let open = |fixture: &Fixture| Selection::read_for(&scored.output(), &fixture.labels);
    let (selection, provenance) = open(&Fixture::new()).unwrap();
    assert_eq!(
        (selection.kept.len(), provenance),
        (9, Provenance::SameSequences)
    );
    // It lists sequences that these labels lack, which only matters if it keeps one of them.
    let last_kept = selection.kept.iter().last().unwrap();
    let enough = Fixture::with(|plan| plan.sequences.end = last_kept + 1);
    assert_eq!(open(&enough).unwrap().0, selection);
    let short = Fixture::with(|plan| plan.sequences.end = last_kept);
    let message = open(&short).unwrap_err().to_string();
    assert!(
        message.contains(&format!("keeps seq_id {last_kept}, for which")),
        "{message}"
    );
    let others = Fixture::with(|plan| plan.sequences.n_total = 81);
    let message = open(&others).unwrap_err().to_string();
    assert!(
        message.contains("was made for the labels blake3:"),
        "{message}"
    );
}

/// Labels of the sequences kept by a selection of the fixture's scores, and that selection.
fn labels_of_selection(fixture: &Fixture) -> (PathBuf, PathBuf) {
    let policy = policy(Order::Top, Amount::Rows(23));
    fixture.select(&policy).unwrap();
    let plan = add_selection(plan(), &fixture.output());
    let dir = fixture.dir.path().join("selected");
    let selection = fixture.output();
    write_set_selected(&dir, &with_targets(plan), Some(&selection));
    (dir, selection)
}

fn rows_by_seq_id(set: &LabelSet) -> BTreeMap<u64, crate::shards::Row> {
    let mut rows = BTreeMap::new();
    for plan in &set.segments {
        for shard in plan.shards() {
            let reader = ShardReader::open(&set.dir, plan, shard).unwrap();
            for row in reader.flat_map(Result::unwrap) {
                assert!(rows.insert(row.seq_id, row).is_none());
            }
        }
    }
    rows
}

#[test]
fn labels_of_a_selection_hold_exactly_what_it_keeps() {
    let fixture = Fixture::new();
    let (dir, selection) = labels_of_selection(&fixture);
    let set = LabelSet::open(&dir).unwrap();
    let kept = Selection::read(&selection, 80).unwrap().kept;
    let mut expected = rows_by_seq_id(&fixture.labels);
    expected.retain(|&seq_id, _| kept.contains(seq_id));
    assert_eq!(expected.len(), 23);
    assert_eq!(rows_by_seq_id(&set), expected);
    let plan = &set.segments[0];
    for seq_id in 0..90 {
        assert_eq!(plan.slot_of(seq_id).is_some(), kept.contains(seq_id));
        let segment = set.segment_of_sequence(seq_id);
        assert_eq!(segment.is_some(), kept.contains(seq_id));
    }
    for shard in plan.shards() {
        for (row, seq_id) in (0..).zip(plan.shard_seq_ids(shard)) {
            let slot = plan.slot_of(seq_id).unwrap();
            assert_eq!((slot.shard, slot.row), (shard, row));
        }
    }
    let report = crate::shards::verify_files(&dir, &Default::default(), |_| {}).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(report.n_rows, 23);
}

#[test]
fn labels_of_a_selection_are_selected_from_again() {
    let fixture = Fixture::new();
    let (dir, _) = labels_of_selection(&fixture);
    let set = LabelSet::open(&dir).unwrap();
    let policy = policy(Order::Bottom, Amount::Rows(5));
    let again = fixture.dir.path().join("again.parquet");
    let summary = select(&set, None, &policy, &again, |_| {}).unwrap();
    assert_eq!((summary.n_rows, summary.n_kept), (23, 5));
    // The whole set has labels of these sequences too, and their numbers mean the same.
    let (_, provenance) = Selection::read_for(&again, &fixture.labels).unwrap();
    assert_eq!(provenance, Provenance::SameSequences);
}

#[test]
fn a_selection_other_than_the_plans_is_detected() {
    let fixture = Fixture::new();
    let (dir, _) = labels_of_selection(&fixture);
    fixture
        .select(&policy(Order::Bottom, Amount::Rows(23)))
        .unwrap();
    let copy = dir.join("selection.parquet");
    std::fs::copy(fixture.output(), &copy).unwrap();
    let message = LabelSet::open(&dir).unwrap_err().to_string();
    assert!(
        message.contains("but the plan next to it says 23"),
        "{message}"
    );
    let report = crate::shards::verify_files(&dir, &Default::default(), |_| {}).unwrap();
    assert_eq!(report.findings[0].file, "selection.parquet");
    std::fs::remove_file(&copy).unwrap();
    let message = LabelSet::open(&dir).unwrap_err().to_string();
    assert!(
        message.contains("selection.parquet: it is missing"),
        "{message}"
    );
}

#[test]
fn another_selection_is_another_plan() {
    let fixture = Fixture::new();
    let (dir, _) = labels_of_selection(&fixture);
    fixture
        .select(&policy(Order::Bottom, Amount::Rows(23)))
        .unwrap();
    let selection = fixture.output();
    let other = with_targets(add_selection(plan(), &selection));
    let refused = LabelSet::create_or_match(&dir, &other, Some(&selection));
    let message = refused.unwrap_err().to_string();
    assert!(
        message.contains("sequences.selection.fingerprint is"),
        "{message}"
    );
    let whole = LabelSet::create_or_match(&dir, &with_targets(plan()), None);
    let message = whole.unwrap_err().to_string();
    assert!(message.contains("sequences.selection is"), "{message}");
}

#[test]
fn labels_of_a_selection_are_extended_by_another_range_of_it() {
    let fixture = Fixture::new();
    fixture
        .select(&policy(Order::Top, Amount::Rows(23)))
        .unwrap();
    let selection = fixture.output();
    let dir = fixture.dir.path().join("selected");
    for range in [20..45, 45..70] {
        let mut plan = plan();
        (plan.sequences.start, plan.sequences.end) = (range.start, range.end);
        let plan = with_targets(add_selection(plan, &selection));
        write_set_selected(&dir, &plan, Some(&selection));
    }
    let set = LabelSet::open(&dir).unwrap();
    assert_eq!(set.segments.len(), 2);
    assert_eq!(rows_by_seq_id(&set).len(), 23);
}

#[test]
fn weighted_draws_go_by_the_scores_and_towards_top_as_it_cools() {
    let fixture = Fixture::new();
    let kept = |order| {
        fixture.select(&policy(order, Amount::Rows(10))).unwrap();
        let lines = read(&fixture.output()).into_iter();
        let kept = lines.filter(|line| line.kept).map(|line| line.seq_id);
        kept.collect::<Vec<u64>>()
    };
    let weighted = |temperature, seed| kept(Order::Weighted { temperature, seed });
    assert_eq!(weighted(1e-9, 5), kept(Order::Top));
    // Gumbel noise is a function of a uniform, so at infinite temperature the order is that of the uniforms.
    assert_eq!(weighted(1e12, 5), kept(Order::Random { seed: 5 }));
    assert_ne!(weighted(1.0, 5), weighted(1.0, 6));
}

#[test]
fn damaged_scores_are_refused_wherever_the_byte_is() {
    let fixture = Fixture::new();
    let policy = policy(Order::Top, Amount::Rows(9));
    let path = fixture.labels.dir.join("scores/part-00001.parquet");
    let whole = std::fs::read(&path).unwrap();
    for at in (0..whole.len()).step_by(29) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, bytes).unwrap();
        let error = fixture.select(&policy).unwrap_err();
        assert!(error.to_string().contains("blake3 is"), "{error}");
        assert_eq!(error.kind(), crate::error::Kind::BadData);
        assert!(!fixture.output().exists());
    }
    std::fs::write(&path, whole).unwrap();
    fixture.select(&policy).unwrap();
}

#[test]
fn a_flipped_byte_anywhere_in_a_selection_is_found_by_its_own_checksum() {
    let fixture = Fixture::new();
    fixture
        .select(&policy(Order::Top, Amount::Rows(9)))
        .unwrap();
    let whole = std::fs::read(fixture.output()).unwrap();
    Selection::read(&fixture.output(), 80).unwrap();
    for at in 0..whole.len() {
        for flip in [1, 1 << (at % 8), 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            std::fs::write(fixture.output(), bytes).unwrap();
            let read = Selection::read(&fixture.output(), 80);
            let around = whole[at.saturating_sub(20)..whole.len().min(at + 20)].escape_ascii();
            assert!(read.is_err(), "byte {at} ^ {flip}: {around}");
        }
    }
}

/// As written by versions before the checksum.
#[test]
fn a_selection_without_a_checksum_is_read() {
    let fixture = Fixture::new();
    fixture
        .select(&policy(Order::Top, Amount::Rows(9)))
        .unwrap();
    let expected = Selection::read(&fixture.output(), 80).unwrap();
    let file = File::open(fixture.output()).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let entries = builder.metadata().file_metadata().key_value_metadata();
    let entries = entries
        .unwrap()
        .iter()
        .filter(|entry| entry.key != "saltworks.blake3");
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_created_by("saltworks-selection version 1.0.0".to_owned())
        .set_key_value_metadata(Some(entries.cloned().collect()))
        .build();
    let schema = builder.schema().clone();
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    let old = fixture.dir.path().join("old.parquet");
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(File::create(&old).unwrap(), schema, Some(properties))
            .unwrap();
    batches
        .iter()
        .for_each(|batch| writer.write(batch).unwrap());
    writer.close().unwrap();
    assert_eq!(Selection::read(&old, 80).unwrap(), expected);
}

#[test]
fn an_output_that_cannot_be_written_is_refused_before_a_score_is_read() {
    let fixture = Fixture::new();
    let refused = |output: PathBuf| {
        let mut n_read = 0;
        let policy = policy(Order::Top, Amount::Rows(9));
        let error = select(&fixture.labels, None, &policy, &output, |_| n_read += 1).unwrap_err();
        assert_eq!(n_read, 0, "{error}");
        assert_eq!(error.kind(), crate::error::Kind::Usage, "{error}");
        error.to_string()
    };
    let message = refused(fixture.dir.path().join("x/"));
    assert!(message.contains("without a slash after it"), "{message}");
    let message = refused(fixture.dir.path().join("none/x.parquet"));
    assert!(
        message.contains("its directory does not exist"),
        "{message}"
    );
    let message = refused(fixture.dir.path().to_path_buf());
    assert!(message.contains("is not a selection"), "{message}");
}

#[test]
fn a_failed_read_is_not_reported_as_damaged_scores() {
    let fixture = Fixture::new();
    let policy = policy(Order::Top, Amount::Rows(9));
    for code in [libc::EIO, libc::EMFILE] {
        for n in (0..).step_by(7) {
            let (result, reached) =
                crate::storage::fail_nth_read(n, code, || fixture.select(&policy));
            if !reached {
                assert!(n > 10, "only {n} reads");
                break;
            }
            let error = result.unwrap_err();
            assert_eq!(
                error.kind(),
                crate::error::Kind::Failed,
                "read {n}: {error:?}"
            );
            assert!(error.to_string().contains("try again"), "{error}");
        }
        std::fs::remove_file(fixture.output()).unwrap();
    }
}
