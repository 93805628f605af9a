use super::format::scores_of;
use super::write::write_with_runs;
use super::*;
use crate::shards::testing::{
    concat_plan, entries, listed, plan, row_with_pieces, with_targets, write_documents_of,
    write_set, write_set_with_pieces,
};
use crate::shards::{Group, LabelSet, Plan, ShardsError, VerifyOptions, verify_files};
use crate::signals::TargetSums;
use crate::storage::Partial;
use crate::tokens::DocumentEntry;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Documents of the corpus in the test plans.
const N_DOCUMENTS: u64 = 90;

/// The sums of each document of the plan, over its sequences in order.
fn sums_by_definition(plan: &Plan) -> BTreeMap<u64, TargetSums> {
    let mut sums: BTreeMap<u64, TargetSums> = BTreeMap::new();
    for seq_id in plan.sequences.start..plan.sequences.end {
        for piece in row_with_pieces(plan, seq_id).pieces {
            sums.entry(piece.doc_index).or_default().add(&piece.sums);
        }
    }
    sums
}

fn rows(dir: &Path) -> Result<Vec<DocumentRow>, ShardsError> {
    open_documents(&LabelSet::open(dir)?)?.1.collect()
}

fn written(outcome: DocumentsOutcome) -> DocumentsIndex {
    match outcome {
        DocumentsOutcome::Written(index) => *index,
        other => panic!("{other:?}"),
    }
}

fn scores_alone(mut plan: Plan) -> Plan {
    plan.signals.groups = vec![Group::Scores];
    plan.signals.top_k = 0;
    plan.signals.temperatures = vec![];
    plan
}

#[test]
fn sums_are_those_of_the_pieces_in_the_order_of_the_text_bit_for_bit() {
    let seeds = [None, Some(7), Some(8)];
    for plan in [plan(), concat_plan(), scores_alone(concat_plan())] {
        for (order_seed, rows_per_shard) in seeds.into_iter().zip([50, 20, 9]) {
            let mut plan = plan.clone();
            plan.layout.order_seed = order_seed;
            plan.layout.rows_per_shard = rows_per_shard;
            let plan = with_targets(plan);
            let dir = tempfile::tempdir().unwrap();
            write_set_with_pieces(dir.path(), &plan);
            let index = written(write_documents_of(dir.path(), None).unwrap());
            let got: Vec<_> = rows(dir.path()).unwrap();
            let expected = sums_by_definition(&plan);
            assert_eq!(index.n_documents, expected.len() as u64);
            assert_eq!(index.n_targets, plan.sequences.n_targets);
            assert_eq!(got.len(), expected.len());
            for (row, (doc_index, sums)) in got.iter().zip(&expected) {
                assert_eq!((row.doc_index, row.n_targets), (*doc_index, sums.n_targets));
                assert_eq!(row.scores, scores_of(sums, None));
            }
        }
    }
}

#[test]
fn files_are_the_same_however_little_is_sorted_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    write_set_with_pieces(dir.path(), &with_targets(concat_plan()));
    let set = LabelSet::open(dir.path()).unwrap();
    let read = || fs::read(dir.path().join("documents/part-00000.parquet")).unwrap();
    written(write_documents_of(dir.path(), Some(entries(N_DOCUMENTS))).unwrap());
    let expected = read();
    for run_rows in [1, 7] {
        fs::remove_dir_all(dir.path().join("documents")).unwrap();
        write_with_runs(&set, Some(listed(entries(N_DOCUMENTS))), run_rows).unwrap();
        assert!(read() == expected, "{run_rows} rows a run");
    }
}

#[test]
fn what_the_corpus_knows_of_a_document_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let plan = with_targets(plan());
    write_set_with_pieces(dir.path(), &plan);
    // Document 20 has all its targets, document 21 one token more than its sequences have.
    let mut known = entries(N_DOCUMENTS);
    let sums = sums_by_definition(&plan);
    known[20].n_tokens = sums[&20].n_targets + 1;
    known[21].n_tokens = sums[&21].n_targets + 2;
    let index = written(write_documents_of(dir.path(), Some(known.clone())).unwrap());
    assert!(index.has_sources && index.n_whole >= 1);
    let rows = rows(dir.path()).unwrap();
    for row in &rows {
        let entry = &known[row.doc_index as usize];
        assert_eq!(row.id, entry.id);
        assert_eq!(row.source.as_deref(), Some(&*entry.source));
        assert_eq!(row.record, Some(entry.record));
        assert_eq!(row.n_tokens, Some(entry.n_tokens));
        assert_eq!(row.n_bytes, Some(entry.n_bytes));
    }
    let of = |doc_index: u64| rows.iter().find(|row| row.doc_index == doc_index).unwrap();
    let nats_per_byte = sums[&20].nll / known[20].n_bytes as f64;
    let bits = of(20).score(DocumentScore::BitsPerByte).unwrap();
    assert!((bits - nats_per_byte / 2f64.ln()).abs() < 1e-12);
    assert_eq!(of(21).score(DocumentScore::BitsPerByte), None);
    let whole = rows
        .iter()
        .filter(|row| row.score(DocumentScore::BitsPerByte).is_some());
    let (n_bytes, nll) = whole.fold((0, 0.0), |(n_bytes, nll), row| {
        let nats = row.score(DocumentScore::NllSum).unwrap();
        (n_bytes + row.n_bytes.unwrap(), nll + nats)
    });
    assert_eq!(index.n_bytes_whole, n_bytes);
    let bits = nll / 2f64.ln() / n_bytes as f64;
    assert!((index.bits_per_byte.unwrap() - bits).abs() < 1e-12);
    assert!(of(21).score(DocumentScore::MeanNll).is_some());
}

#[test]
fn documents_that_are_there_stay_and_better_known_ones_take_their_place() {
    let dir = tempfile::tempdir().unwrap();
    write_set_with_pieces(dir.path(), &with_targets(plan()));
    let alone = written(write_documents_of(dir.path(), None).unwrap());
    assert!(!alone.has_sources);
    let known = written(write_documents_of(dir.path(), Some(entries(N_DOCUMENTS))).unwrap());
    assert!(known.has_sources);
    // Known sources are kept, and a damaged file is rewritten.
    assert_eq!(
        written(write_documents_of(dir.path(), None).unwrap()),
        known
    );
    let path = dir.path().join("documents/part-00000.parquet");
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    write_documents_of(dir.path(), Some(entries(N_DOCUMENTS))).unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn a_list_of_another_corpus_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    write_set_with_pieces(dir.path(), &with_targets(plan()));
    let short_tokens = |mut entries: Vec<DocumentEntry>| {
        entries[30].n_tokens = 1;
        entries
    };
    for (entries, what) in [
        (entries(40), "document 40, which the corpus does not list"),
        (short_tokens(entries(N_DOCUMENTS)), "document 30 has"),
    ] {
        let error = write_documents_of(dir.path(), Some(entries)).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        assert!(!dir.path().join("documents/documents.json").exists());
    }
}

#[test]
fn shards_of_earlier_versions_have_no_sums_and_so_no_documents() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan()));
    let outcome = write_documents_of(dir.path(), None).unwrap();
    assert_eq!(outcome, DocumentsOutcome::WithoutSums { shard: 0 });
    assert!(!dir.path().join("documents").exists());
    let error = rows(dir.path()).unwrap_err();
    assert!(matches!(error, ShardsError::NoDocuments { .. }), "{error}");
}

#[test]
fn damage_and_other_shards_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    write_set_with_pieces(dir.path(), &with_targets(plan()));
    write_documents_of(dir.path(), Some(entries(N_DOCUMENTS))).unwrap();
    let findings = || {
        let report = verify_files(dir.path(), &VerifyOptions::default(), |_| {}).unwrap();
        report.findings
    };
    assert_eq!(findings(), []);
    for name in ["part-00000.parquet", "documents.json"] {
        let path = dir.path().join("documents").join(name);
        let bytes = fs::read(&path).unwrap();
        let mut damaged = bytes.clone();
        let at = bytes.len() / 2;
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert!(rows(dir.path()).is_err(), "{name}");
        assert_eq!(findings().len(), 1, "{name}");
        fs::write(&path, &bytes).unwrap();
    }
    fs::write(dir.path().join("documents/part-00001.parquet"), b"PAR1").unwrap();
    assert!(findings()[0].message.contains("not part of the set"));
    fs::remove_file(dir.path().join("documents/part-00001.parquet")).unwrap();
    // As if the shards had been made again.
    let manifest = dir.path().join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"cpu\"", "\"cpx\"")).unwrap();
    let error = rows(dir.path()).unwrap_err();
    assert!(matches!(error, ShardsError::NoDocuments { .. }), "{error}");
}

fn head(n_documents: u64, n_kept: u64) -> DocumentSelectionHead {
    DocumentSelectionHead {
        version: DOCUMENT_SELECTION_VERSION,
        corpus_fingerprint: "blake3:cc".to_owned(),
        labels_fingerprint: "blake3:11".to_owned(),
        minus_fingerprint: None,
        policy: serde_json::json!({"order": "top"}),
        n_documents,
        n_kept,
        n_tokens: 9,
        n_tokens_kept: 3,
    }
}

fn selected(doc_index: u64) -> SelectedDocument {
    SelectedDocument {
        score: (doc_index != 4).then_some(doc_index as f64),
        rank: (doc_index != 4).then_some(9 - doc_index),
        kept: doc_index == 9,
        document: DocumentRow {
            doc_index,
            id: (doc_index == 4).then(|| "four".to_owned()),
            source: Some("a.jsonl".into()),
            record: Some(doc_index + 1),
            n_tokens: Some(12),
            n_targets: 11,
            n_bytes: Some(40),
            scores: [
                Some(1.0),
                None,
                Some(0.25),
                Some(0.5),
                None,
                Some(2.0),
                Some(0.75),
            ],
        },
    }
}

fn write_selection(path: &Path, head: &DocumentSelectionHead, rows: &[SelectedDocument]) {
    let partial = Partial::create(path).unwrap();
    let mut writer = DocumentSelectionWriter::create(path, partial, head).unwrap();
    rows.iter()
        .for_each(|row| writer.push(row.clone()).unwrap());
    writer.publish().unwrap();
}

fn read_selection(path: &Path) -> Result<Vec<SelectedDocument>, ShardsError> {
    DocumentSelection::open(path)?.collect()
}

#[test]
fn a_selection_reads_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.parquet");
    let rows: Vec<_> = [2, 4, 9].map(selected).into();
    write_selection(&path, &head(3, 1), &rows);
    let selection = DocumentSelection::open(&path).unwrap();
    assert_eq!(selection.head, head(3, 1));
    selection.check_corpus("blake3:cc").unwrap();
    assert!(matches!(
        selection.check_corpus("blake3:dd").unwrap_err(),
        ShardsError::SelectionOfOtherCorpus { .. }
    ));
    assert_eq!(read_selection(&path).unwrap(), rows);
}

/// Made by `SALTWORKS_BLESS=1 cargo test --lib shards::documents` with parquet 60.1 and zstd 1.5.7.
#[test]
fn the_golden_selection_reads_the_same_and_is_written_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let fresh = dir.path().join("s.parquet");
    let rows: Vec<_> = [2, 4, 9].map(selected).into();
    write_selection(&fresh, &head(3, 1), &rows);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/documents-v1")
        .join("selection.parquet");
    if std::env::var_os("SALTWORKS_BLESS").is_some_and(|value| value == "1") {
        fs::create_dir_all(golden.parent().unwrap()).unwrap();
        fs::copy(&fresh, &golden).unwrap();
    }
    assert_eq!(read_selection(&golden).unwrap(), rows);
    assert!(fs::read(&fresh).unwrap() == fs::read(&golden).unwrap());
}

#[test]
fn a_changed_byte_of_a_selection_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.parquet");
    let rows: Vec<_> = [2, 4, 9].map(selected).into();
    write_selection(&path, &head(3, 1), &rows);
    let bytes = fs::read(&path).unwrap();
    for at in (0..bytes.len()).step_by(5) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        assert!(read_selection(&path).is_err(), "byte {at}");
    }
    for length in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(read_selection(&path).is_err(), "cut to {length}");
    }
}

#[test]
fn a_selection_that_is_not_in_order_or_not_counted_right_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.parquet");
    for (head, order, what) in [
        (head(3, 1), [4, 2, 9], "out of order"),
        (head(2, 1), [2, 4, 9], "lists 3 documents"),
        (head(3, 2), [2, 4, 9], "keeps 1 documents"),
    ] {
        write_selection(&path, &head, &order.map(selected));
        let error = read_selection(&path).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn a_selection_of_sequences_is_told_from_one_of_documents() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.parquet");
    write_selection(&path, &head(1, 1), &[selected(9)]);
    let error = crate::shards::Selection::read(&path, 100).unwrap_err();
    assert!(error.to_string().contains("selects documents"), "{error}");
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/shard-v1/labels/scores/part-00000.parquet");
    let error = DocumentSelection::open(&golden).err().unwrap();
    assert!(
        error.to_string().contains("not a selection of documents"),
        "{error}"
    );
}
