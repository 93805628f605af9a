//! Label sets drawn from known distributions, and a slow reference computation.

use super::*;
use crate::error::Classified;
use crate::shards::testing::{plan, write_rows, write_set};
use crate::shards::{Attention, Group, LabelSet, Plan, PlanSelection, Positions, Row, ShardReader};
use crate::signals::{
    Groups, Logits, LogitsData, Rounding, SequenceTargets, SignalsConfig, reduce_batch,
};
use crate::tokens::Packing;

const V: usize = 12;
const T: usize = 40;
const N_SEQUENCES: u64 = 400;
/// Kinds of context.
const N_CONTEXTS: usize = 6;

/// splitmix64, as numbers in [0, 1).
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        (crate::splitmix::next(&mut self.0) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn below(&mut self, n: usize) -> usize {
        (self.unit() * n as f64) as usize
    }

    fn draw(&mut self, p: &[f64]) -> usize {
        let mut left = self.unit();
        let reaches = |p: &f64| {
            left -= p;
            left < 0.0
        };
        p.iter().position(reaches).unwrap_or(p.len() - 1)
    }
}

/// Known distributions that text is drawn from, and those of a teacher.
struct World {
    p: Vec<Vec<f64>>,
    teacher: Vec<Vec<f64>>,
}

impl World {
    /// The data in context c is a softmax over falling logits, sharper with c; the teacher's logits are
    /// the same times `sharpness`.
    fn new(sharpness: f64) -> Self {
        let logits = |c: usize, v: usize| -((v + c) as f64 * 0.2 * (c + 1) as f64);
        let of = |sharpness: f64| {
            let softmax = |c: usize| {
                let e: Vec<f64> = (0..V).map(|v| (sharpness * logits(c, v)).exp()).collect();
                let sum: f64 = e.iter().sum();
                e.into_iter().map(|e| e / sum).collect()
            };
            (0..N_CONTEXTS).map(softmax).collect()
        };
        World {
            p: of(1.0),
            teacher: of(sharpness),
        }
    }

    /// Mean of f(P, T) over contexts.
    fn expect(&self, f: impl Fn(&[f64], &[f64]) -> f64) -> f64 {
        let pairs = self.p.iter().zip(&self.teacher);
        pairs.map(|(p, t)| f(p, t)).sum::<f64>() / N_CONTEXTS as f64
    }

    fn total_variation(&self) -> f64 {
        self.expect(|p, t| p.iter().zip(t).map(|(p, t)| (p - t).abs()).sum::<f64>() / 2.0)
    }

    fn kl(&self) -> f64 {
        self.expect(|p, t| p.iter().zip(t).map(|(p, t)| p * (p / t).ln()).sum())
    }

    fn data_entropy(&self) -> f64 {
        self.expect(|p, _| p.iter().map(|p| -p * p.ln()).sum())
    }

    /// Sequence `seq_id`: T contexts with a draw from P in each, labelled by the production kernel.
    fn row(&self, plan: &Plan, seq_id: u64, seed: u64) -> Row {
        let mut random = Random(seed ^ (seq_id << 20));
        let contexts: Vec<usize> = (0..T).map(|_| random.below(N_CONTEXTS)).collect();
        let targets: Vec<u32> = contexts
            .iter()
            .map(|&c| random.draw(&self.p[c]) as u32)
            .collect();
        let logits: Vec<f32> = contexts
            .iter()
            .flat_map(|&c| self.teacher[c].iter().map(|t| t.ln() as f32))
            .collect();
        let logits = Logits {
            data: LogitsData::F32(&logits),
            n_rows: 1,
            width: T,
            vocab_size: V,
        };
        let config = SignalsConfig {
            groups: Groups {
                stats: plan.signals.has(Group::Stats),
                topk: plan.signals.has(Group::Topk),
            },
            top_k: plan.signals.top_k as usize,
            temperatures: vec![],
            rounding: plan.signals.rounding,
            vocab_size: V,
            sampling: None,
        };
        let sequence = SequenceTargets {
            seq_id,
            targets: &targets,
        };
        let labelled = reduce_batch(logits, &[sequence], &config)
            .unwrap()
            .remove(0);
        let has_positions = plan.signals.has_positions();
        Row {
            pieces: Vec::new(),
            seq_id,
            first_doc_index: seq_id,
            n_targets: T as u32,
            scores: labelled.scores,
            input_ids: match has_positions {
                true => std::iter::once(0).chain(targets).collect(),
                false => vec![],
            },
            doc_starts: if has_positions { vec![0] } else { vec![] },
            doc_indices: if has_positions { vec![seq_id] } else { vec![] },
            signals: labelled.positions,
        }
    }

    /// Labels of text drawn with `seed`, and their directory.
    fn labels(&self, plan: &Plan, seed: u64) -> (tempfile::TempDir, LabelSet) {
        let dir = tempfile::tempdir().unwrap();
        write_rows(dir.path(), plan, |seq_id| self.row(plan, seq_id, seed));
        let set = LabelSet::open(dir.path()).unwrap();
        (dir, set)
    }
}

/// [`N_SEQUENCES`] sequences of T targets, with the K = 3 top ids of V.
fn world_plan() -> Plan {
    let mut plan = plan();
    plan.teacher.vocab_size = V as u32;
    plan.tokenizer.as_mut().unwrap().vocab_size = V as u32;
    plan.sequences.seq_len = T as u32;
    plan.sequences.packing = Packing::Concat;
    plan.sequences.attention = Attention::Full;
    plan.sequences.positions = Positions::Continuous;
    plan.sequences.n_total = N_SEQUENCES + 1;
    plan.sequences.start = 0;
    plan.sequences.end = N_SEQUENCES;
    plan.sequences.n_targets = N_SEQUENCES * T as u64;
    plan.signals.top_k = 3;
    plan.signals.temperatures = vec![];
    plan.signals.rounding = Rounding::M5;
    plan.layout.rows_per_shard = 150;
    plan.layout.rows_per_row_group = 64;
    plan.layout = plan.layout.for_sequences(N_SEQUENCES);
    plan
}

fn figures_of(set: &LabelSet) -> TeacherFigures {
    teacher_figures(set, None, |_| {}).unwrap()
}

fn noise(estimate: &Estimate) -> f64 {
    4.0 * estimate.standard_error.unwrap()
}

#[test]
fn the_bounds_hold_of_a_teacher_whose_divergence_is_known() {
    for (sharpness, seed) in [(0.5, 1), (0.8, 2), (1.0, 3), (1.3, 4), (2.0, 5)] {
        let world = World::new(sharpness);
        let (_dir, set) = world.labels(&world_plan(), seed);
        let figures = figures_of(&set);
        let (tv, kl) = (world.total_variation(), world.kl());
        let buckets = figures.entropy_buckets.iter().map(|bucket| bucket.bounds);
        let topk = figures.by_topk.unwrap();
        for bounds in [topk, figures.by_scores] {
            assert!(bounds.tv_at_least <= tv + noise(&bounds.difference));
            assert!(bounds.tv_at_least_beyond_noise <= tv);
            let most = bounds.tv_at_most.unwrap();
            assert!(tv <= most.mean + noise(&most), "{tv} {most:?}");
            assert!(bounds.kl_at_least <= kl + 4.0 * tv * noise(&bounds.difference) + 0.001);
            assert!(kl <= bounds.kl_at_most.mean + noise(&bounds.kl_at_most));
        }
        // The mean of the buckets' lower bounds is also a lower bound.
        let n = figures.n_targets as f64;
        let weights = figures
            .entropy_buckets
            .iter()
            .map(|b| b.n_targets as f64 / n);
        let in_buckets: f64 = weights
            .zip(buckets)
            .map(|(w, b)| w * b.tv_at_least_beyond_noise)
            .sum();
        assert!(in_buckets <= tv, "{in_buckets} {tv}");
    }
}

#[test]
fn every_mean_is_that_of_the_world_within_its_standard_error() {
    let world = World::new(0.5);
    let (_dir, set) = world.labels(&world_plan(), 11);
    let figures = figures_of(&set);
    let of_best = |k: usize| move |p: &[f64], _: &[f64]| p[..k].iter().sum::<f64>();
    let held = |_: &[f64], t: &[f64]| t[..3].iter().sum::<f64>();
    let bounds = figures.by_topk.unwrap();
    let truths = [
        (figures.nll, world.data_entropy() + world.kl()),
        (figures.accuracy.unwrap(), world.expect(of_best(1))),
        (bounds.hit_rate, world.expect(of_best(3))),
        (bounds.topk_mass, world.expect(held)),
        (
            bounds.tv_at_most.unwrap(),
            world.expect(|p, t| 1.0 - p.iter().zip(t).map(|(p, t)| p * t).sum::<f64>()),
        ),
    ];
    for (got, truth) in truths {
        assert!((got.mean - truth).abs() < noise(&got), "{got:?} {truth}");
        assert!(got.standard_error.unwrap() < 0.02, "{got:?}");
    }
    // An underconfident teacher: more hits than mass, and beyond noise.
    assert!(bounds.difference.mean > 0.05 && bounds.tv_at_least_beyond_noise > 0.0);
    assert_eq!(
        (figures.n_sequences, figures.n_targets),
        (N_SEQUENCES, N_SEQUENCES * T as u64)
    );
    assert_eq!(figures.n_blocks, N_SEQUENCES as usize);
}

/// Ten identical sequences of one document count as one: the unit is the document.
#[test]
fn standard_errors_are_over_documents() {
    let world = World::new(0.8);
    let plan = world_plan();
    let dir = tempfile::tempdir().unwrap();
    write_rows(dir.path(), &plan, |seq_id| {
        let document = seq_id / 10;
        let row = world.row(&plan, document, 15);
        Row {
            seq_id,
            first_doc_index: document,
            doc_indices: vec![document],
            ..row
        }
    });
    let repeated = figures_of(&LabelSet::open(dir.path()).unwrap());
    assert_eq!(
        (repeated.blocks_of, repeated.n_blocks),
        (BlockUnit::Documents, 40)
    );
    let rows = (0..40).map(|document| world.row(&plan, document, 15));
    let nll = Estimate::of_blocks(rows.map(|row| (T as u64, row.scores.mean_nll * T as f64)));
    let (got, once) = (repeated.nll, nll.unwrap());
    assert!((got.mean - once.mean).abs() < 1e-12);
    let errors = got.standard_error.zip(once.standard_error).unwrap();
    assert!((errors.0 - errors.1).abs() < 1e-12, "{errors:?}");
}

#[test]
fn a_teacher_equal_to_the_data_has_a_lower_bound_within_noise() {
    let world = World::new(1.0);
    let mut n_within = 0;
    for seed in 20..30 {
        let (_dir, set) = world.labels(&world_plan(), seed);
        let bounds = figures_of(&set).by_topk.unwrap();
        n_within += u32::from(bounds.tv_at_least_beyond_noise == 0.0);
    }
    // Two standard errors cover about 95%.
    assert!(n_within >= 8, "{n_within} of 10");
}

/// Why there are no bounds by the target's NLL: the buckets are chosen by the outcome, so hits and mass differ
/// even for a perfect teacher, and the mean of `1 - T(y)` may fall below the true TV.
#[test]
fn buckets_by_the_nll_of_the_target_would_bound_nothing() {
    let perfect = World::new(1.0);
    let (_dir, set) = perfect.labels(&world_plan(), 31);
    let easy = figures_of(&set).nll_buckets[0].clone();
    let (mut hits, mut mass, mut n) = (0.0, 0.0, 0.0);
    for row in rows_of(&set) {
        for t in 0..T {
            let nll = -f64::from(row.signals.target_logprob_t[t]);
            if nll < easy.below.unwrap() {
                hits += f64::from(u8::from(row.signals.target_rank_t[t] < 3));
                mass += 1.0 - f64::from(row.signals.tail_mass_t[t]);
                n += 1.0;
            }
        }
    }
    assert_eq!(n as u64, easy.n_targets);
    let apart = (hits - mass) / n;
    assert!(apart > 0.02, "TV is 0, and hits and mass are {apart} apart");
}

#[test]
fn buckets_are_terciles_and_sum_to_the_total() {
    let world = World::new(0.7);
    let (_dir, set) = world.labels(&world_plan(), 41);
    let figures = figures_of(&set);
    let n = figures.n_targets as f64;
    let nll: f64 = figures
        .nll_buckets
        .iter()
        .map(|b| b.nll.mean * b.n_targets as f64 / n)
        .sum();
    assert!((nll - figures.nll.mean).abs() < 1e-6);
    let whole = figures.by_topk.unwrap();
    let sum = |of: fn(&DivergenceBounds) -> f64| -> f64 {
        let buckets = figures.entropy_buckets.iter();
        buckets
            .map(|b| of(&b.bounds) * b.n_targets as f64 / n)
            .sum()
    };
    assert!((sum(|b| b.difference.mean) - whole.difference.mean).abs() < 1e-9);
    assert!((sum(|b| b.kl_at_most.mean) - whole.kl_at_most.mean).abs() < 1e-9);
    // Six equally likely contexts, two per third.
    for bucket in &figures.entropy_buckets {
        assert!(
            (bucket.n_targets as f64 / n - 1.0 / 3.0).abs() < 0.02,
            "{bucket:?}"
        );
    }
}

#[test]
fn figures_depend_on_the_rows_and_not_on_where_they_are() {
    let world = World::new(0.7);
    let shuffled = world_plan();
    let mut in_order = shuffled.clone();
    in_order.layout.order_seed = None;
    in_order.layout.rows_per_shard = 400;
    in_order.layout = in_order.layout.for_sequences(N_SEQUENCES);
    let (_a, a) = world.labels(&shuffled, 51);
    let (_b, b) = world.labels(&in_order, 51);
    let (a, b) = (figures_of(&a), figures_of(&b));
    assert_eq!(a.entropy_buckets.len(), b.entropy_buckets.len());
    let of = |figures: &TeacherFigures| {
        let topk = figures.by_topk.unwrap();
        [
            figures.nll,
            topk.difference,
            topk.hit_rate,
            figures.nll_buckets[1].nll,
        ]
    };
    for (a, b) in of(&a).into_iter().zip(of(&b)) {
        assert!((a.mean - b.mean).abs() < 1e-12);
        assert!((a.standard_error.unwrap() - b.standard_error.unwrap()).abs() < 1e-12);
    }
}

fn rows_of(set: &LabelSet) -> Vec<Row> {
    let mut rows = Vec::new();
    for (plan, shard) in set.finished_shards().unwrap() {
        for group in ShardReader::open(&set.dir, plan, shard).unwrap() {
            rows.extend(group.unwrap());
        }
    }
    rows
}

/// Slow reference over all rows in memory: the mean, and its standard error with one block per sequence.
fn slow_difference(rows: &[Row], top_k: usize) -> (f64, f64) {
    let mut sequences = Vec::new();
    for row in rows {
        let signals = &row.signals;
        let hits = signals
            .target_rank_t
            .iter()
            .filter(|&&r| usize::from(r) < top_k)
            .count();
        let mass: f64 = signals
            .tail_mass_t
            .iter()
            .map(|&m| 1.0 - f64::from(m))
            .sum();
        sequences.push((f64::from(row.n_targets), hits as f64 - mass));
    }
    let (n, sum) = sequences
        .iter()
        .fold((0.0, 0.0), |(n, s), x| (n + x.0, s + x.1));
    let mean = sum / n;
    let squares: f64 = sequences.iter().map(|(n, s)| (s - mean * n).powi(2)).sum();
    let g = sequences.len() as f64;
    (mean, (g / (g - 1.0) * squares).sqrt() / n)
}

#[test]
fn sums_over_blocks_agree_with_a_slow_reading_of_made_up_rows() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &crate::shards::testing::with_targets(plan()));
    let set = LabelSet::open(dir.path()).unwrap();
    let figures = figures_of(&set);
    let (mean, error) = slow_difference(&rows_of(&set), 4);
    let got = figures.by_topk.unwrap();
    assert_eq!(got.k, 4);
    assert!((got.difference.mean - mean).abs() < 1e-12);
    assert!((got.difference.standard_error.unwrap() - error).abs() < 1e-12);
    // These rows store 0.875 as their score for the mass of ten.
    assert!((figures.by_scores.topk_mass.mean - 0.875).abs() < 1e-12);
    assert_eq!(figures.by_scores.topk_mass.standard_error, Some(0.0));
}

#[test]
fn fewer_ids_than_are_stored_take_the_rounding_into_account() {
    let world = World::new(0.7);
    let (_dir, set) = world.labels(&world_plan(), 61);
    let all = figures_of(&set).by_topk.unwrap();
    let best = teacher_figures(&set, Some(1), |_| {})
        .unwrap()
        .by_topk
        .unwrap();
    let truth = world.expect(|_, t| t[0]);
    assert!((best.topk_mass.mean - truth).abs() < best.rounding + noise(&best.topk_mass));
    assert!(
        best.rounding > 10.0 * all.rounding && all.rounding < 1e-3,
        "{best:?}"
    );
    for k in [0, 4] {
        let error = teacher_figures(&set, Some(k), |_| {}).unwrap_err();
        assert!(
            error.to_string().contains("from 1 to the 3 stored ids"),
            "{error}"
        );
    }
}

#[test]
fn scores_alone_still_give_the_bounds_at_k_10() {
    let world = World::new(0.3);
    let mut plan = world_plan();
    plan.signals.groups = vec![Group::Scores];
    plan.signals.top_k = 0;
    let (_dir, set) = world.labels(&plan, 71);
    let figures = figures_of(&set);
    assert_eq!((figures.accuracy, figures.by_topk), (None, None));
    assert!(figures.nll_buckets.is_empty() && figures.entropy_buckets.is_empty());
    let bounds = figures.by_scores;
    assert_eq!((bounds.k, bounds.tv_at_most), (10, None));
    let truth = world.expect(|p, t| p[..10].iter().sum::<f64>() - t[..10].iter().sum::<f64>());
    assert!((bounds.difference.mean - truth).abs() < noise(&bounds.difference));
    assert!(bounds.tv_at_least_beyond_noise > 0.0, "{bounds:?}");
    let error = teacher_figures(&set, Some(3), |_| {}).unwrap_err();
    assert!(
        error.to_string().contains("groups stats and topk"),
        "{error}"
    );
}

/// The same teacher on text from its own world and on text from another.
#[test]
fn the_gap_to_held_out_text_is_that_of_the_two_worlds() {
    // The teacher is exactly the distribution of the training text.
    let training = World::new(1.0);
    let held_out = World {
        p: World::new(0.6).teacher,
        teacher: training.teacher.clone(),
    };
    let (_a, a) = training.labels(&world_plan(), 81);
    let mut other_corpus = world_plan();
    other_corpus.corpus.fingerprint = format!("blake3:{}", "9".repeat(64));
    let (_b, b) = held_out.labels(&other_corpus, 82);
    let figures = figures_of(&a);
    let got = compare_held_out(&a, &figures, &b, figures_of(&b)).unwrap();
    let truth = held_out.data_entropy() + held_out.kl() - training.data_entropy();
    assert!((got.nll_gap.mean - truth).abs() < noise(&got.nll_gap));
    assert_eq!(got.auto_margin, Some(got.nll_gap.mean));
    assert!(got.accuracy_gap.unwrap().mean > 0.0);
    // The other way round the gap is negative, so there is no margin.
    let got = compare_held_out(&b, &figures_of(&b), &a, figures).unwrap();
    assert!(got.nll_gap.mean < 0.0 && got.auto_margin.is_none());
}

#[test]
fn text_of_the_same_kind_has_no_gap_beyond_noise() {
    let world = World::new(0.8);
    let (_a, a) = world.labels(&world_plan(), 91);
    let mut other_corpus = world_plan();
    other_corpus.corpus.fingerprint = format!("blake3:{}", "9".repeat(64));
    let (_b, b) = world.labels(&other_corpus, 92);
    let got = compare_held_out(&a, &figures_of(&a), &b, figures_of(&b)).unwrap();
    assert!(got.nll_gap.mean.abs() < noise(&got.nll_gap), "{got:?}");
    assert_eq!(got.auto_margin, None);
}

#[test]
fn sets_that_cannot_be_compared_are_refused_by_name() {
    let world = World::new(0.8);
    let (_a, a) = world.labels(&world_plan(), 95);
    let figures = figures_of(&a);
    let error = compare_held_out(&a, &figures, &a, figures.clone()).unwrap_err();
    assert!(error.to_string().contains("is not held out"), "{error}");
    let mut plan = world_plan();
    plan.teacher.fingerprint = format!("blake3:{}", "8".repeat(64));
    let (_b, b) = world.labels(&plan, 96);
    let error = compare_held_out(&a, &figures, &b, figures_of(&b)).unwrap_err();
    assert!(error.to_string().contains("teacher.fingerprint"), "{error}");
    assert_eq!(error.kind(), crate::error::Kind::Usage);
}

#[test]
fn two_selections_of_one_corpus_may_be_compared_if_they_have_nothing_in_common() {
    let world = World::new(0.8);
    let (_dir, all) = world.labels(&world_plan(), 97);
    let figures = figures_of(&all);
    // Only the plans are checked here; the figures are of all sequences.
    let selected = |remainder: u64| {
        let mut set = all.clone();
        let kept = (0..N_SEQUENCES).filter(|id| id % 3 == remainder).collect();
        let selection = PlanSelection::new(kept, 0..N_SEQUENCES);
        set.segments[0].sequences.selection = Some(selection);
        set
    };
    let (a, b) = (selected(0), selected(1));
    let got = compare_held_out(&a, &figures, &b, figures.clone()).unwrap();
    assert!(got.of_selection);
    let error = compare_held_out(&a, &figures, &all, figures.clone()).unwrap_err();
    assert!(error.to_string().contains("is not held out"), "{error}");
}

#[test]
fn a_set_without_a_finished_shard_has_no_figures() {
    let dir = tempfile::tempdir().unwrap();
    LabelSet::create_or_match(dir.path(), &plan(), None).unwrap();
    let set = LabelSet::open(dir.path()).unwrap();
    let error = teacher_figures(&set, None, |_| {}).unwrap_err();
    assert!(
        matches!(error, BoundsError::NothingFinished { .. }),
        "{error}"
    );
}
