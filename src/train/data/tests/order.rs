//! The order of sequences.

use super::super::*;
use super::support::*;
use crate::shards::testing::row;
use crate::train::example::Example;
use std::sync::Arc;

#[test]
fn every_labelled_sequence_comes_once_an_epoch_and_each_epoch_has_its_own_order() {
    let fixture = Fixture::new();
    let mut loader = loader(&fixture.labels(), stages(30, 0, 5), 0);
    let epochs: Vec<Vec<Vec<u64>>> = (0..3).map(|_| labelled_ids(&mut loader, 10)).collect();
    for epoch in &epochs {
        assert_eq!(sorted(epoch), (20..70).collect::<Vec<u64>>());
    }
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(epochs[1], epochs[2]);
    assert_eq!(loader.position().labelled, 150);
}

#[test]
fn a_step_may_reach_over_the_end_of_an_epoch() {
    let fixture = Fixture::new();
    let of_seven = labelled_ids(&mut loader(&fixture.labels(), stages(20, 0, 7), 0), 20);
    let of_one = labelled_ids(&mut loader(&fixture.labels(), stages(140, 0, 1), 0), 140);
    assert_eq!(of_seven.concat(), of_one.concat());
}

#[test]
fn the_same_steps_come_whatever_is_read_ahead() {
    let fixture = Fixture::new();
    let steps_of = |prefetch| {
        let (labels, tokens) = (fixture.labels(), fixture.tokens("tokens"));
        let start = LoaderPosition::default();
        let mut loader = Loader::new(
            Some(labels),
            Some(tokens),
            stages(20, 9, 4),
            prefetch,
            start,
        )
        .unwrap();
        let labelled: Vec<_> = (0..20).map(|_| loader.next_labelled().unwrap()).collect();
        let tokens: Vec<_> = (0..9).map(|_| loader.next_tokens().unwrap()).collect();
        (labelled, tokens)
    };
    let expected = steps_of(0);
    for prefetch in [1, 3, 64] {
        assert_eq!(steps_of(prefetch), expected);
    }
}

#[test]
fn seed_and_shuffled_row_groups_are_part_of_the_order() {
    let fixture = Fixture::new();
    let steps_of = |seed, shuffle_row_groups| {
        let options = LabelSourceOptions {
            seed,
            shuffle_row_groups,
            ..fixture.options()
        };
        let labels = LabelSource::open(&options).unwrap();
        labelled_ids(&mut loader(&labels, stages(10, 0, 5), 0), 10)
    };
    assert_ne!(steps_of(5, 3), steps_of(6, 3));
    assert_ne!(steps_of(5, 3), steps_of(5, 2));
}

#[test]
fn a_run_resumes_at_any_position_on_the_same_order() {
    let fixture = Fixture::new();
    let labels = fixture.labels();
    let whole = labelled_ids(&mut loader(&labels, stages(120, 0, 1), 0), 120);
    for position in 0..120 {
        let mut resumed = loader(&labels, stages(120, 0, 1), position);
        let left = labelled_ids(&mut resumed, (120 - position).min(12));
        let expected = &whole[position as usize..][..left.len()];
        assert_eq!(left, expected, "from {position} on");
    }
}

#[test]
fn token_sequences_resume_at_any_position_too() {
    let fixture = Fixture::new();
    let loader_at = |tokens| {
        let source = Some(fixture.tokens("tokens"));
        let position = LoaderPosition {
            labelled: 0,
            tokens,
        };
        Loader::new(None, source, stages(0, 150, 1), 3, position).unwrap()
    };
    let whole = token_ids(&mut loader_at(0), 150);
    for position in [1, 17, 96, 99, 100, 149] {
        let left = token_ids(&mut loader_at(position), 150 - position);
        assert_eq!(left, whole[position as usize..], "from {position} on");
    }
}

#[test]
fn examples_are_the_rows_of_the_labels_and_the_sequences_of_the_corpus() {
    let fixture = Fixture::new();
    let labels = fixture.labels();
    let mut labelled = loader(&labels, stages(10, 0, 5), 0);
    for _ in 0..10 {
        for example in labelled.next_labelled().unwrap() {
            let expected = row(&fixture.plan, example.seq_id);
            assert_eq!(example, Example::from(expected));
        }
    }
    let tokens = fixture.tokens("tokens");
    let view = tokens.view();
    let position = LoaderPosition::default();
    let mut plain = Loader::new(None, Some(tokens.clone()), stages(0, 9, 5), 2, position).unwrap();
    for _ in 0..9 {
        for example in plain.next_tokens().unwrap() {
            assert_eq!(example, view.read(example.seq_id).unwrap().into());
            assert_eq!(example.signals, None);
        }
    }
}

#[test]
fn every_group_of_signals_may_be_missing_but_its_lists_are_then_empty() {
    use crate::shards::Group::{Scores, Stats, Topk};
    for groups in [vec![Scores, Stats], vec![Scores, Topk]] {
        let fixture = Fixture::with(|plan| {
            plan.signals.groups = groups.clone();
            if !groups.contains(&Topk) {
                plan.signals.top_k = 0;
                plan.signals.temperatures.clear();
            }
        });
        let batch = loader(&fixture.labels(), stages(1, 0, 5), 0)
            .next_labelled()
            .unwrap();
        for signals in batch
            .iter()
            .map(|example| example.signals.as_ref().unwrap())
        {
            assert_eq!(signals.topk_ids_tk.is_empty(), !groups.contains(&Topk));
            assert_eq!(signals.target_rank_t.is_empty(), !groups.contains(&Stats));
        }
    }
}

#[test]
fn only_the_groups_that_are_read_come_and_the_order_is_the_same() {
    use crate::shards::Group::{Samples, Scores, Stats, Topk};
    let fixture = Fixture::with(|plan| *plan = crate::shards::testing::add_samples(plan.clone()));
    let labels = fixture.labels();
    assert_eq!(labels.groups(), [Scores, Stats, Topk, Samples]);
    let of = |labels: &LabelSource| {
        let mut loader = loader(labels, stages(6, 0, 5), 0);
        let steps = (0..6).flat_map(|_| loader.next_labelled().unwrap());
        steps.collect::<Vec<Example>>()
    };
    let whole = of(&labels);
    let read = of(&labels.reading(&[Stats, Samples]));
    assert_eq!(whole.len(), read.len());
    for (whole, read) in whole.iter().zip(&read) {
        assert_eq!(
            (read.seq_id, &read.input_ids),
            (whole.seq_id, &whole.input_ids)
        );
        let (whole, read) = (
            whole.signals.as_ref().unwrap(),
            read.signals.as_ref().unwrap(),
        );
        assert!(read.topk_ids_tk.is_empty() && read.tail_mass_t.is_empty());
        assert_eq!(read.target_logprob_t, whole.target_logprob_t);
        assert_eq!(read.sampled_ids, whole.sampled_ids);
        assert_eq!(read.sample_offsets, whole.sample_offsets);
    }
}

#[test]
fn a_loader_that_is_dropped_takes_its_threads_along() {
    let fixture = Fixture::new();
    let labels = fixture.labels();
    for prefetch in [0, 2, 100] {
        let position = LoaderPosition::default();
        let tokens = Some(fixture.tokens("tokens"));
        let mut loader = Loader::new(
            Some(labels.clone()),
            tokens,
            stages(20, 5, 4),
            prefetch,
            position,
        )
        .unwrap();
        loader.next_labelled().unwrap();
        loader.next_tokens().unwrap();
        loader.next_labelled().unwrap();
        drop(loader);
        // The threads held the only other handles.
        assert_eq!(Arc::strong_count(&labels.inner), 1);
    }
}

#[test]
fn the_labelled_stream_goes_on_where_it_was_after_tokens_were_asked_for() {
    let fixture = Fixture::new();
    let labels = fixture.labels();
    let expected = labelled_ids(&mut loader(&labels, stages(6, 0, 4), 0), 6);
    let position = LoaderPosition::default();
    let tokens = Some(fixture.tokens("tokens"));
    let mut loader = Loader::new(Some(labels), tokens, stages(6, 6, 4), 2, position).unwrap();
    for step in expected {
        assert_eq!(ids(&loader.next_labelled().unwrap()), step);
        loader.next_tokens().unwrap();
    }
}

#[test]
fn the_first_sequences_are_known_without_reading_any() {
    let fixture = Fixture::new();
    let labels = fixture.labels();
    let order = labelled_ids(&mut loader(&labels, stages(60, 0, 1), 0), 60);
    for kind in ["positions", "scores"] {
        std::fs::remove_dir_all(fixture.path("labels").join(kind)).unwrap();
    }
    for n in 0..=60 {
        let mut expected = sorted(&order[..n]);
        expected.dedup();
        assert_eq!(labels.first_seq_ids(n as u64), expected);
    }
}
