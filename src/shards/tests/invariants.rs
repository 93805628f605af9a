//! Every invariant of a row, broken one at a time: the writer refuses the row and names the
//! invariant.

use crate::shards::check::{Checker, Parts};
use crate::shards::testing::{plan, plan_with_samples, row, with_targets};
use crate::shards::{Attention, Plan, Positions, Row, RowFault};
use crate::signals::Rounding;
use crate::tokens::Packing;

/// A sequence of the plan with several targets, the first one among the kept ids.
fn sample(plan: &Plan) -> Row {
    let ids = plan.sequences.start..plan.sequences.end;
    ids.map(|i| row(plan, i))
        .find(|r| r.n_targets > 2 && r.signals.target_rank_t[0] == 1)
        .expect("one of the made-up rows is like that")
}

fn fault(plan: &Plan, row: &Row, seq_id: u64) -> Option<RowFault> {
    Checker::new(plan).check(row, seq_id, Parts::Both).err()
}

#[test]
fn made_up_rows_keep_every_invariant() {
    for rounding in Rounding::ALL {
        let mut plan = with_targets(plan_with_samples());
        plan.signals.rounding = rounding;
        for seq_id in 20..70 {
            assert_eq!(fault(&plan, &row(&plan, seq_id), seq_id), None);
        }
    }
}

#[test]
fn an_impossible_target_is_legal_where_the_plan_says_so_and_only_with_all_it_entails() {
    let mut plan = with_targets(plan());
    let strict = plan.clone();
    plan.signals.impossible_targets = true;
    let mut good = sample(&plan);
    // The last target that is not among the stored ids.
    let t = good
        .signals
        .target_rank_t
        .iter()
        .rposition(|&rank| rank >= 4);
    let t = t.expect("some target is not among the kept");
    good.signals.target_logprob_t[t] = f32::NEG_INFINITY;
    good.scores = crate::signals::Scores {
        salt: None,
        salt_masked: f64::INFINITY,
        mean_nll: f64::INFINITY,
        median_nll: f64::INFINITY,
        ..good.scores
    };
    let id = good.seq_id;
    assert_eq!(fault(&plan, &good, id), None);
    assert!(fault(&strict, &good, id).is_some());
    let breaks: &[Break] = &[
        ("score_salt", |r| r.scores.salt = Some(1.0)),
        ("score_median_nll", |r| r.scores.median_nll = 1.0),
        ("score_mean_nll", |r| {
            r.scores.salt = (r.scores.learnable_fraction > 0.0).then_some(1.0);
            r.scores.salt_masked = 1.0;
            r.scores.mean_nll = 1.0;
            r.scores.median_nll = 1.0;
        }),
        ("target_logprob", |r| {
            let lists = &mut r.signals.target_logprob_t;
            lists.iter_mut().for_each(|l| *l = f32::NAN);
        }),
        ("score_mean_nll", |r| {
            let lists = &mut r.signals.target_logprob_t;
            lists.iter_mut().for_each(|l| *l = l.max(-9.0));
        }),
    ];
    for (named, break_it) in breaks {
        let mut bad = good.clone();
        break_it(&mut bad);
        let found = fault(&plan, &bad, id).map(|fault| fault.to_string());
        let found = found.unwrap_or_default();
        assert!(found.contains(named), "{named}: {found}");
    }
}

/// Discards the result of `pop`.
fn without_last<T>(_: Option<T>) {}

type Break = (&'static str, fn(&mut Row));

#[test]
fn each_broken_invariant_is_named() {
    let plan = with_targets(plan_with_samples());
    let good = sample(&plan);
    assert_eq!(fault(&plan, &good, good.seq_id), None);
    let breaks: &[Break] = &[
        ("the plan has sequence", |r| r.seq_id += 1),
        ("n_targets is 0", |r| r.n_targets = 0),
        ("n_targets is 7", |r| r.n_targets = 7),
        ("input_ids has", |r| without_last(r.input_ids.pop())),
        ("input_ids[1] is 23, outside the vocabulary of 23", |r| {
            r.input_ids[1] = 23
        }),
        ("topk_ids[3] is 99", |r| r.signals.topk_ids_tk[3] = 99),
        ("target_logprob has", |r| r.signals.target_logprob_t.clear()),
        ("target_rank has", |r| r.signals.target_rank_t.push(0)),
        ("entropy has", |r| without_last(r.signals.entropy_t.pop())),
        ("logsumexp has", |r| {
            without_last(r.signals.logsumexp_t.pop())
        }),
        ("topk_ids has", |r| {
            without_last(r.signals.topk_ids_tk.pop())
        }),
        ("topk_logprobs has", |r| {
            without_last(r.signals.topk_logprobs_tk.pop())
        }),
        ("tail_mass has", |r| {
            without_last(r.signals.tail_mass_t.pop())
        }),
        ("log_partition_tau (temperatures) has", |r| {
            without_last(r.signals.log_partition_xt.pop())
        }),
        ("log_partition_tau has", |r| {
            without_last(r.signals.log_partition_xt[1].pop())
        }),
        ("sample_offsets has", |r| {
            without_last(r.signals.sample_offsets.pop())
        }),
        ("sample_offsets[0] is 1, expected 0", |r| {
            r.signals.sample_offsets[0] = 1
        }),
        (
            "sample_offsets[2] is 0, expected at least the previous one",
            |r| r.signals.sample_offsets[2] = 0,
        ),
        ("sampled_ids has", |r| {
            *r.signals.sample_offsets.last_mut().unwrap() = u32::MAX
        }),
        ("sampled_ids has", |r| {
            without_last(r.signals.sampled_ids.pop())
        }),
        ("sampled_counts has", |r| r.signals.sampled_counts.push(1)),
        ("sampled_ids[1] is 23, outside the vocabulary of 23", |r| {
            r.signals.sampled_ids[1] = 23
        }),
        (
            "sampled_ids of position 0 do not increase at entry 1",
            |r| r.signals.sampled_ids.swap(0, 1),
        ),
        (
            "sampled_ids of position 0 do not increase at entry 1",
            |r| r.signals.sampled_ids[1] = r.signals.sampled_ids[0],
        ),
        ("sampled_counts[1] is 0, expected at least 1", |r| {
            r.signals.sampled_counts[0] += std::mem::take(&mut r.signals.sampled_counts[1])
        }),
        (
            "sampled_counts of position 1 add up to 10, expected 9",
            |r| {
                let first = r.signals.sample_offsets[1] as usize;
                r.signals.sampled_counts[first] += 1
            },
        ),
        ("sampled_counts of position 0 add up to 0", |r| {
            r.signals.sample_offsets[1] = 0
        }),
        ("target_logprob[0] is NaN", |r| {
            r.signals.target_logprob_t[0] = f32::NAN
        }),
        ("target_logprob[1] is -inf", |r| {
            r.signals.target_logprob_t[1] = f32::NEG_INFINITY
        }),
        ("target_logprob[1] is 0.5", |r| {
            r.signals.target_logprob_t[1] = 0.5
        }),
        ("entropy[0] is -0.5", |r| r.signals.entropy_t[0] = -0.5),
        ("logsumexp[0] is inf", |r| {
            r.signals.logsumexp_t[0] = f32::INFINITY
        }),
        ("target_rank[0] is 23", |r| r.signals.target_rank_t[0] = 23),
        ("tail_mass[0] is 1.5", |r| r.signals.tail_mass_t[0] = 1.5),
        ("tail_mass[0] is NaN", |r| {
            r.signals.tail_mass_t[0] = f32::NAN
        }),
        ("topk_logprobs[0] is NaN", |r| {
            r.signals.topk_logprobs_tk[0] = f32::NAN
        }),
        ("at the recorded precision", |r| {
            r.signals.topk_logprobs_tk[1] = -1.000_001
        }),
        ("log_partition_tau[0] is -1", |r| {
            r.signals.log_partition_xt[0][0] = -1.0
        }),
        ("log_partition_tau[0] is 1", |r| {
            r.signals.log_partition_xt[1][0] = 1.0
        }),
        ("increase at entry 1", |r| {
            r.signals.topk_logprobs_tk.swap(0, 1)
        }),
        ("twice", |r| {
            r.signals.topk_ids_tk[2] = r.signals.topk_ids_tk[3]
        }),
        ("tail_mass[0] is", |r| {
            r.signals.tail_mass_t[0] = 1.0 - r.signals.tail_mass_t[0]
        }),
        ("target_rank of position 0 is 2", |r| {
            r.signals.target_rank_t[0] = 2
        }),
        ("target_rank of position 0 is 1", |r| {
            r.signals.topk_ids_tk.swap(0, 1)
        }),
        ("but topk_logprobs give", |r| {
            r.signals.target_logprob_t[0] -= 0.5
        }),
        ("does not start at offset 0", |r| r.doc_starts[0] = 1),
        ("does not start at offset 0", |r| {
            (r.doc_starts.clear(), r.doc_indices.clear()).0
        }),
        ("doc_indices has", |r| r.doc_indices.push(99)),
        ("do not increase", |r| {
            (r.doc_starts.push(0), r.doc_indices.push(99)).0
        }),
        ("after the end of the sequence", |r| {
            (r.doc_starts.push(9), r.doc_indices.push(99)).0
        }),
        ("doc_indices do not increase", |r| {
            (r.doc_starts.push(1), r.doc_indices.push(0)).0
        }),
        ("more than one document", |r| {
            (r.doc_starts.push(1), r.doc_indices.push(99)).0
        }),
        ("first_doc_index", |r| r.first_doc_index += 1),
        ("score_mean_nll[0] is NaN", |r| r.scores.mean_nll = f64::NAN),
        ("score_mean_nll[0] is", |r| r.scores.mean_nll += 0.01),
        ("score_mean_entropy[0] is", |r| {
            r.scores.mean_entropy += 0.01
        }),
        ("score_learnable_fraction[0] is 1.5", |r| {
            r.scores.learnable_fraction = 1.5
        }),
        ("score_learnable_fraction[0] is", |r| {
            r.scores.learnable_fraction *= 0.5
        }),
        ("score_mean_topk_mass[0] is -1", |r| {
            r.scores.mean_topk_mass = -1.0
        }),
        ("score_median_nll[0] is inf", |r| {
            r.scores.median_nll = f64::INFINITY
        }),
        ("score_salt_masked[0] is -3", |r| {
            r.scores.salt_masked = -3.0
        }),
        ("null exactly if", |r| r.scores.salt = None),
    ];
    for (expected, break_it) in breaks {
        let mut bad = good.clone();
        break_it(&mut bad);
        let fault = fault(&plan, &bad, good.seq_id);
        let message = fault.as_ref().map(ToString::to_string).unwrap_or_default();
        assert!(message.contains(expected), "{expected}: {message:?}");
    }
}

#[test]
fn lists_of_a_group_that_is_not_planned_are_refused() {
    let plan = with_targets(plan());
    let good = sample(&plan);
    let breaks: [Break; 3] = [
        ("sample_offsets has", |r| r.signals.sample_offsets.push(0)),
        ("sampled_ids has", |r| r.signals.sampled_ids.push(0)),
        ("sampled_counts has", |r| r.signals.sampled_counts.push(9)),
    ];
    for (expected, break_it) in breaks {
        let mut bad = good.clone();
        break_it(&mut bad);
        let message = fault(&plan, &bad, good.seq_id).unwrap().to_string();
        assert!(message.contains(expected), "{expected}: {message:?}");
    }
}

#[test]
fn in_concatenated_packing_only_the_views_last_sequence_is_short() {
    let mut plan = plan();
    plan.sequences.packing = Packing::Concat;
    plan.sequences.attention = Attention::Full;
    plan.sequences.positions = Positions::Continuous;
    plan.sequences.n_total = 70;
    let plan = with_targets(plan);
    let mut short = plan.clone();
    short.sequences.packing = Packing::Document;
    let of = |seq_id| {
        (20..)
            .map(|i| row(&short, i))
            .find(|r| r.n_targets < 6)
            .map(|mut r| {
                r.seq_id = seq_id;
                r
            })
    };
    assert!(matches!(
        fault(&plan, &of(30).unwrap(), 30),
        Some(RowFault::NTargets { min: 6, max: 6, .. })
    ));
    assert_eq!(fault(&plan, &of(69).unwrap(), 69), None);
}

#[test]
fn ties_of_minus_infinity_are_by_id_where_rounding_cannot_make_them() {
    let mut plan = plan();
    plan.signals.rounding = Rounding::F32;
    plan.signals.top_k = 23;
    let plan = with_targets(plan);
    let is_tied = |r: &Row| r.signals.topk_logprobs_tk[21..23] == [f32::NEG_INFINITY; 2];
    let good = (20..70).map(|i| row(&plan, i)).find(is_tied).unwrap();
    assert_eq!(fault(&plan, &good, good.seq_id), None);
    let mut bad = good.clone();
    bad.signals.topk_ids_tk.swap(21, 22);
    assert!(matches!(
        fault(&plan, &bad, good.seq_id),
        Some(RowFault::TopkOrder {
            position: 0,
            entry: 22
        })
    ));
}
