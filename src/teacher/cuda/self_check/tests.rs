use super::*;
use crate::signals::{Groups, Logits, LogitsData, Rounding, Sampling};

const VOCAB_SIZE: usize = 40;

fn config() -> SignalsConfig {
    SignalsConfig {
        groups: Groups {
            stats: true,
            topk: true,
        },
        top_k: 6,
        temperatures: vec![2.0],
        rounding: Rounding::M5,
        vocab_size: VOCAB_SIZE,
        sampling: Some(Sampling {
            n_draws: 5,
            tau: 1.0,
            seed: 0,
        }),
    }
}

fn signals() -> SequenceSignals {
    let values: Vec<f32> = (0..4 * VOCAB_SIZE)
        .map(|i| (i as f32).sin() * 5.0)
        .collect();
    let logits = Logits {
        data: LogitsData::F32(&values),
        n_rows: 1,
        width: 4,
        vocab_size: VOCAB_SIZE,
    };
    let sequence = SequenceTargets {
        seq_id: 0,
        targets: &[1, 2, 3, 4],
    };
    reduce_batch(logits, &[sequence], &config())
        .unwrap()
        .remove(0)
}

#[test]
fn equal_signals_agree_and_so_do_those_a_step_of_the_rounding_apart() {
    let host = signals();
    assert_eq!(disagreement(&host, &host, &config()), None);
    let mut near = signals();
    near.positions.topk_logprobs_tk[3] *= 1.0 + 1.0 / 32.0;
    near.positions.entropy_t[0] += 5e-4;
    near.positions.target_rank_t[2] += 1;
    *near.positions.sampled_ids.last_mut().unwrap() = VOCAB_SIZE as u32 - 1;
    assert_ne!(near.positions.sampled_ids, host.positions.sampled_ids);
    assert_eq!(disagreement(&near, &host, &config()), None);
}

#[test]
fn whatever_is_further_apart_is_named() {
    let host = signals();
    type Breakage = fn(&mut SequenceSignals);
    let wrong: [(&str, Breakage); 14] = [
        ("target_logprob", |s| {
            s.positions.target_logprob_t[1] -= 0.01
        }),
        ("entropy", |s| s.positions.entropy_t[2] = f32::NAN),
        ("logsumexp", |s| s.positions.logsumexp_t.clear()),
        ("topk_logprobs", |s| s.positions.topk_logprobs_tk[0] -= 1.0),
        ("tail_mass", |s| s.positions.tail_mass_t[0] += 0.1),
        ("topk_ids", |s| s.positions.topk_ids_tk.reverse()),
        ("log_partition", |s| {
            s.positions.log_partition_xt[0][3] += 0.1
        }),
        ("log_partition", |s| s.positions.log_partition_xt.clear()),
        ("target_rank", |s| {
            s.positions
                .target_rank_t
                .iter_mut()
                .for_each(|rank| *rank += 1)
        }),
        ("samples", |s| {
            s.positions.sampled_ids.iter_mut().for_each(|id| *id += 1)
        }),
        ("samples", |s| s.positions.sampled_counts[0] += 1),
        ("samples", |s| s.positions.sample_offsets.truncate(2)),
        ("samples", |s| s.positions.sampled_counts.clear()),
        ("scores", |s| s.scores.mean_entropy += 1.0),
    ];
    for (what, break_it) in wrong {
        let mut device = host.clone();
        break_it(&mut device);
        assert_eq!(disagreement(&device, &host, &config()), Some(what));
    }
}

#[test]
fn a_rank_far_down_may_be_off_by_a_hundredth_of_it_and_one_near_the_top_by_nothing() {
    let mut host = signals();
    host.positions.target_rank_t = vec![20_000, 20_000, 20_000, 99];
    let mut device = host.clone();
    device.positions.target_rank_t = vec![20_200, 19_800, 20_001, 98];
    assert_eq!(disagreement(&device, &host, &config()), None);
    device.positions.target_rank_t[0] = 20_201;
    let apart = disagreement(&device, &host, &config());
    assert_eq!(apart, Some("target_rank"));
}

#[test]
fn ranks_are_compared_only_where_the_kept_ids_agree() {
    let host = signals();
    let mut device = signals();
    device.positions.target_rank_t[0] += 5;
    device.positions.target_rank_t[1] += 5;
    device.positions.topk_ids_tk.swap(4, 5);
    assert!(!ranks_differ(
        &device.positions,
        &host.positions,
        config().top_k
    ));
    device.positions.topk_ids_tk.swap(4, 5);
    assert!(ranks_differ(
        &device.positions,
        &host.positions,
        config().top_k
    ));
}
