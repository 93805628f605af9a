//! Selections: what they keep, and which are refused.

use super::super::*;
use super::support::*;
use crate::shards::testing::{add_selection, with_targets, write_set_selected};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, UInt32Array, UInt64Array};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::sync::Arc;

/// Writes the columns to `selection.parquet` and opens the labels with it.
fn open(
    fixture: &Fixture,
    columns: Vec<(&str, ArrayRef)>,
    fingerprint: Option<String>,
) -> Result<LabelSource, DataError> {
    let path = fixture.path("selection.parquet");
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, array)| (name, array, true)),
    );
    let batch = batch.unwrap();
    let metadata = fingerprint.map(|f| vec![KeyValue::new(LABELS_FINGERPRINT_KEY.to_owned(), f)]);
    let properties = WriterProperties::builder()
        .set_key_value_metadata(metadata)
        .build();
    let file = File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    LabelSource::open(&LabelSourceOptions {
        selection: Some(path),
        ..fixture.options()
    })
}

fn columns(rows: &[(u64, bool)]) -> Vec<(&'static str, ArrayRef)> {
    let seq_ids: UInt64Array = rows.iter().map(|row| row.0).collect::<Vec<_>>().into();
    let kept: BooleanArray = rows.iter().map(|row| row.1).collect::<Vec<_>>().into();
    // An extra column and another order, which do not matter.
    vec![
        ("kept", Arc::new(kept)),
        ("rank", Arc::new(UInt32Array::from(vec![7; rows.len()]))),
        ("seq_id", Arc::new(seq_ids)),
    ]
}

/// A third of the labelled sequences; 60 to 69 are not listed.
fn third() -> Vec<(u64, bool)> {
    (20..60).rev().map(|id| (id, id % 3 == 0)).collect()
}

#[test]
fn only_kept_sequences_come_and_each_once_an_epoch() {
    let fixture = Fixture::new();
    let labels = open(&fixture, columns(&third()), None).unwrap();
    let expected: Vec<u64> = (20..60).filter(|id| id % 3 == 0).collect();
    assert_eq!(labels.n_sequences(), expected.len() as u64);
    assert_eq!((labels.n_kept(), labels.n_labelled()), (Some(13), 50));
    let mut loader = loader(&labels, stages(39, 0, 1), 0);
    for _ in 0..3 {
        assert_eq!(sorted(&labelled_ids(&mut loader, 13)), expected);
    }
}

#[test]
fn a_run_on_a_selection_resumes_at_any_position() {
    let fixture = Fixture::new();
    let labels = open(&fixture, columns(&third()), None).unwrap();
    let whole = labelled_ids(&mut loader(&labels, stages(30, 0, 1), 0), 30);
    for position in 0..30 {
        let mut resumed = loader(&labels, stages(30, 0, 1), position);
        let left = labelled_ids(&mut resumed, 30 - position);
        assert_eq!(left, whole[position as usize..]);
    }
}

#[test]
fn row_groups_without_a_kept_row_are_never_read() {
    let fixture = Fixture::new();
    let of_shard_0: Vec<(u64, bool)> = fixture.plan.shard_seq_ids(0).map(|id| (id, true)).collect();
    let labels = open(&fixture, columns(&of_shard_0), None).unwrap();
    for shard in [1, 2] {
        std::fs::remove_file(fixture.part("positions", shard)).unwrap();
    }
    let all = labelled_ids(&mut loader(&labels, stages(10, 0, 4), 0), 10);
    assert_eq!(all.concat().len(), 40);
}

#[test]
fn sequences_that_the_selection_drops_are_free_for_the_token_stage() {
    let fixture = Fixture::new();
    let labels = open(&fixture, columns(&third()), None).unwrap();
    let position = LoaderPosition::default();
    let tokens = Some(fixture.tokens("tokens"));
    let mut loader = Loader::new(Some(labels), tokens, stages(10, 80, 1), 2, position).unwrap();
    assert_eq!(loader.coverage().tokens_excluded, 10);
    let mut seen = labelled_ids(&mut loader, 10);
    seen.extend(token_ids(&mut loader, 80));
    let seen = sorted(&seen);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
}

#[test]
fn the_budget_counts_what_is_kept() {
    let fixture = Fixture::new();
    let labels = open(&fixture, columns(&third()), None).unwrap();
    let once = Stages {
        label_epochs: 1,
        ..stages(14, 0, 1)
    };
    assert_says(
        Loader::new(Some(labels), None, once, 2, LoaderPosition::default()),
        &["need 14, but only 13 are available (the selection keeps them, of 50 labelled)"],
    );
}

#[test]
fn a_selection_of_these_labels_is_taken_and_one_of_others_refused() {
    let fixture = Fixture::new();
    let fingerprint = fixture.labels().fingerprint();
    let named = open(&fixture, columns(&third()), Some(fingerprint)).unwrap();
    assert_eq!((named.note(), fixture.labels().note()), (None, None));
    let other = Some("blake3:00".to_owned());
    assert_says(
        open(&fixture, columns(&third()), other),
        &["was made for the labels blake3:00"],
    );
}

#[test]
fn labels_of_a_selection_are_trained_from_and_the_rest_is_free_for_the_token_stage() {
    let fixture = Fixture::new();
    let selection = fixture.path("selection.parquet");
    open(&fixture, columns(&third()), None).unwrap();
    let plan = with_targets(add_selection(fixture.plan.clone(), &selection));
    let dir = fixture.path("selected");
    write_set_selected(&dir, &plan, Some(&selection));
    let labels = LabelSource::open(&LabelSourceOptions {
        dir,
        ..fixture.options()
    })
    .unwrap();
    let expected: Vec<u64> = (20..60).filter(|id| id % 3 == 0).collect();
    assert_eq!((labels.n_sequences(), labels.n_kept()), (13, None));
    assert_eq!(labels.first_seq_ids(13), expected);
    let position = LoaderPosition::default();
    let tokens = Some(fixture.tokens("tokens"));
    let mut loader = Loader::new(Some(labels), tokens, stages(13, 80, 1), 2, position).unwrap();
    assert_eq!(loader.coverage().tokens_excluded, 13);
    assert_eq!(sorted(&labelled_ids(&mut loader, 13)), expected);
    let others = sorted(&token_ids(&mut loader, 80));
    assert!(others.iter().all(|id| !expected.contains(id)));
}

#[test]
fn a_selection_that_does_not_name_its_labels_is_taken_with_a_note() {
    let fixture = Fixture::new();
    let labels = open(&fixture, columns(&third()), None).unwrap();
    let note = labels.note().unwrap();
    assert!(
        note.contains("selection.parquet does not record the labels"),
        "{note}"
    );
}

#[test]
fn a_file_that_is_no_selection_is_refused_with_the_reason() {
    let fixture = Fixture::new();
    let refused = |columns: Vec<(&str, ArrayRef)>, words: &[&str]| {
        assert_says(open(&fixture, columns, None), words);
    };
    let mut without_ids = columns(&third());
    without_ids.remove(2);
    refused(
        without_ids,
        &[
            "selection.parquet",
            "the column seq_id is missing; there are only kept, rank",
        ],
    );
    let mut of_floats = columns(&[(20, true)]);
    of_floats[2].1 = Arc::new(Float64Array::from(vec![20.0]));
    refused(
        of_floats,
        &["the column seq_id is Float64", "cast it to int64"],
    );
    let mut with_null = columns(&[(20, true), (21, true)]);
    with_null[0].1 = Arc::new(BooleanArray::from(vec![Some(true), None]));
    refused(with_null, &["kept is null in row 1"]);
    refused(
        columns(&[(20, true), (21, true), (20, false)]),
        &["seq_id 20 more than once"],
    );
    refused(
        columns(&[(20, true), (70, true)]),
        &["lists seq_id 70", "has no labels"],
    );
    refused(
        columns(&[(20, true), (u64::MAX, true)]),
        &[
            "lists seq_id 18446744073709551615",
            "but there are 99 sequences",
        ],
    );
    refused(columns(&[(20, false)]), &["keeps no sequence"]);
}

#[test]
fn a_selection_that_is_no_parquet_or_not_there_is_refused() {
    let fixture = Fixture::new();
    let path = fixture.path("selection.parquet");
    let open = || {
        LabelSource::open(&LabelSourceOptions {
            selection: Some(path.clone()),
            ..fixture.options()
        })
    };
    assert_says(open(), &["selection.parquet"]);
    std::fs::write(&path, b"seq_id,kept\n20,true\n").unwrap();
    assert_says(open(), &["selection.parquet cannot be read as Parquet"]);
}
