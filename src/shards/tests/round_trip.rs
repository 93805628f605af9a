//! What goes in comes out.

use crate::shards::testing::{add_samples, plan, shard_rows, with_targets, write_set, write_shard};
use crate::shards::*;
use crate::signals::Rounding;
use crate::tokens::Packing;
use proptest::prelude::*;

fn plans() -> impl Strategy<Value = Plan> {
    let groups = prop_oneof![
        Just(vec![Group::Scores]),
        Just(vec![Group::Scores, Group::Stats]),
        Just(vec![Group::Scores, Group::Topk]),
        Just(vec![Group::Scores, Group::Stats, Group::Topk]),
    ];
    let rounding = prop::sample::select(&Rounding::ALL[..]);
    let layout = (1u64..=30, 1u64..=30, any::<Option<u64>>());
    let n_draws = proptest::option::of(prop_oneof![1u16..=60, Just(u16::MAX)]);
    let shape = (1u32..=23, 1u32..=9, any::<bool>());
    (groups, n_draws, rounding, layout, shape).prop_map(
        |(groups, n_draws, rounding, layout, (top_k, seq_len, concat))| {
            let mut plan = plan();
            let has_topk = groups.contains(&Group::Topk);
            plan.signals.groups = groups;
            plan.signals.rounding = rounding;
            plan.signals.top_k = if has_topk { top_k } else { 0 };
            if !has_topk {
                plan.signals.temperatures = vec![];
            }
            plan.sequences.seq_len = seq_len;
            if concat {
                plan.sequences.packing = Packing::Concat;
                plan.sequences.attention = Attention::Full;
                plan.sequences.positions = Positions::Continuous;
                plan.sequences.n_total = 70;
            }
            plan.layout.rows_per_shard = layout.0.max(layout.1);
            plan.layout.rows_per_row_group = layout.0.min(layout.1);
            plan.layout.order_seed = layout.2;
            if let Some(n_draws) = n_draws {
                plan = add_samples(plan);
                plan.signals.samples.as_mut().unwrap().n_draws = n_draws;
            }
            with_targets(plan)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rows_come_back_as_they_were_written(plan in plans()) {
        let dir = tempfile::tempdir().unwrap();
        let plan = write_set(dir.path(), &plan);
        for shard in plan.shards() {
            let written = shard_rows(&plan, shard);
            let reader = ShardReader::open(dir.path(), &plan, shard).unwrap();
            let read: Result<Vec<_>, _> = reader.collect();
            prop_assert_eq!(read.unwrap(), written.clone());
            let scores = ShardReader::open_scores_checked(dir.path(), &plan, shard).unwrap();
            for (got, row) in scores.flat_map(Result::unwrap).zip(written.iter().flatten()) {
                prop_assert_eq!(got.scores, row.scores);
                prop_assert_eq!(got.n_targets, row.n_targets);
                prop_assert!(got.input_ids.is_empty());
            }
        }
    }

    #[test]
    fn every_sequence_has_one_slot_and_every_slot_its_sequence(plan in plans()) {
        let mut seen = std::collections::BTreeSet::new();
        for shard in plan.shards() {
            let mut row = 0;
            for (row_group, ids) in plan.row_groups(shard).into_iter().enumerate() {
                prop_assert!(!ids.is_empty());
                for seq_id in ids {
                    let slot = Slot { shard, row_group: row_group as u32, row };
                    prop_assert_eq!(plan.slot_of(seq_id), Some(slot));
                    prop_assert!(seen.insert(seq_id));
                    row += 1;
                }
            }
            prop_assert_eq!(u64::from(row), plan.n_rows(shard));
            prop_assert!(plan.shard_seq_ids(shard).eq(plan.row_groups(shard).concat()));
        }
        prop_assert!(seen.into_iter().eq(plan.sequences.start..plan.sequences.end));
        prop_assert_eq!(plan.slot_of(plan.sequences.end), None);
        prop_assert_eq!(plan.n_rows(plan.shards().end), 0);
    }
}

#[test]
fn only_the_lists_of_the_groups_that_are_wanted_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let plan = write_set(dir.path(), &with_targets(add_samples(plan())));
    let all = shard_rows(&plan, 1).concat();
    let stats = [Group::Scores, Group::Stats];
    for groups in [&[][..], &stats, &[Group::Topk], &[Group::Samples]] {
        let reader = ShardReader::open_groups(dir.path(), &plan, 1, groups).unwrap();
        let read: Vec<Row> = reader.flat_map(Result::unwrap).collect();
        assert_eq!(read.len(), all.len());
        for (got, row) in read.iter().zip(&all) {
            let mut expected = row.clone();
            let signals = std::mem::take(&mut expected.signals);
            if groups.contains(&Group::Stats) {
                expected.signals.target_logprob_t = signals.target_logprob_t;
                expected.signals.target_rank_t = signals.target_rank_t;
                expected.signals.entropy_t = signals.entropy_t;
                expected.signals.logsumexp_t = signals.logsumexp_t;
            }
            if groups.contains(&Group::Topk) {
                expected.signals.topk_ids_tk = signals.topk_ids_tk;
                expected.signals.topk_logprobs_tk = signals.topk_logprobs_tk;
                expected.signals.tail_mass_t = signals.tail_mass_t;
                expected.signals.log_partition_xt = signals.log_partition_xt;
            }
            if groups.contains(&Group::Samples) {
                expected.signals.sampled_ids = signals.sampled_ids;
                expected.signals.sampled_counts = signals.sampled_counts;
                expected.signals.sample_offsets = signals.sample_offsets;
            }
            assert_eq!(*got, expected);
        }
    }
}

#[test]
fn the_same_rows_make_the_same_bytes() {
    let plan = with_targets(plan());
    let sidecars: Vec<Sidecar> = (0..2)
        .map(|_| {
            let dir = tempfile::tempdir().unwrap();
            write_shard(dir.path(), &plan, 1).unwrap()
        })
        .collect();
    assert_eq!(sidecars[0], sidecars[1]);
}

#[test]
fn a_set_of_scores_alone_has_no_positions_directory() {
    let mut plan = plan();
    plan.signals.groups = vec![Group::Scores];
    plan.signals.top_k = 0;
    plan.signals.temperatures = vec![];
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan));
    assert!(dir.path().join("scores/part-00000.parquet").exists());
    assert!(!dir.path().join("positions").exists());
}
