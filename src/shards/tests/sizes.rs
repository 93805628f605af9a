//! Sizes claimed by a file are compared with what is there before anything is allocated for them.

use crate::shards::testing::{plan, with_targets, write_set};
use crate::shards::*;
use std::path::Path;

fn verify(dir: &Path) -> VerifyReport {
    verify_files(dir, &VerifyOptions::default(), |_| {}).unwrap()
}

/// A plan of as many shards as possible.
fn vast_plan() -> Plan {
    let mut plan = plan();
    let rows = u64::from(u32::MAX);
    (
        plan.sequences.start,
        plan.sequences.end,
        plan.sequences.n_total,
    ) = (0, rows, rows);
    (plan.layout.rows_per_shard, plan.layout.rows_per_row_group) = (1, 1);
    plan.layout = plan.layout.clone().for_sequences(rows);
    plan.sequences.n_targets = rows;
    plan
}

#[test]
fn a_file_that_is_not_there_is_bad_data_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let file = SidecarFile {
        name: "positions/part-00000.parquet".to_owned(),
        bytes: 5,
        blake3: String::new(),
    };
    let error = check_size(dir.path(), &file).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("the file is missing, expected 5 bytes"),
        "{message}"
    );
    assert!(message.contains("label again"), "{message}");
    assert_eq!(
        crate::error::Classified::kind(&error),
        crate::error::Kind::BadData
    );
}

#[test]
fn a_plan_of_four_billion_shards_costs_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("plan.json"), vast_plan().to_json()).unwrap();
    // A loop over all of them would never end.
    let report = verify(dir.path());
    assert_eq!(report.n_shards, u64::from(u32::MAX));
    // Each shard, and the manifest.
    assert_eq!(report.n_findings, u64::from(u32::MAX) + 1);
    assert_eq!(report.findings.len(), VerifyOptions::default().max_findings);
    assert_eq!(report.findings[1].file, "part-00000.json");
    let set = LabelSet::open(dir.path()).unwrap();
    assert_eq!(set.finished_shards().unwrap(), []);
    let error = finalize(dir.path(), false).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("4294967295 of 4294967295 shards"),
        "{error}"
    );
    let another = LabelSet::create_or_match(
        dir.path(),
        &{
            let mut plan = vast_plan();
            (plan.sequences.start, plan.sequences.n_total) = (u64::from(u32::MAX), u64::MAX);
            plan
        },
        None,
    );
    another.unwrap_err();
}

/// Plan, sidecar and footer agree; only the bytes cannot hold that many rows.
#[test]
fn more_rows_than_the_bytes_can_hold_are_refused_by_the_footer() {
    use crate::shards::columns::{self, FileKind};
    use crate::shards::properties;
    use bytes::Bytes;
    use parquet::basic::ZstdLevel;
    let dir = tempfile::tempdir().unwrap();
    let mut small = plan();
    small.signals.groups = vec![Group::Scores];
    (small.signals.top_k, small.signals.temperatures) = (0, vec![]);
    let small = write_set(dir.path(), &with_targets(small));
    let bytes = std::fs::read(dir.path().join("scores/part-00000.parquet")).unwrap();
    let mut vast = small;
    let n_rows = 300_000_000;
    (
        vast.sequences.start,
        vast.sequences.end,
        vast.sequences.n_total,
    ) = (0, n_rows, n_rows);
    (vast.layout.rows_per_shard, vast.layout.rows_per_row_group) = (n_rows, n_rows);
    vast.layout.n_shards = 1;
    vast.validate().unwrap();
    // The footer of the small file with the counts of the vast plan.
    let claimed = {
        use parquet::file::metadata::{
            ColumnChunkMetaData, FileMetaData, ParquetMetaDataBuilder, ParquetMetaDataReader,
            ParquetMetaDataWriter, RowGroupMetaData,
        };
        let read = ParquetMetaDataReader::new()
            .parse_and_finish(&Bytes::from(bytes.clone()))
            .unwrap();
        let group = read.row_group(0);
        let rows = n_rows as i64;
        let chunks = group.columns().iter().map(|chunk| -> ColumnChunkMetaData {
            chunk
                .clone()
                .into_builder()
                .set_num_values(rows)
                .build()
                .unwrap()
        });
        let group = RowGroupMetaData::builder(group.schema_descr_ptr())
            .set_num_rows(rows)
            .set_total_byte_size(group.total_byte_size())
            .set_column_metadata(chunks.collect())
            .build()
            .unwrap();
        let columns = columns::columns(FileKind::Scores, &vast.signals, false);
        let metadata = properties::metadata(&vast, FileKind::Scores, 0);
        let properties = properties::writer_properties(&columns, metadata, ZstdLevel::default());
        let file = FileMetaData::new(
            1,
            rows,
            None,
            properties.key_value_metadata().cloned(),
            read.file_metadata().schema_descr_ptr(),
            None,
        );
        let metadata = ParquetMetaDataBuilder::new(file)
            .set_row_groups(vec![group])
            .build();
        let mut out = bytes[..bytes.len() / 2].to_vec();
        ParquetMetaDataWriter::new(&mut out, &metadata)
            .finish()
            .unwrap();
        out
    };
    let error = ShardReader::scores_from_bytes(&vast, 0, Bytes::from(claimed)).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("in row group 0 is 300000000, expected"),
        "{error}"
    );
}

#[test]
fn a_manifest_that_names_other_files_is_refused_before_they_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan()));
    let path = dir.path().join("manifest.json");
    let manifest = std::fs::read_to_string(&path).unwrap();
    for name in [
        "../../../../etc/passwd",
        "/etc/passwd",
        "positions/../plan.json",
    ] {
        let changed = manifest.replace("positions/part-00001.parquet", name);
        assert_ne!(changed, manifest);
        std::fs::write(&path, changed).unwrap();
        let set = LabelSet::open(dir.path()).unwrap();
        let error = set.finished_manifest().unwrap_err();
        assert!(
            matches!(error, ShardsError::ManifestDiffers { .. }),
            "{error}"
        );
        assert!(
            error.to_string().contains("shards[1].files[1].name is"),
            "{error}"
        );
    }
    std::fs::write(&path, &manifest).unwrap();
    LabelSet::open(dir.path())
        .unwrap()
        .finished_manifest()
        .unwrap();
    let sidecar = dir.path().join("part-00001.json");
    let text = std::fs::read_to_string(&sidecar).unwrap();
    std::fs::write(
        &sidecar,
        text.replace("scores/part-00001", "../scores/part-00001"),
    )
    .unwrap();
    let set = LabelSet::open(dir.path()).unwrap();
    let error = set.finished_manifest().unwrap_err();
    assert!(matches!(error, ShardsError::Sidecar { .. }), "{error}");
}
