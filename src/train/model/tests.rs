//! Compares the network with a slow reference of the whole model in f64: log-probabilities, and all gradients
//! by central differences.

use super::*;
use crate::train::batch::{HeadGate, KdLoss, KdTargets, LossSums, MicroBatch, PositionScore};
use crate::train::ops::{AdamW, AdamWConfig};

/// f32 through two blocks compared with f64; gradients relative to the largest in their tensor.
const TOLERANCE: f64 = 2e-4;
/// Step of central differences: parameters are of the order of 0.1.
const STEP: f64 = 1e-6;

fn spec(tie_embeddings: bool) -> ModelSpec {
    ModelSpec {
        vocab_size: 13,
        d_model: 12,
        n_layers: 2,
        n_heads: 4,
        n_kv_heads: 2,
        head_dim: 4,
        d_ff: 10,
        max_seq_len: 8,
        rope_theta: 100.0,
        rope_scaling: None,
        norm_eps: 1e-5,
        tie_embeddings,
    }
}

fn capacity(recompute: bool) -> Capacity {
    Capacity {
        n_positions: 16,
        seq_len: 8,
        threads: 2,
        training: true,
        recompute,
    }
}

/// Weights large enough that every part matters, and norm scales other than 1.
fn params(tie_embeddings: bool) -> Params {
    let mut params = Params::init(&spec(tie_embeddings), 7);
    for slot in &params.layout.tensors {
        for (i, value) in params.values[slot.range.clone()].iter_mut().enumerate() {
            *value = if slot.decays() {
                *value * 12.0
            } else {
                1.0 + 0.1 * (i % 5) as f32
            };
        }
    }
    params
}

/// Three sequences of 5, 1 and 7 positions; one position without weight.
fn batch(kd: Option<KdLoss>) -> MicroBatch {
    let ids: Vec<u32> = (0..14_u32).map(|i| (i * i * 5 + i + i / 5) % 13).collect();
    let n = 13;
    let mut weights_n = vec![1.0; n];
    weights_n[3] = 0.0;
    MicroBatch {
        ids_n: ids[..n].to_vec(),
        targets_n: ids[1..].to_vec(),
        weights_n,
        starts: vec![0, 5, 6, 13],
        kd: kd.map(|loss| kd_targets(loss, n)),
    }
}

fn kd_targets(loss: KdLoss, n: usize) -> KdTargets {
    let with_tail = loss == KdLoss::TailBucket;
    KdTargets {
        loss,
        student_tau: 1.0,
        // A closed gate at every fourth position.
        omega_n: (0..n).map(|i| if i % 4 == 2 { 0.0 } else { 0.6 }).collect(),
        gate: None,
        teacher_nll_n: Vec::new(),
        offsets: (0..=n as u32).map(|i| 3 * i).collect(),
        ids: (0..n as u32)
            .flat_map(|i| [i % 13, (i + 4) % 13, (i + 9) % 13])
            .collect(),
        probs: (0..n).flat_map(|_| [0.5, 0.25, 0.125]).collect(),
        n_tails: usize::from(with_tail),
        tails: vec![0.125; if with_tail { n } else { 0 }],
        in_tail: Vec::new(),
        negentropy_n: (0..n)
            .map(|_| {
                let tail = with_tail.then_some(&0.125);
                let probs = [0.5_f32, 0.25, 0.125];
                probs.iter().chain(tail).map(|p| p * p.ln()).sum()
            })
            .collect(),
    }
}

/// The model by its definition, one position at a time, in f64.
struct Reference<'a> {
    spec: &'a ModelSpec,
    layout: &'a ParamLayout,
    values: &'a [f64],
}

impl Reference<'_> {
    fn tensor(&self, name: &str) -> &[f64] {
        let slot = self.layout.tensors.iter().find(|slot| slot.name == name);
        &self.values[slot.unwrap().range.clone()]
    }

    fn block(&self, layer: usize, name: &str) -> &[f64] {
        self.tensor(&format!("model.layers.{layer}.{name}.weight"))
    }

    /// W x, W `[out, in]`.
    fn linear(weight: &[f64], x: &[f64]) -> Vec<f64> {
        weight
            .chunks_exact(x.len())
            .map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum())
            .collect()
    }

    fn norm(&self, x: &[f64], gamma: &[f64]) -> Vec<f64> {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let rstd = 1.0 / (mean + self.spec.norm_eps).sqrt();
        x.iter().zip(gamma).map(|(x, g)| x * rstd * g).collect()
    }

    fn rotated(&self, heads: &[f64], position: usize) -> Vec<f64> {
        let dim = self.spec.head_dim;
        let mut turned = heads.to_vec();
        for (from, to) in heads.chunks_exact(dim).zip(turned.chunks_exact_mut(dim)) {
            for i in 0..dim / 2 {
                let frequency = self.spec.rope_theta.powf(-2.0 * i as f64 / dim as f64);
                let (sin, cos) = (position as f64 * frequency).sin_cos();
                to[i] = from[i] * cos - from[i + dim / 2] * sin;
                to[i + dim / 2] = from[i + dim / 2] * cos + from[i] * sin;
            }
        }
        turned
    }

    /// Log-probabilities `[len][V]` of one sequence.
    fn log_probs(&self, ids: &[u32]) -> Vec<Vec<f64>> {
        let d = self.spec.d_model;
        let table = self.tensor("model.embed_tokens.weight");
        let mut xs: Vec<Vec<f64>> = ids
            .iter()
            .map(|&id| table[id as usize * d..][..d].to_vec())
            .collect();
        for layer in 0..self.spec.n_layers {
            self.attend(layer, &mut xs);
            self.feed(layer, &mut xs);
        }
        let head = if self.spec.tie_embeddings {
            table
        } else {
            self.tensor("lm_head.weight")
        };
        xs.iter()
            .map(|x| {
                let x = self.norm(x, self.tensor("model.norm.weight"));
                let logits = Self::linear(head, &x);
                let log_z = logits.iter().map(|z| z.exp()).sum::<f64>().ln();
                logits.iter().map(|z| z - log_z).collect()
            })
            .collect()
    }

    fn attend(&self, layer: usize, xs: &mut [Vec<f64>]) {
        let (dim, group) = (self.spec.head_dim, self.spec.n_heads / self.spec.n_kv_heads);
        let normed: Vec<_> = xs
            .iter()
            .map(|x| self.norm(x, self.block(layer, "input_layernorm")))
            .collect();
        let project = |name: &str, rotate: bool| -> Vec<Vec<f64>> {
            let weight = self.block(layer, name);
            let rows = normed.iter().map(|x| Self::linear(weight, x)).enumerate();
            rows.map(|(t, row)| if rotate { self.rotated(&row, t) } else { row })
                .collect()
        };
        let (q, k) = (
            project("self_attn.q_proj", true),
            project("self_attn.k_proj", true),
        );
        let v = project("self_attn.v_proj", false);
        for (t, x) in xs.iter_mut().enumerate() {
            let mut mixed = vec![0.0; self.spec.n_heads * dim];
            for head in 0..self.spec.n_heads {
                let of = |row: &[f64], head: usize| row[head * dim..(head + 1) * dim].to_vec();
                let query = of(&q[t], head);
                let weights: Vec<f64> = (0..=t)
                    .map(|s| {
                        let key = of(&k[s], head / group);
                        let dot: f64 = query.iter().zip(&key).map(|(a, b)| a * b).sum();
                        (dot / (dim as f64).sqrt()).exp()
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                for (s, weight) in weights.iter().enumerate() {
                    for (i, value) in of(&v[s], head / group).iter().enumerate() {
                        mixed[head * dim + i] += weight / sum * value;
                    }
                }
            }
            let out = Self::linear(self.block(layer, "self_attn.o_proj"), &mixed);
            x.iter_mut().zip(out).for_each(|(x, out)| *x += out);
        }
    }

    fn feed(&self, layer: usize, xs: &mut [Vec<f64>]) {
        for x in xs {
            let normed = self.norm(x, self.block(layer, "post_attention_layernorm"));
            let gate = Self::linear(self.block(layer, "mlp.gate_proj"), &normed);
            let up = Self::linear(self.block(layer, "mlp.up_proj"), &normed);
            let act: Vec<f64> = gate
                .iter()
                .zip(&up)
                .map(|(g, u)| g / (1.0 + (-g).exp()) * u)
                .collect();
            let out = Self::linear(self.block(layer, "mlp.down_proj"), &act);
            x.iter_mut().zip(out).for_each(|(x, out)| *x += out);
        }
    }

    /// The summed loss of a batch, and its parts.
    fn loss(&self, batch: &MicroBatch) -> LossSums {
        let mut sums = LossSums::default();
        for pair in batch.starts.windows(2) {
            let log_probs = self.log_probs(&batch.ids_n[pair[0]..pair[1]]);
            for (n, log_q) in (pair[0]..pair[1]).zip(&log_probs) {
                self.add_position(batch, n, log_q, &mut sums);
            }
        }
        sums
    }

    fn add_position(&self, batch: &MicroBatch, n: usize, log_q: &[f64], sums: &mut LossSums) {
        if batch.weights_n[n] == 0.0 {
            return;
        }
        let ce = -log_q[batch.targets_n[n] as usize];
        sums.n += 1.0;
        sums.n_learnt += 1.0;
        sums.ce += ce;
        let omega = batch.kd.as_ref().map_or(0.0, |kd| f64::from(kd.omega_n[n]));
        let mut divergence = 0.0;
        if let (Some(kd), true) = (&batch.kd, omega > 0.0) {
            divergence = divergence_of(kd, n, log_q);
            sums.kd += divergence;
            sums.n_kd += 1.0;
        }
        sums.loss += (1.0 - omega) * ce + omega * divergence;
    }
}

fn divergence_of(kd: &KdTargets, n: usize, log_q: &[f64]) -> f64 {
    let kept = kd.offsets[n] as usize..kd.offsets[n + 1] as usize;
    let (ids, probs) = (&kd.ids[kept.clone()], &kd.probs[kept]);
    let mut sum: f64 = ids
        .iter()
        .zip(probs)
        .map(|(&id, &p)| f64::from(p) * (f64::from(p).ln() - log_q[id as usize]))
        .sum();
    if let Some(&tail) = kd.tails.get(n) {
        let q_tail: f64 = (0..log_q.len() as u32)
            .filter(|id| !ids.contains(id))
            .map(|id| log_q[id as usize].exp())
            .sum();
        sum += f64::from(tail) * (f64::from(tail) / q_tail).ln();
    }
    sum
}

fn reference_loss(params: &Params, values: &[f64], batch: &MicroBatch) -> LossSums {
    let reference = Reference {
        spec: &params.spec,
        layout: &params.layout,
        values,
    };
    reference.loss(batch)
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}

#[track_caller]
fn assert_gradients(network: &Network, params: &Params, batch: &MicroBatch, scale: f64) {
    let mut values = wide(&params.values);
    for slot in &params.layout.tensors {
        let expected: Vec<f64> = slot
            .range
            .clone()
            .map(|i| {
                let value = values[i];
                values[i] = value + STEP;
                let above = reference_loss(params, &values, batch).loss;
                values[i] = value - STEP;
                let below = reference_loss(params, &values, batch).loss;
                values[i] = value;
                scale * (above - below) / (2.0 * STEP)
            })
            .collect();
        let largest = expected.iter().fold(1e-4_f64, |a, b| a.max(b.abs()));
        for (got, expected) in network.grads[slot.range.clone()].iter().zip(&expected) {
            let difference = (f64::from(*got) - expected).abs();
            assert!(
                difference <= TOLERANCE * largest,
                "{}: got {got}, expected {expected}, largest {largest}",
                slot.name
            );
        }
    }
}

fn assert_sums(got: LossSums, expected: LossSums) {
    let pairs = [
        (got.n, expected.n),
        (got.loss, expected.loss),
        (got.ce, expected.ce),
        (got.kd, expected.kd),
        (got.n_kd, expected.n_kd),
        (got.n_learnt, expected.n_learnt),
    ];
    for (got, expected) in pairs {
        assert!((got - expected).abs() < 1e-4, "{got:?} {expected:?}");
    }
}

#[test]
fn loss_and_every_gradient_of_the_whole_model_are_those_of_the_reference() {
    for (tied, recompute, kd) in [
        (false, false, None),
        (true, false, Some(KdLoss::TailBucket)),
        (false, true, Some(KdLoss::Drop)),
    ] {
        let (params, batch) = (params(tied), batch(kd));
        let mut network = Network::new(params.clone(), capacity(recompute));
        let sums = network.forward_backward(&batch, 0.5);
        let expected = reference_loss(&params, &wide(&params.values), &batch);
        assert_sums(sums, expected);
        assert_gradients(&network, &params, &batch, 0.5);
    }
}

/// With a teacher that is certain to be better or worse than the student at each position, the gate `agreement`
/// equals a gate closed by the labels.
#[test]
fn positions_where_the_student_is_better_learn_by_cross_entropy_alone() {
    let mut by_labels = batch(Some(KdLoss::TailBucket));
    let mut by_student = by_labels.clone();
    let is_closed = |n: usize| n % 3 == 1;
    let (labels, student) = (
        by_labels.kd.as_mut().unwrap(),
        by_student.kd.as_mut().unwrap(),
    );
    labels.omega_n = (0..13)
        .map(|n| if is_closed(n) { 0.0 } else { 0.6 })
        .collect();
    student.omega_n = vec![0.6; 13];
    student.gate = Some(HeadGate::Agreement);
    let nll = |n| if is_closed(n) { f32::INFINITY } else { 0.0 };
    student.teacher_nll_n = (0..13).map(nll).collect();
    let run = |batch: &MicroBatch| {
        let mut network = Network::new(params(false), capacity(false));
        let sums = network.forward_backward(batch, 1.0);
        (sums, network.grads)
    };
    let ((expected, slopes), (got, grads)) = (run(&by_labels), run(&by_student));
    assert_sums(got, expected);
    let largest = slopes.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    for (got, expected) in grads.iter().zip(&slopes) {
        // With a gate that the head evaluates, exponentials are summed in another order.
        assert!((got - expected).abs() <= 1e-6 * largest, "{got} {expected}");
    }
}

#[test]
fn recomputing_activations_changes_no_bit() {
    let batch = batch(Some(KdLoss::TailBucket));
    let run = |recompute| {
        let mut network = Network::new(params(false), capacity(recompute));
        let sums = network.forward_backward(&batch, 1.0);
        (sums, network.grads)
    };
    assert_eq!(run(false), run(true));
}

/// The first sequence of `batch`, and the others.
fn split(batch: &MicroBatch) -> [MicroBatch; 2] {
    [(0..5, vec![0, 5]), (5..13, vec![0, 1, 8])].map(|(range, starts)| MicroBatch {
        ids_n: batch.ids_n[range.clone()].to_vec(),
        targets_n: batch.targets_n[range.clone()].to_vec(),
        weights_n: batch.weights_n[range].to_vec(),
        starts,
        kd: None,
    })
}

#[test]
fn gradients_of_micro_batches_add_up_to_those_of_the_batch() {
    for tied in [false, true] {
        let whole = batch(None);
        let mut at_once = Network::new(params(tied), capacity(false));
        at_once.forward_backward(&whole, 1.0);
        let mut in_parts = Network::new(params(tied), capacity(false));
        // The gradients of this first pass are discarded.
        in_parts.forward_backward(&whole, 3.0);
        in_parts.zero_grads();
        for part in split(&whole) {
            in_parts.forward_backward(&part, 1.0);
        }
        let largest = at_once.grads.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        for (a, b) in at_once.grads.iter().zip(&in_parts.grads) {
            assert!((a - b).abs() <= 1e-5 * largest, "{a} {b}");
        }
    }
}

#[test]
fn evaluation_gives_the_log_probabilities_of_the_reference_and_needs_no_training_buffers() {
    let (params, batch) = (params(true), batch(None));
    let inference = Capacity {
        training: false,
        ..capacity(false)
    };
    let mut network = Network::new(params.clone(), inference);
    let mut scores = vec![PositionScore::default(); 13];
    let sums = network.evaluate(&batch, &mut scores);
    let values = wide(&params.values);
    assert_sums(sums, reference_loss(&params, &values, &batch));
    let reference = Reference {
        spec: &params.spec,
        layout: &params.layout,
        values: &values,
    };
    let log_q = reference.log_probs(&batch.ids_n[6..13]);
    for t in 0..7 {
        let (target, score) = (batch.targets_n[6 + t] as usize, scores[6 + t]);
        assert!((-score.nll - log_q[t][target]).abs() < 1e-5);
        let best = (0..log_q[t].len()).max_by(|&a, &b| log_q[t][a].total_cmp(&log_q[t][b]));
        let best = best.unwrap();
        assert!((f64::from(score.best_prob) - log_q[t][best].exp()).abs() < 1e-5);
        assert_eq!(score.is_best, target == best);
    }
    let mut logits = vec![0.0; 13];
    network.next_logits(&batch.ids_n[6..13], &mut logits);
    for (a, b) in [(0, 1), (5, 12)] {
        let difference = f64::from(logits[a] - logits[b]);
        assert!((difference - (log_q[6][a] - log_q[6][b])).abs() < 1e-5);
    }
}

#[test]
fn the_same_threads_give_the_same_bits() {
    let run = || {
        let mut network = Network::new(params(false), capacity(false));
        network.forward_backward(&batch(Some(KdLoss::TailBucket)), 1.0);
        network.grads
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(2)
        .build()
        .unwrap();
    assert_eq!(pool.install(run), pool.install(run));
}

/// Losses of the reference above (f64) for this seed and batch, and the norm of the gradients, which another
/// test compares with it. A change in the model's maths must change these too, with a reason.
#[test]
fn the_golden_numbers_of_a_fixed_model_stay() {
    let mut network = Network::new(params(false), capacity(false));
    let sums = network.forward_backward(&batch(Some(KdLoss::TailBucket)), 1.0);
    let golden = [GOLDEN_CE, GOLDEN_KD, GOLDEN_GRAD_NORM];
    let got = [sums.ce, sums.kd, network.grad_norm()];
    for (got, golden) in got.iter().zip(golden) {
        assert!((got / golden - 1.0).abs() < 1e-5, "{got:?} {golden:?}");
    }
}

const GOLDEN_CE: f64 = 36.818_879_029;
const GOLDEN_KD: f64 = 11.699_670_544;
const GOLDEN_GRAD_NORM: f64 = 44.207_600;

#[test]
fn a_tiny_set_is_memorized() {
    let batch = batch(None);
    let mut network = Network::new(Params::init(&spec(false), 1), capacity(false));
    let mut optimizer = AdamW::new(network.params.layout.len);
    let config = AdamWConfig {
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.0,
    };
    let mut loss = f64::INFINITY;
    for step in 1..=400 {
        network.zero_grads();
        let sums = network.forward_backward(&batch, 1.0 / 12.0);
        loss = sums.loss / sums.n;
        let (params, grads) = (&mut network.params, &network.grads);
        let values = &mut params.values;
        optimizer.update(
            &config,
            &params.layout.tensors,
            values,
            grads,
            0.01,
            1.0,
            step,
        );
    }
    assert!(loss < 0.01, "{loss} nats a position");
}

#[test]
fn the_memory_that_is_announced_is_the_memory_that_is_allocated() {
    for (training, recompute) in [(true, false), (true, true), (false, false)] {
        let capacity = Capacity {
            training,
            ..capacity(recompute)
        };
        let network = Network::new(params(false), capacity);
        let plan = MemoryPlan::of(&spec(false), &capacity);
        assert_eq!(plan.total(), network.allocated_bytes());
    }
    let full = MemoryPlan::of(&spec(false), &capacity(false));
    let recomputed = MemoryPlan::of(&spec(false), &capacity(true));
    assert!(recomputed.activations < full.activations);
}

#[test]
fn parameters_are_a_pure_function_of_spec_and_seed_and_are_named_as_hugging_face_does() {
    let spec = spec(false);
    assert_eq!(Params::init(&spec, 3), Params::init(&spec, 3));
    assert_ne!(Params::init(&spec, 3).values, Params::init(&spec, 4).values);
    let params = Params::init(&spec, 3);
    let last = &params.layout.tensors[params.layout.tensors.len() - 1];
    assert_eq!(last.name, "lm_head.weight");
    assert_eq!(last.range.end, spec.n_parameters());
    let down = params
        .tensor("model.layers.1.mlp.down_proj.weight")
        .unwrap();
    assert_eq!(down.len(), spec.d_model * spec.d_ff);
    let of_square = |values: &[f32]| values.iter().map(|x| x * x).sum::<f32>();
    let std = (of_square(down) / down.len() as f32).sqrt();
    assert!((std / 0.01 - 1.0).abs() < 0.2, "{std}");
}
