//! Selections as written by other programs.

use crate::shards::testing::{add_selection, plan, with_targets, write_set, write_set_selected};
use crate::shards::*;
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array,
    Int64Array, RecordBatch, StringArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::path::Path;
use std::sync::Arc;

type Column = (&'static str, ArrayRef);

/// A selection of every third sequence, as `select` writes it except for its checksum.
pub(super) fn select(set: &LabelSet, path: &Path) {
    let seq_ids: Vec<u64> = set.segments.iter().flat_map(Plan::seq_ids).collect();
    let kept: Vec<bool> = seq_ids.iter().map(|id| id % 3 == 0).collect();
    write(
        path,
        &[
            ("seq_id", Arc::new(UInt64Array::from(seq_ids))),
            ("kept", Arc::new(BooleanArray::from(kept))),
        ],
        &[],
    );
}

fn write(path: &Path, columns: &[Column], metadata: &[(&str, &str)]) {
    let columns = columns
        .iter()
        .map(|(name, array)| (*name, array.clone(), true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let metadata = metadata
        .iter()
        .map(|(key, value)| KeyValue::new((*key).to_owned(), (*value).to_owned()));
    let properties = WriterProperties::builder()
        .set_key_value_metadata(Some(metadata.collect()))
        .build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn read(columns: &[Column]) -> Result<Selection, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("selection.parquet");
    write(&path, columns, &[]);
    Selection::read(&path, 100).map_err(|error| error.to_string())
}

fn ids(array: impl arrow_array::Array + 'static) -> Column {
    ("seq_id", Arc::new(array))
}

#[test]
fn any_integer_is_a_seq_id_and_without_kept_all_rows_are() {
    let of_every_type: [Column; 8] = [
        ids(Int8Array::from(vec![7, 3])),
        ids(Int16Array::from(vec![7, 3])),
        ids(Int32Array::from(vec![7, 3])),
        ids(Int64Array::from(vec![7, 3])),
        ids(UInt8Array::from(vec![7, 3])),
        ids(UInt16Array::from(vec![7, 3])),
        ids(UInt32Array::from(vec![7, 3])),
        ids(UInt64Array::from(vec![7, 3])),
    ];
    for column in of_every_type {
        let all = read(std::slice::from_ref(&column)).unwrap();
        assert_eq!(all.kept.iter().collect::<Vec<_>>(), [3, 7]);
        let kept: ArrayRef = Arc::new(BooleanArray::from(vec![true, false]));
        let extra: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let one = read(&[("__index_level_0__", extra), ("kept", kept), column]).unwrap();
        assert_eq!((one.kept.len(), one.listed.len()), (1, 2));
        assert!(one.kept.contains(7));
    }
}

#[test]
fn an_invalid_sequence_number_is_refused_by_name_and_row() {
    for (columns, words) in [
        (
            vec![ids(Int64Array::from(vec![3, -1]))],
            "seq_id is -1 in row 1, below 0",
        ),
        (
            vec![ids(Int32Array::from(vec![Some(3), None]))],
            "seq_id is null in row 1",
        ),
        (
            vec![ids(Int64Array::from(vec![3, 4, 3]))],
            "seq_id 3 more than once",
        ),
        (
            vec![ids(Int64Array::from(vec![100]))],
            "seq_id 100, but there are 100 sequences",
        ),
        (
            vec![ids(Float64Array::from(vec![3.0]))],
            "the column seq_id is Float64, expected integers",
        ),
        (
            vec![ids(StringArray::from(vec!["3"]))],
            "the column seq_id is Utf8",
        ),
        (
            vec![("id", ids(Int64Array::from(vec![3])).1)],
            "seq_id is missing; there are only id",
        ),
        (
            vec![
                ids(Int64Array::from(vec![3])),
                ("kept", Arc::new(Int64Array::from(vec![1]))),
            ],
            "the column kept is Int64, expected Boolean",
        ),
        (
            vec![
                ids(Int64Array::from(vec![3])),
                ("kept", Arc::new(BooleanArray::from(vec![None]))),
            ],
            "kept is null in row 0",
        ),
        (
            vec![
                ids(Int64Array::from(vec![3])),
                ("Keep", Arc::new(BooleanArray::from(vec![true]))),
            ],
            "a Boolean column Keep (rename it to kept",
        ),
        (
            vec![
                ids(Int64Array::from(vec![3])),
                ids(Int64Array::from(vec![4])),
            ],
            "there are 2 columns seq_id",
        ),
    ] {
        let message = read(&columns).unwrap_err();
        assert!(message.contains(words), "{message}");
        assert!(message.contains("selection.parquet"), "{message}");
    }
}

/// Programs that carry metadata along say of an edited file what it was before.
#[test]
fn a_selection_that_was_edited_under_its_metadata_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("selection.parquet");
    let columns = [
        ids(Int64Array::from(vec![1, 2])),
        ("kept", Arc::new(BooleanArray::from(vec![true, false]))),
    ];
    let read = |metadata: &[(&str, &str)]| {
        write(&path, &columns, metadata);
        Selection::read(&path, 100)
    };
    let metadata = [("saltworks.n_rows", "2"), ("saltworks.n_kept", "1")];
    assert_eq!(read(&metadata).unwrap().kept.len(), 1);
    for (key, value) in [("saltworks.n_rows", "3"), ("saltworks.n_kept", "2")] {
        let message = read(&[(key, value)]).unwrap_err().to_string();
        assert!(message.contains("it was edited after"), "{message}");
        assert!(message.contains(key), "{message}");
    }
}

#[test]
fn scores_may_be_of_either_width() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("selection.parquet");
    write(
        &path,
        &[
            ids(Int64Array::from(vec![1, 2])),
            ("score", Arc::new(Float32Array::from(vec![Some(0.5), None]))),
        ],
        &[],
    );
    let mut scores = Vec::new();
    let head = read_selection_rows(&path, |row| {
        scores.push((row.seq_id, row.score));
        Ok(())
    });
    assert!(head.unwrap().has_scores);
    assert_eq!(scores, [(1, Some(0.5)), (2, None)]);
}

#[test]
fn a_part_of_labels_is_no_selection_of_all_that_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    write_set(dir.path(), &with_targets(plan()));
    for kind in ["scores", "positions"] {
        let part = dir.path().join(kind).join("part-00000.parquet");
        let message = Selection::read(&part, 80).unwrap_err().to_string();
        assert!(
            message.contains(&format!("it is a file of labels ({kind})")),
            "{message}"
        );
    }
}

/// Other programs copy metadata when they rewrite a file, including the checksum of the original.
#[test]
fn the_checksum_of_the_file_that_another_was_made_from_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("selection.parquet");
    let checksum = "7".repeat(64);
    write(
        &path,
        &[ids(Int64Array::from(vec![1]))],
        &[
            ("saltworks.file", "selection"),
            ("saltworks.blake3", &checksum),
        ],
    );
    assert_eq!(Selection::read(&path, 10).unwrap().kept.len(), 1);
}

#[test]
fn a_flipped_byte_of_the_copy_beside_labels_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (labels, selected) = (dir.path().join("labels"), dir.path().join("selected"));
    write_set(&labels, &with_targets(plan()));
    let path = dir.path().join("kept.parquet");
    select(&LabelSet::open(&labels).unwrap(), &path);
    let plan = with_targets(add_selection(plan(), &path));
    write_set_selected(&selected, &plan, Some(&path));
    let copy = selected.join("selection.parquet");
    let whole = std::fs::read(&copy).unwrap();
    for at in (0..whole.len()).step_by(11) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&copy, bytes).unwrap();
        let report = verify_files(&selected, &VerifyOptions::default(), |_| {});
        assert!(
            report.map_or(true, |report| !report.is_clean()),
            "byte {at}"
        );
        let manifest = LabelSet::open(&selected).and_then(|set| set.finished_manifest());
        assert!(manifest.is_err(), "byte {at}");
    }
    std::fs::write(&copy, &whole).unwrap();
    // An older manifest, from before this field.
    let path = selected.join("manifest.json");
    let mut manifest = Manifest::read(&selected).unwrap().unwrap();
    assert_eq!(
        manifest.selection.as_ref().unwrap().bytes,
        whole.len() as u64
    );
    manifest.selection = None;
    std::fs::write(&path, crate::shards::json::to_bytes(&manifest)).unwrap();
    let report = verify_files(&selected, &VerifyOptions::default(), |_| {}).unwrap();
    assert!(report.is_clean(), "{report:?}");
}
