//! Plans and rows for tests of this room and of readers of labels: made up, but keeping every invariant.

use super::*;
use crate::signals::{PositionSignals, Rounding, ScoreInputs, Scores};
use crate::tokens::{DocumentEntry, Packing, TokenFormat};
use std::path::Path;

/// splitmix64: the same rows on every machine and with every version of every crate.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        crate::splitmix::next(&mut self.0)
    }

    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// In (0, 1].
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// A small valid plan: 50 sequences of up to 6 targets, in `document` packing.
pub(crate) fn plan() -> Plan {
    let blake3 = |c: &str| c.repeat(64);
    Plan {
        format_version: FORMAT_VERSION,
        required_features: vec![],
        created_by: "saltworks tests".to_owned(),
        teacher: PlanTeacher {
            fingerprint: format!("blake3:{}", blake3("a")),
            files: vec![PlanFile {
                name: "teacher.onnx".to_owned(),
                bytes: 1234,
                blake3: blake3("b"),
                sampled_blake3: blake3("e"),
            }],
            vocab_size: 23,
            logits_dtype: "float32".to_owned(),
            logits_output: "logits".to_owned(),
            allowed: Vec::new(),
            ignored_tokenizer: None,
            checkpoint: None,
            engine: None,
        },
        corpus: PlanCorpus {
            format: TokenFormat::Megatron,
            dtype: None,
            eod: None,
            eod_position: None,
            padding: None,
            fingerprint: format!("blake3:{}", blake3("c")),
            files: vec![PlanFile {
                name: "tokens.bin".to_owned(),
                bytes: 700,
                blake3: blake3("d"),
                sampled_blake3: blake3("e"),
            }],
            n_tokens: 350,
            n_documents: 50,
        },
        tokenizer: Some(PlanTokenizer {
            fingerprint: format!("blake3:{}", blake3("f")),
            vocab_size: 23,
            bos: Some(1),
            eod: None,
        }),
        sequences: PlanSequences {
            seq_len: 6,
            packing: Packing::Document,
            attention: Attention::Document,
            positions: Positions::Restart,
            sequence_bos: None,
            n_total: 80,
            start: 20,
            end: 70,
            n_targets: 0,
            selection: None,
        },
        signals: PlanSignals {
            groups: vec![Group::Scores, Group::Stats, Group::Topk],
            top_k: 4,
            temperatures: vec![2.0, 0.5],
            rounding: Rounding::F16,
            mask_vocab_padding: false,
            impossible_targets: false,
            score_k: SCORE_K,
            samples: None,
        },
        layout: Layout {
            first_shard: 0,
            n_shards: 3,
            rows_per_shard: 20,
            rows_per_row_group: 8,
            order_seed: Some(7),
            zstd_level: 3,
        },
    }
}

/// [`plan`] with draws, besides all other groups.
pub(crate) fn plan_with_samples() -> Plan {
    add_samples(plan())
}

/// The plan with draws, 9 per position.
pub(crate) fn add_samples(mut plan: Plan) -> Plan {
    plan.required_features = vec![SAMPLES_FEATURE.to_owned()];
    plan.signals.groups.push(Group::Samples);
    plan.signals.samples = Some(PlanSamples {
        n_draws: 9,
        tau: 1.0,
        seed: 3,
    });
    plan
}

/// The plan with the number of targets in the rows of [`row`].
pub(crate) fn with_targets(mut plan: Plan) -> Plan {
    plan.layout = plan.layout.clone().for_sequences(plan.n_sequences());
    plan.sequences.n_targets = plan
        .seq_ids()
        .map(|i| u64::from(n_targets_of(&plan, i)))
        .sum();
    plan
}

fn n_targets_of(plan: &Plan, seq_id: u64) -> u32 {
    let t = plan.sequences.seq_len;
    match plan.sequences.packing {
        Packing::Concat if seq_id + 1 < plan.sequences.n_total => t,
        _ => 1 + Random(seq_id ^ 0xABCD).below(u64::from(t)) as u32,
    }
}

/// The row of `seq_id`: a softmax of random logits, some of them -inf, as if from a teacher.
pub(crate) fn row(plan: &Plan, seq_id: u64) -> Row {
    let mut random = Random(seq_id);
    let n_targets = n_targets_of(plan, seq_id);
    let vocab_size = u64::from(plan.teacher.vocab_size);
    let mut row = Row {
        seq_id,
        first_doc_index: seq_id,
        n_targets,
        ..Row::default()
    };
    // A target is never an id whose logit is -inf: it is drawn together with its position's logits.
    let mut input_ids = vec![random.below(vocab_size) as u32];
    let mut stats = Stats::default();
    row.signals.log_partition_xt = vec![Vec::new(); plan.signals.temperatures.len()];
    for _ in 0..n_targets {
        input_ids.push(position(plan, &mut random, &mut row.signals, &mut stats));
    }
    if let Some(samples) = &plan.signals.samples {
        draw(plan, samples, seq_id, n_targets, &mut row.signals);
    }
    row.scores = stats.scores(plan.signals.score_k);
    if plan.signals.has_positions() {
        row.input_ids = input_ids;
        row.doc_starts = vec![0];
        row.doc_indices = vec![seq_id];
        if plan.sequences.attention == Attention::Full && n_targets > 1 {
            row.doc_starts
                .push(1 + random.below(u64::from(n_targets)) as u32);
            row.doc_indices.push(seq_id + 3);
        }
    }
    drop_groups(plan, &mut row.signals);
    row
}

fn drop_groups(plan: &Plan, signals: &mut PositionSignals) {
    let all = std::mem::take(signals);
    if plan.signals.has(Group::Stats) {
        signals.target_logprob_t = all.target_logprob_t;
        signals.target_rank_t = all.target_rank_t;
        signals.entropy_t = all.entropy_t;
        signals.logsumexp_t = all.logsumexp_t;
    }
    if plan.signals.has(Group::Topk) {
        signals.topk_ids_tk = all.topk_ids_tk;
        signals.topk_logprobs_tk = all.topk_logprobs_tk;
        signals.tail_mass_t = all.tail_mass_t;
        signals.log_partition_xt = all.log_partition_xt;
    }
    signals.sampled_ids = all.sampled_ids;
    signals.sampled_counts = all.sampled_counts;
    signals.sample_offsets = all.sample_offsets;
}

/// Made-up draws from a separate generator: apart from them a row is the same with and without.
fn draw(plan: &Plan, samples: &PlanSamples, seq_id: u64, n_targets: u32, s: &mut PositionSignals) {
    let mut random = Random(samples.seed ^ (seq_id << 32));
    s.sample_offsets.push(0);
    for _ in 0..n_targets {
        let last = plan.teacher.vocab_size as usize - 1;
        let mut n_drawn = vec![0; last + 1];
        for _ in 0..samples.n_draws {
            // Low ids are likelier.
            let id = random.unit() * random.unit() * last as f64;
            n_drawn[id as usize] += 1;
        }
        for (id, &count) in n_drawn.iter().enumerate().filter(|(_, n)| **n > 0) {
            s.sampled_ids.push(id as u32);
            s.sampled_counts.push(count);
        }
        s.sample_offsets.push(s.sampled_ids.len() as u32);
    }
}

#[derive(Default)]
struct Stats {
    nll: Vec<f64>,
    ranks: Vec<u16>,
    entropies: Vec<f64>,
}

impl Stats {
    fn scores(&self, k: u32) -> Scores {
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let pairs = || self.nll.iter().zip(&self.ranks);
        let learnable: Vec<f64> = pairs()
            .filter(|&(_, &rank)| u32::from(rank) < k)
            .map(|(&nll, _)| nll)
            .collect();
        // Rounded to a grid: the last bits of exp and ln differ between platforms, but golden files must not.
        let on_grid = |x: f64| (x * f64::from(1 << 20)).round() / f64::from(1 << 20);
        Scores {
            salt: learnable.first().copied().map(on_grid),
            salt_masked: 0.25,
            mean_nll: on_grid(mean(&self.nll)),
            median_nll: on_grid(self.nll[0]),
            learnable_fraction: learnable.len() as f64 / self.nll.len() as f64,
            mean_entropy: on_grid(mean(&self.entropies)),
            mean_topk_mass: 0.875,
        }
    }
}

/// Appends one position's signals and returns its target.
fn position(plan: &Plan, random: &mut Random, s: &mut PositionSignals, stats: &mut Stats) -> u32 {
    let vocab_size = plan.teacher.vocab_size;
    let logits: Vec<f64> = (0..vocab_size)
        .map(|id| match random.below(8) {
            0 if id > 0 => f64::NEG_INFINITY,
            _ => 12.0 * random.unit() - 6.0,
        })
        .collect();
    let logsumexp = logits.iter().map(|z| z.exp()).sum::<f64>().ln();
    let logprobs: Vec<f64> = logits.iter().map(|z| z - logsumexp).collect();
    let mut ids: Vec<u32> = (0..vocab_size).collect();
    ids.sort_by(|&a, &b| {
        let (x, y) = (logprobs[a as usize], logprobs[b as usize]);
        y.total_cmp(&x).then(a.cmp(&b))
    });
    let n_finite = ids
        .iter()
        .filter(|&&id| logprobs[id as usize].is_finite())
        .count();
    let rank = random.below(n_finite as u64) as usize;
    let target = ids[rank];
    let entropy: f64 = logprobs
        .iter()
        .filter(|l| l.is_finite())
        .map(|l| -l * l.exp())
        .sum();
    s.target_logprob_t.push(logprobs[target as usize] as f32);
    s.target_rank_t.push(rank as u16);
    s.entropy_t.push(entropy as f32);
    s.logsumexp_t.push(logsumexp as f32);
    let (kept, tail) = ids.split_at(plan.signals.top_k as usize);
    for &id in kept {
        s.topk_ids_tk.push(id);
        let logprob = logprobs[id as usize] as f32;
        s.topk_logprobs_tk
            .push(plan.signals.rounding.round(logprob));
    }
    let tail: f64 = tail.iter().map(|&id| logprobs[id as usize].exp()).sum();
    s.tail_mass_t.push(plan.signals.rounding.round_tail(tail));
    for (list, tau) in s
        .log_partition_xt
        .iter_mut()
        .zip(&plan.signals.temperatures)
    {
        let sum: f64 = logprobs.iter().map(|l| (l / tau).exp()).sum();
        list.push(sum.ln() as f32);
    }
    stats.nll.push(-logprobs[target as usize]);
    stats.ranks.push(rank as u16);
    stats.entropies.push(entropy);
    target
}

/// The rows of `shard`, row group by row group.
pub(super) fn shard_rows(plan: &Plan, shard: u32) -> Vec<Vec<Row>> {
    let groups = plan.row_groups(shard).into_iter();
    groups
        .map(|ids| ids.into_iter().map(|id| row(plan, id)).collect())
        .collect()
}

pub(super) fn runtime() -> RuntimeStamp {
    RuntimeStamp {
        ort_version: "1.32.0".to_owned(),
        provider: "cpu".to_owned(),
        instruction_set: "avx512".to_owned(),
        saltworks_version: "0.1.0".to_owned(),
    }
}

/// Labels one shard.
pub(super) fn write_shard(dir: &Path, plan: &Plan, shard: u32) -> Result<Sidecar, ShardsError> {
    let mut writer = ShardWriter::create(dir, plan, shard)?;
    for rows in shard_rows(plan, shard) {
        writer.write_row_group(&rows)?;
    }
    writer.seal_and_publish(&runtime())
}

/// Labels a whole set with the caller's rows, including the manifest, and returns its plan.
pub(crate) fn write_rows(dir: &Path, plan: &Plan, row_of: impl Fn(u64) -> Row) -> Plan {
    let opened = LabelSet::create_or_match(dir, plan, None).unwrap();
    let plan = opened.plan().clone();
    for shard in plan.shards() {
        let mut writer = ShardWriter::create(dir, &plan, shard).unwrap();
        for seq_ids in plan.row_groups(shard) {
            let rows: Vec<Row> = seq_ids.into_iter().map(&row_of).collect();
            writer.write_row_group(&rows).unwrap();
        }
        writer.seal_and_publish(&runtime()).unwrap();
    }
    finalize(dir, false).unwrap();
    plan
}

/// The plan, labelling only the sequences that the selection at `path` keeps of its range.
pub(crate) fn add_selection(mut plan: Plan, path: &Path) -> Plan {
    let selection = Selection::read(path, plan.sequences.n_total).unwrap();
    let range = plan.sequences.start..plan.sequences.end;
    plan.sequences.selection = Some(PlanSelection::new(selection.kept, range));
    plan.required_features.push(SELECTION_FEATURE.to_owned());
    plan
}

/// [`row`] with the sums of its documents, computed from its lists whether or not they are stored.
pub(crate) fn row_with_pieces(plan: &Plan, seq_id: u64) -> Row {
    let mut whole = plan.clone();
    whole.signals.groups = vec![Group::Scores, Group::Stats, Group::Topk];
    let whole = row(&whole, seq_id);
    let n_targets = whole.n_targets as usize;
    let ranges = piece_ranges(&whole.doc_starts, &whole.doc_indices, n_targets);
    let inputs = ScoreInputs {
        nll_t: of_list(&whole.signals.target_logprob_t, |x| -x),
        target_rank_t: whole
            .signals
            .target_rank_t
            .iter()
            .map(|&r| r.into())
            .collect(),
        entropy_t: of_list(&whole.signals.entropy_t, |x| x),
        topk_mass_t: vec![0.875; n_targets],
    };
    let piece = |(doc_index, range)| Piece {
        doc_index,
        sums: inputs.sums(range),
    };
    Row {
        pieces: ranges.map(piece).collect(),
        ..row(plan, seq_id)
    }
}

fn of_list(list: &[f32], value: fn(f64) -> f64) -> Vec<f64> {
    list.iter().map(|&x| value(x.into())).collect()
}

/// Labels a whole set with the sums of documents, including the manifest, and returns its plan.
pub(crate) fn write_set_with_pieces(dir: &Path, plan: &Plan) -> Plan {
    let opened = LabelSet::create_or_match(dir, plan, None).unwrap();
    let plan = opened.plan().clone();
    for shard in plan.shards() {
        let mut writer = ShardWriter::create_with_pieces(dir, &plan, shard).unwrap();
        for seq_ids in plan.row_groups(shard) {
            let rows = seq_ids.into_iter().map(|id| row_with_pieces(&plan, id));
            writer.write_row_group(&rows.collect::<Vec<_>>()).unwrap();
        }
        writer.seal_and_publish(&runtime()).unwrap();
    }
    finalize(dir, false).unwrap();
    plan
}

/// Sequences that run across documents: most documents have targets in two sequences.
pub(crate) fn concat_plan() -> Plan {
    let mut plan = plan();
    plan.sequences.packing = Packing::Concat;
    plan.sequences.attention = Attention::Full;
    plan.sequences.positions = Positions::Continuous;
    plan
}

/// A list of the documents below `n_documents`, as from a corpus: every third has no id.
pub(crate) fn entries(n_documents: u64) -> Vec<DocumentEntry> {
    let entry = |doc_index: u64| DocumentEntry {
        doc_index,
        id: (doc_index % 3 != 2).then(|| format!("d/{doc_index}")),
        source: format!("in-{}.jsonl", doc_index % 4).into(),
        record: doc_index / 4 + 1,
        n_tokens: 13,
        n_bytes: 20 + doc_index % 5,
    };
    (0..n_documents).map(entry).collect()
}

/// The entries as the list of a corpus that records nothing about spelling.
pub(crate) fn listed(
    entries: Vec<DocumentEntry>,
) -> ListedDocuments<impl Iterator<Item = Result<DocumentEntry, ShardsError>>> {
    ListedDocuments {
        entries: entries.into_iter().map(Ok),
        spelling: None,
    }
}

/// Writes the documents of a set, with these entries if given.
pub(crate) fn write_documents_of(
    dir: &Path,
    entries: Option<Vec<DocumentEntry>>,
) -> Result<DocumentsOutcome, ShardsError> {
    let set = LabelSet::open(dir).unwrap();
    write_documents(&set, entries.map(listed))
}

/// Labels a whole set, including the manifest, and returns its plan.
pub(crate) fn write_set(dir: &Path, plan: &Plan) -> Plan {
    write_set_selected(dir, plan, None)
}

/// Like [`write_set`], for a plan of a selection.
pub(crate) fn write_set_selected(dir: &Path, plan: &Plan, selection: Option<&Path>) -> Plan {
    let opened = LabelSet::create_or_match(dir, plan, selection).unwrap();
    let plan = opened.plan().clone();
    for shard in plan.shards() {
        write_shard(dir, &plan, shard).unwrap();
    }
    finalize(dir, false).unwrap();
    plan
}
