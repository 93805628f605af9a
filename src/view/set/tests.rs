use super::*;
use crate::shards::{
    Attention, FORMAT_VERSION, Group, Layout, PlanCorpus, PlanSequences, PlanSignals, PlanTeacher,
    Positions, RuntimeStamp, SCORE_K, ShardWriter,
};
use crate::signals::{PositionSignals, Rounding, Scores};
use crate::tokens::{Packing, TokenFormat};
use crate::view::report::{PageInputs, write_label_page};

const N_SEQUENCES: u64 = 10;
const SEQ_LEN: u32 = 3;

/// Ten sequences of three targets in shards of four rows and row groups of two; V = 4, K = 2.
fn plan() -> Plan {
    let hash = |digit: &str| format!("blake3:{}", digit.repeat(64));
    Plan {
        format_version: FORMAT_VERSION,
        required_features: vec![],
        created_by: "tests".to_owned(),
        teacher: PlanTeacher {
            fingerprint: hash("a"),
            files: vec![],
            vocab_size: 4,
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
            fingerprint: hash("b"),
            files: vec![],
            n_tokens: 31,
            n_documents: 1,
        },
        tokenizer: None,
        sequences: PlanSequences {
            seq_len: SEQ_LEN,
            packing: Packing::Concat,
            attention: Attention::Full,
            positions: Positions::Continuous,
            sequence_bos: None,
            n_total: N_SEQUENCES,
            start: 0,
            end: N_SEQUENCES,
            n_targets: N_SEQUENCES * u64::from(SEQ_LEN),
            selection: None,
        },
        signals: PlanSignals {
            groups: vec![Group::Scores, Group::Stats, Group::Topk],
            top_k: 2,
            temperatures: vec![],
            rounding: Rounding::F32,
            mask_vocab_padding: false,
            impossible_targets: false,
            score_k: SCORE_K,
            samples: None,
        },
        layout: Layout {
            first_shard: 0,
            n_shards: 3,
            rows_per_shard: 4,
            rows_per_row_group: 2,
            order_seed: Some(5),
            zstd_level: 3,
        },
    }
}

/// A row by a teacher that gives all four ids the same probability.
fn row(seq_id: u64) -> Row {
    let (n, nats) = (SEQ_LEN as usize, 4.0_f64.ln());
    let input_ids = vec![(seq_id % 4) as u32, 0, 1, 0];
    let ranks = input_ids[1..].iter().map(|&id| id as u16).collect();
    Row {
        pieces: Vec::new(),
        seq_id,
        first_doc_index: 0,
        n_targets: SEQ_LEN,
        scores: Scores {
            salt: Some(nats),
            salt_masked: nats,
            mean_nll: nats,
            median_nll: nats,
            learnable_fraction: 1.0,
            mean_entropy: nats,
            mean_topk_mass: 1.0,
        },
        input_ids,
        doc_starts: vec![0],
        doc_indices: vec![0],
        signals: PositionSignals {
            target_logprob_t: vec![-nats as f32; n],
            target_rank_t: ranks,
            entropy_t: vec![nats as f32; n],
            logsumexp_t: vec![nats as f32; n],
            topk_ids_tk: [0, 1].repeat(n),
            topk_logprobs_tk: vec![-nats as f32; 2 * n],
            tail_mass_t: vec![0.5; n],
            ..Default::default()
        },
    }
}

/// A set with the given shards finished.
fn set_with(dir: &Path, shards: &[u32]) -> LabelSet {
    let opened = LabelSet::create_or_match(dir, &plan(), None).unwrap();
    let runtime = RuntimeStamp {
        ort_version: "1.32.0".to_owned(),
        provider: "cpu".to_owned(),
        instruction_set: "avx2".to_owned(),
        saltworks_version: "0.1.0".to_owned(),
    };
    for &shard in shards {
        let mut writer = ShardWriter::create(dir, opened.plan(), shard).unwrap();
        for seq_ids in opened.plan().row_groups(shard) {
            let rows: Vec<Row> = seq_ids.into_iter().map(row).collect();
            writer.write_row_group(&rows).unwrap();
        }
        writer.seal_and_publish(&runtime).unwrap();
    }
    LabelSet::open(dir).unwrap()
}

#[test]
fn every_sequence_is_found_by_its_id_and_every_row_by_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let set = set_with(dir.path(), &[0, 1, 2]);
    let mut in_order = Vec::new();
    for n in 0..N_SEQUENCES {
        assert_eq!(read_row(&set, RowChoice::SeqId(n)).unwrap().0, row(n));
        in_order.push(read_row(&set, RowChoice::Nth(n)).unwrap().0.seq_id);
    }
    let planned: Vec<u64> = (0..3)
        .flat_map(|shard| plan().shard_seq_ids(shard))
        .collect();
    assert_eq!(in_order, planned);
}

#[test]
fn a_row_that_is_not_there_is_refused_with_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let set = set_with(dir.path(), &[0]);
    let error = read_row(&set, RowChoice::SeqId(10)).unwrap_err();
    assert!(error.to_string().contains("0..10"), "{error}");
    let error = read_row(&set, RowChoice::Nth(99)).unwrap_err();
    assert!(error.to_string().contains("10 rows"), "{error}");
    let error = read_row(&set, RowChoice::Nth(9)).unwrap_err();
    assert!(
        matches!(error, ViewError::NotFinished { shard: 2, .. }),
        "{error}"
    );
}

#[test]
fn statistics_cover_the_finished_shards_alone_and_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let set = set_with(dir.path(), &[0, 2]);
    let mut seen = Vec::new();
    let stats = collect_stats(&set, 12, |rows| seen.push(rows.len())).unwrap();
    assert_eq!((stats.n_shards, stats.n_shards_finished), (3, 2));
    assert_eq!((stats.labels.n_rows, stats.labels.n_targets), (6, 18));
    assert_eq!(seen, [2, 2, 2]);
    assert!((stats.labels.positions[0].summary.mean - 4.0_f64.ln()).abs() < 1e-6);
    let truncation = stats.labels.truncation.unwrap();
    assert_eq!(truncation.mean_tail_mass, 0.5);
    assert!((truncation.mean_kl_nats - 2.0_f64.ln()).abs() < 1e-12);
    let names: Vec<&str> = stats
        .columns
        .iter()
        .map(|cost| cost.column.column.as_str())
        .collect();
    assert!(
        names.contains(&"score_salt") && names.contains(&"topk_logprobs"),
        "{names:?}"
    );
    let sum: f64 = stats.columns.iter().map(|cost| cost.bytes_per_target).sum();
    assert!((sum - stats.bytes_per_target).abs() < 1e-9);
}

#[test]
fn a_set_without_a_finished_shard_has_no_statistics() {
    let dir = tempfile::tempdir().unwrap();
    let set = set_with(dir.path(), &[]);
    let error = collect_stats(&set, 12, |_| {}).unwrap_err();
    assert!(
        matches!(error, ViewError::NothingFinished { .. }),
        "{error}"
    );
}

#[test]
fn the_json_is_flat_and_names_every_column() {
    let dir = tempfile::tempdir().unwrap();
    let set = set_with(dir.path(), &[0, 1, 2]);
    let json = serde_json::to_value(collect_stats(&set, 12, |_| {}).unwrap()).unwrap();
    assert_eq!(json["n_rows"], 10);
    assert_eq!(json["n_shards_finished"], 3);
    assert_eq!(json["columns"][0]["file"], "scores");
    assert_eq!(json["columns"][0]["column"], "seq_id");
    assert!(json["columns"][0]["bytes_per_target"].is_f64());
    assert_eq!(json["truncation"]["mean_tail_mass"], 0.5);
}

#[test]
fn the_page_of_a_set_that_is_not_finished_says_so_before_any_number() {
    let dir = tempfile::tempdir().unwrap();
    let set = set_with(dir.path(), &[0, 2]);
    let output = dir.path().join("page.html");
    let inputs = PageInputs::default();
    let written = write_label_page(&set, Some(&output), &inputs, |_| {}).unwrap();
    assert_eq!(written.warnings.len(), 1);
    let page = std::fs::read_to_string(&written.page).unwrap();
    let warning = page.find("2 of 3 shards are finished").unwrap();
    assert!(warning < page.find("class=\"tiles\"").unwrap());
    // Without a tokenizer, tokens are shown as ids.
    assert!(page.contains("&lt;1&gt;"), "{page}");

    let set = set_with(dir.path(), &[1]);
    let written = write_label_page(&set, None, &inputs, |_| {}).unwrap();
    assert_eq!(written.page, dir.path().join("report.html"));
    assert_eq!(written.warnings, Vec::<String>::new());
}
