//! Sets of format version 1, committed under `fixtures/shard-v1`: `labels`; `labels-with-samples`, with the group that
//! was added later without changing the others; and `labels-with-documents`, with the sums of documents, added later
//! still. They were made by `SALTWORKS_BLESS=1 cargo test --lib shards::tests::golden` with parquet 60.1 and zstd
//! 1.5.7, from the rows of `testing::row`. The rows must read the same as long as version 1 is read; the bytes may
//! change only with the encoder's libraries, which is then noted in the changelog.

use crate::shards::testing::{
    add_samples, concat_plan, entries, plan, row_with_pieces, shard_rows, with_targets,
    write_documents_of, write_set, write_set_with_pieces,
};
use crate::shards::*;
use std::path::{Path, PathBuf};

fn golden_dir(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/shard-v1")
        .join(name)
}

fn is_blessing() -> bool {
    std::env::var_os("SALTWORKS_BLESS").is_some_and(|value| value == "1")
}

/// Nine sequences in two shards.
fn golden_plan() -> Plan {
    let mut plan = plan();
    plan.sequences.end = 29;
    plan.layout.rows_per_shard = 6;
    plan.layout.rows_per_row_group = 4;
    with_targets(plan)
}

/// As in the sidecars in `labels` since they were made.
const FINGERPRINT_BEFORE_SAMPLES: &str =
    "blake3:e94d4729e142415025769f8e48433b894004275eb0840f4d95239ed1c55fc6ee";

const FILES: [&str; 8] = [
    "plan.json",
    "manifest.json",
    "part-00000.json",
    "part-00001.json",
    "scores/part-00000.parquet",
    "scores/part-00001.parquet",
    "positions/part-00000.parquet",
    "positions/part-00001.parquet",
];

#[test]
fn a_golden_set_reads_as_the_rows_that_made_it_and_is_written_to_the_same_bytes() {
    assert_golden("labels", &golden_plan());
    assert_golden("labels-with-samples", &add_samples(golden_plan()));
}

#[test]
fn golden_documents_are_those_of_the_rows_and_are_written_to_the_same_bytes() {
    let mut plan = concat_plan();
    plan.sequences.end = 29;
    plan.layout.rows_per_shard = 6;
    plan.layout.rows_per_row_group = 4;
    let plan = with_targets(plan);
    let fresh = tempfile::tempdir().unwrap();
    let plan = write_set_with_pieces(fresh.path(), &plan);
    write_documents_of(fresh.path(), Some(entries(60))).unwrap();
    let documents = ["documents/documents.json", "documents/part-00000.parquet"];
    let files: Vec<&str> = FILES.into_iter().chain(documents).collect();
    assert_same_files("labels-with-documents", fresh.path(), &files);
    let golden = golden_dir("labels-with-documents");
    for shard in plan.shards() {
        let rows = ShardReader::open(&golden, &plan, shard).unwrap();
        let rows: Vec<Row> = rows.flat_map(Result::unwrap).collect();
        let expected = plan.shard_seq_ids(shard);
        let expected: Vec<Row> = expected.map(|id| row_with_pieces(&plan, id)).collect();
        assert_eq!(rows, expected);
    }
    let (index, rows) = open_documents(&LabelSet::open(&golden).unwrap()).unwrap();
    assert_eq!(rows.map(Result::unwrap).count() as u64, index.n_documents);
}

/// Bytes published before there were samples; a plan without samples is unchanged.
#[test]
fn a_plan_without_samples_does_not_speak_of_them() {
    let text = String::from_utf8(golden_plan().to_json()).unwrap();
    assert!(!text.contains("samples"), "{text}");
    assert_eq!(golden_plan().fingerprint(), FINGERPRINT_BEFORE_SAMPLES);
}

fn assert_golden(name: &str, plan: &Plan) {
    let fresh = tempfile::tempdir().unwrap();
    let plan = write_set(fresh.path(), plan);
    let golden = golden_dir(name);
    assert_same_files(name, fresh.path(), &FILES);
    let set = LabelSet::open(&golden).unwrap();
    assert_eq!(set.segments, std::slice::from_ref(&plan));
    for shard in plan.shards() {
        let rows: Result<Vec<_>, _> = ShardReader::open(&golden, &plan, shard).unwrap().collect();
        assert_eq!(rows.unwrap(), shard_rows(&plan, shard));
    }
}

/// Checks that `fresh` has the same files as the golden set `name`, and that the set is sound.
fn assert_same_files(name: &str, fresh: &Path, files: &[&str]) {
    let golden = golden_dir(name);
    if is_blessing() {
        for name in files {
            let to = golden.join(name);
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            std::fs::copy(fresh.join(name), to).unwrap();
        }
    }
    let report = verify_files(&golden, &VerifyOptions::default(), |_| {}).unwrap();
    assert_eq!(report.findings, []);
    for name in files {
        let read = |dir: &Path| std::fs::read(dir.join(name)).unwrap();
        assert!(
            read(fresh) == read(&golden),
            "{name} is written to other bytes than in version 1; if that is meant, see this file's head"
        );
    }
}
