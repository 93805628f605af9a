//! Labels of the same sequences by several teachers.

use super::super::*;
use super::support::*;
use crate::shards::testing::{row, with_targets, write_rows, write_set};
use crate::shards::{Group, Plan};
use crate::signals::{PositionSignals, Rounding};
use crate::train::example::Example;
use crate::train::loss::{Joining, Teachers};
use std::path::Path;

/// Opens labels of the fixture's sequences by another plan.
fn another(fixture: &Fixture, name: &str, change: impl FnOnce(&mut Plan)) -> (LabelSource, Plan) {
    let mut plan = fixture.plan.clone();
    change(&mut plan);
    let plan = write_set(&fixture.path(name), &with_targets(plan));
    (open(&fixture.path(name)), plan)
}

fn open(dir: &Path) -> LabelSource {
    let options = LabelSourceOptions {
        dir: dir.to_path_buf(),
        selection: None,
        seed: 99,
        shuffle_row_groups: 1,
    };
    LabelSource::open(&options).unwrap()
}

/// Fewer ids, and other sizes of shards and row groups.
fn smaller(plan: &mut Plan) {
    plan.signals.top_k = 2;
    plan.signals.rounding = Rounding::M5;
    plan.signals.temperatures.clear();
    (plan.layout.rows_per_shard, plan.layout.rows_per_row_group) = (15, 5);
}

fn equally(how: Teachers) -> Joining {
    Joining::new(how, &[1.0, 1.0])
}

fn all_of(labels: &LabelSource) -> Vec<Example> {
    labels.examples().collect::<Result<_, _>>().unwrap()
}

#[test]
fn rows_of_another_layout_are_joined_by_their_number_in_the_order_of_the_first() {
    let fixture = Fixture::new();
    let (other, plan) = another(&fixture, "other", smaller);
    let alone = all_of(&fixture.labels());
    let joined = fixture.labels().joined(vec![other], equally(Teachers::Mix));
    let joined = joined.unwrap();
    assert_eq!(joined.teachers().count(), 2);
    let both = all_of(&joined);
    assert_eq!(ids(&both), ids(&alone));
    for (both, alone) in both.iter().zip(&alone) {
        assert_eq!(both.input_ids, alone.input_ids);
        assert_eq!(both.others, [row(&plan, both.seq_id).signals]);
        let (ours, first) = (
            both.signals.as_ref().unwrap(),
            alone.signals.as_ref().unwrap(),
        );
        assert_eq!(ours.topk_ids_tk, first.topk_ids_tk);
        // Both teachers give the target the same probability, and so does their mixture, up to rounding.
        let pairs = ours.target_logprob_t.iter().zip(&first.target_logprob_t);
        pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} {b}"));
        assert!(both.chosen_t.is_empty());
    }
}

#[test]
fn a_run_that_resumes_reads_the_same_of_every_teacher() {
    let fixture = Fixture::new();
    let (other, _) = another(&fixture, "other", smaller);
    let joined = fixture
        .labels()
        .joined(vec![other], equally(Teachers::LowerNll));
    let joined = joined.unwrap();
    let read = |position, n_steps| {
        let mut loader = loader(&joined, stages(24, 0, 5), position);
        let steps = (0..n_steps).flat_map(|_| loader.next_labelled().unwrap());
        steps.collect::<Vec<Example>>()
    };
    let whole = read(0, 24);
    assert_eq!(whole[35..], read(35, 17));
    // Of equal ones, the first is chosen.
    assert!(
        whole
            .iter()
            .all(|example| example.chosen_t == vec![0; example.n_targets()])
    );
}

#[test]
fn only_the_groups_that_are_read_are_there_of_every_teacher() {
    let fixture = Fixture::new();
    let (other, _) = another(&fixture, "other", |plan| {
        plan.signals.groups = vec![Group::Scores, Group::Topk];
    });
    let joined = fixture
        .labels()
        .joined(vec![other], equally(Teachers::Mix))
        .unwrap();
    let of_stats = all_of(&joined.clone().reading(&[Group::Scores, Group::Stats]));
    assert_eq!(
        of_stats[0].others,
        [PositionSignals {
            log_partition_xt: of_stats[0].others[0].log_partition_xt.clone(),
            ..PositionSignals::default()
        }]
    );
    let signals = of_stats[0].signals.as_ref().unwrap();
    assert!(signals.topk_ids_tk.is_empty());
    assert!(
        signals.target_logprob_t.is_empty(),
        "one of them has no stats"
    );
    let of_topk = all_of(&joined.reading(&[Group::Topk]));
    assert!(!of_topk[0].others[0].topk_ids_tk.is_empty());
}

#[test]
fn labels_of_other_sequences_are_refused_by_what_differs() {
    let refused = |change: fn(&mut Plan), words: &[&str]| {
        let fixture = Fixture::new();
        let (other, _) = another(&fixture, "other", change);
        let joined = fixture.labels().joined(vec![other], equally(Teachers::Mix));
        assert_says(joined, words);
    };
    refused(
        |plan| plan.corpus.fingerprint = format!("blake3:{}", "9".repeat(64)),
        &[
            "other cannot be joined with",
            "labels: corpus of the sequences is",
            "blake3:999",
        ],
    );
    refused(
        |plan| plan.sequences.seq_len = 5,
        &["seq_len of the sequences is 5, expected 6"],
    );
    refused(
        |plan| plan.layout.order_seed = None,
        &["the order seed is none, expected 7", "--order-seed"],
    );
    refused(
        |plan| plan.sequences.start = 21,
        &["what is labelled is 21..70, expected 20..70", "--sequences"],
    );
    refused(
        |plan| {
            plan.teacher.vocab_size = 22;
            plan.tokenizer = None;
        },
        &["the vocabulary is 22, expected 23"],
    );
    refused(
        |plan| plan.tokenizer.as_mut().unwrap().fingerprint = format!("blake3:{}", "8".repeat(64)),
        &["the tokenizer is", "blake3:888"],
    );
}

#[test]
fn the_same_labels_twice_are_refused_wherever_they_are() {
    let fixture = Fixture::new();
    let (copy, _) = another(&fixture, "copy", |_| {});
    let joined = fixture.labels().joined(vec![copy], equally(Teachers::Mix));
    assert_says(
        joined,
        &["the same labels twice", "copy", "kd.teacher_weights"],
    );
    let (other, _) = another(&fixture, "other", smaller);
    let twice = vec![other.clone(), other];
    let joining = Joining::new(Teachers::Mix, &[1.0; 3]);
    assert_says(
        fixture.labels().joined(twice, joining),
        &["the same labels twice"],
    );
}

#[test]
fn rows_of_another_text_are_found_as_they_are_read() {
    let fixture = Fixture::new();
    let mut plan = fixture.plan.clone();
    smaller(&mut plan);
    let plan = with_targets(plan);
    write_rows(&fixture.path("other"), &plan, |seq_id| {
        let mut row = row(&plan, seq_id);
        if seq_id == 33 {
            row.input_ids[0] = (row.input_ids[0] + 1) % V;
        }
        row
    });
    let other = open(&fixture.path("other"));
    let joined = fixture
        .labels()
        .joined(vec![other], equally(Teachers::Mix))
        .unwrap();
    let refused = joined.examples().find_map(Result::err).unwrap();
    let message = refused.to_string();
    assert!(
        message.contains("the text of sequence 33 is ["),
        "{message}"
    );
}
