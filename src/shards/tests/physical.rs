//! The physical layout of both files, stated as data.

use crate::shards::testing::{plan_with_samples, with_targets, write_set, write_set_with_pieces};
use parquet::basic::{Compression, Encoding, LogicalType, Type};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use std::fs::File;
use std::path::Path;

const SCORES: &str = "
seq_id INT64 u64 PLAIN stats
n_targets INT32 u32 PLAIN stats
first_doc_index INT64 u64 PLAIN stats
score_salt DOUBLE PLAIN stats
score_salt_masked DOUBLE PLAIN stats
score_mean_nll DOUBLE PLAIN stats
score_median_nll DOUBLE PLAIN stats
score_learnable_fraction DOUBLE PLAIN stats
score_mean_entropy DOUBLE PLAIN stats
score_mean_topk_mass DOUBLE PLAIN stats
";

const POSITIONS: &str = "
seq_id INT64 u64 PLAIN stats
input_ids.list.element INT32 u32 BYTE_STREAM_SPLIT
doc_starts.list.element INT32 u32 BYTE_STREAM_SPLIT
doc_indices.list.element INT64 u64 BYTE_STREAM_SPLIT
target_logprob.list.element FLOAT BYTE_STREAM_SPLIT
target_rank.list.element INT32 u16 BYTE_STREAM_SPLIT
entropy.list.element FLOAT BYTE_STREAM_SPLIT
logsumexp.list.element FLOAT BYTE_STREAM_SPLIT
topk_ids.list.element INT32 u32 BYTE_STREAM_SPLIT
topk_logprobs.list.element FLOAT BYTE_STREAM_SPLIT
tail_mass.list.element FLOAT BYTE_STREAM_SPLIT
log_partition_tau_2.list.element FLOAT BYTE_STREAM_SPLIT
log_partition_tau_0.5.list.element FLOAT BYTE_STREAM_SPLIT
sampled_ids.list.element INT32 u32 BYTE_STREAM_SPLIT
sampled_counts.list.element INT32 u16 BYTE_STREAM_SPLIT
sample_offsets.list.element INT32 u32 BYTE_STREAM_SPLIT
";

const PIECES: &str = "piece_doc_indices.list.element INT64 u64 BYTE_STREAM_SPLIT
piece_n_targets.list.element INT32 u32 BYTE_STREAM_SPLIT
piece_n_learnable.list.element INT32 u32 BYTE_STREAM_SPLIT
piece_nll_sum.list.element DOUBLE BYTE_STREAM_SPLIT
piece_nll_learnable_sum.list.element DOUBLE BYTE_STREAM_SPLIT
piece_entropy_sum.list.element DOUBLE BYTE_STREAM_SPLIT
piece_topk_mass_sum.list.element DOUBLE BYTE_STREAM_SPLIT
";

fn metadata(path: &Path) -> ParquetMetaData {
    let file = File::open(path).unwrap();
    SerializedFileReader::new(file).unwrap().metadata().clone()
}

/// One line per column, as in the tables above.
fn describe(metadata: &ParquetMetaData, group: usize) -> String {
    let mut lines = vec![String::new()];
    for chunk in metadata.row_group(group).columns() {
        assert!(matches!(chunk.compression(), Compression::ZSTD(_)));
        assert!(chunk.dictionary_page_offset().is_none());
        assert!(chunk.offset_index_offset().is_some());
        let logical = match chunk.column_descr().logical_type_ref() {
            Some(LogicalType::Integer(int)) if !int.is_signed => format!(" u{}", int.bit_width),
            _ => String::new(),
        };
        // Levels of lists are RLE; the values' encoding is the other one.
        let encodings: Vec<Encoding> = chunk.encodings().filter(|&e| e != Encoding::RLE).collect();
        let [encoding] = encodings[..] else {
            panic!("{encodings:?}")
        };
        let stats = if chunk.statistics().is_some() {
            " stats"
        } else {
            ""
        };
        let name = chunk.column_path().string();
        let physical: Type = chunk.column_type();
        lines.push(format!("{name} {physical}{logical} {encoding}{stats}"));
    }
    lines.join("\n") + "\n"
}

#[test]
fn both_files_are_laid_out_as_stated() {
    let dir = tempfile::tempdir().unwrap();
    let plan = write_set(dir.path(), &with_targets(plan_with_samples()));
    for (kind, expected) in [("scores", SCORES), ("positions", POSITIONS)] {
        for (shard, rows) in [(0, vec![8, 8, 4]), (2, vec![8, 2])] {
            let path = dir.path().join(format!("{kind}/part-{shard:05}.parquet"));
            let metadata = metadata(&path);
            let groups = metadata.row_groups().iter();
            assert_eq!(groups.map(|g| g.num_rows()).collect::<Vec<_>>(), rows);
            for group in 0..rows.len() {
                assert_eq!(describe(&metadata, group), expected);
            }
            let file = metadata.file_metadata();
            assert_eq!(file.created_by(), Some("saltworks-shard version 1.0.0"));
            let entries = file.key_value_metadata().unwrap();
            let value = |key: &str| {
                let entry = entries.iter().find(|e| e.key == format!("saltworks.{key}"));
                entry.and_then(|e| e.value.clone()).unwrap()
            };
            assert_eq!(entries.len(), 24);
            assert_eq!(value("required_features"), "[\"samples\"]");
            assert_eq!(value("samples_n_draws"), "9");
            assert_eq!(value("samples_tau"), "1.0");
            assert_eq!(value("samples_seed"), "3");
            assert_eq!(value("plan_fingerprint"), plan.fingerprint());
            assert_eq!(value("shard"), shard.to_string());
            assert_eq!(value("temperatures"), "[2.0,0.5]");
            assert_eq!(value("packing"), "document");
            assert_eq!(value("sequence_bos"), "null");
            assert_eq!(value("order_seed"), "7");
        }
    }
}

#[test]
fn sums_of_documents_come_after_the_scores() {
    let dir = tempfile::tempdir().unwrap();
    write_set_with_pieces(dir.path(), &with_targets(plan_with_samples()));
    let metadata = metadata(&dir.path().join("scores/part-00000.parquet"));
    assert_eq!(describe(&metadata, 0), format!("{SCORES}{PIECES}"));
}

#[test]
fn the_only_column_that_may_be_null_is_the_salt_score() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan_with_samples()));
    for kind in ["scores", "positions"] {
        let metadata = metadata(&dir.path().join(format!("{kind}/part-00000.parquet")));
        for column in metadata.file_metadata().schema_descr().columns() {
            let is_list = column.max_rep_level() > 0;
            let is_salt = column.name() == "score_salt";
            // A list that may be empty takes one definition level; a null would take one more.
            assert_eq!(
                column.max_def_level(),
                i16::from(is_list || is_salt),
                "{}",
                column.name()
            );
        }
    }
}
