//! Labels with scores alone, written by the library without a teacher.

use saltworks::shards::{
    Attention, DEFAULT_SHARD_BYTES, FORMAT_VERSION, Group, LabelSet, Layout, Plan, PlanCorpus,
    PlanSequences, PlanSignals, PlanTeacher, Positions, Row, RuntimeStamp, SCORE_K, ShardWriter,
    ShardsError, finalize,
};
use saltworks::signals::Rounding;
use saltworks::tokens::{Packing, TokenFormat};
use std::path::Path;

/// A plan for sequences cut from one stream, in a seeded order; `row_targets` is the mean of a row.
pub(crate) fn scores_plan(
    created_by: &str,
    seq_len: u32,
    n_sequences: u64,
    n_targets: u64,
    row_targets: f64,
) -> Plan {
    let signals = PlanSignals {
        groups: vec![Group::Scores],
        top_k: 0,
        temperatures: vec![],
        rounding: Rounding::M5,
        mask_vocab_padding: false,
        impossible_targets: false,
        score_k: SCORE_K,
        samples: None,
    };
    let layout = Layout::choose(row_targets, &signals, DEFAULT_SHARD_BYTES);
    Plan {
        format_version: FORMAT_VERSION,
        required_features: vec![],
        created_by: created_by.into(),
        teacher: PlanTeacher {
            fingerprint: "none".into(),
            files: vec![],
            vocab_size: 32_000,
            logits_dtype: "float32".into(),
            logits_output: "logits".into(),
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
            fingerprint: "none".into(),
            files: vec![],
            n_tokens: n_targets + 1,
            n_documents: n_sequences / 4 + 1,
        },
        tokenizer: None,
        sequences: PlanSequences {
            seq_len,
            packing: Packing::Concat,
            attention: Attention::Full,
            positions: Positions::Continuous,
            sequence_bos: None,
            n_total: n_sequences,
            start: 0,
            end: n_sequences,
            n_targets,
            selection: None,
        },
        signals,
        layout: Layout {
            order_seed: Some(0),
            ..layout
        },
    }
}

/// Writes the labels of `plan` to `dir`, each shard by the writer that `create` opens; how many there are.
pub(crate) fn write_scores(
    dir: &Path,
    plan: &Plan,
    create: impl Fn(&Path, &Plan, u32) -> Result<ShardWriter, ShardsError>,
    row: impl Fn(u64) -> Row,
) -> u32 {
    let opened = LabelSet::create_or_match(dir, plan, None).expect("the plan is good");
    let plan = opened.plan().clone();
    let runtime = RuntimeStamp {
        ort_version: "none".into(),
        provider: "none".into(),
        instruction_set: "none".into(),
        saltworks_version: env!("CARGO_PKG_VERSION").into(),
    };
    for shard in plan.shards() {
        let mut writer = create(dir, &plan, shard).expect("it is created");
        for seq_ids in plan.row_groups(shard) {
            let rows: Vec<Row> = seq_ids.into_iter().map(&row).collect();
            writer.write_row_group(&rows).expect("the rows are good");
        }
        writer.seal_and_publish(&runtime).expect("it is published");
    }
    finalize(dir, false).expect("it is whole");
    plan.n_shards()
}
