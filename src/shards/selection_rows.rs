//! Rows of a selection's file, for whoever joins them with something else.

use super::ShardsError;
use super::selection::fault;
use crate::storage::StorageError;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt64Type};
use arrow_array::{Array, BooleanArray, Float64Array, RecordBatch, UInt64Array};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

const BATCH_ROWS: usize = 1 << 16;
const SCORE: &str = "score";

/// One row of a selection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SelectionRow {
    /// The sequence.
    pub seq_id: u64,
    /// Whether it is kept.
    pub kept: bool,
    /// What it was selected by, in the unit of that score; `None` where it has none.
    pub score: Option<f64>,
}

/// What a selection's file has beside its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SelectionHead {
    /// Whether there is a column of scores.
    pub has_scores: bool,
    /// Key and value, in the order of the file.
    pub metadata: Vec<(String, String)>,
}

impl SelectionHead {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.metadata.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    }
}

/// Gives `on_row` every row of the selection at `path`, in the order of the file, with its score where
/// the file has one. No row is held against another: [`super::Selection::read`] does that.
///
/// # Errors
/// A file that is not there or no Parquet; `seq_id` or `kept` that is absent, of another type or with
/// nulls; those of `on_row`.
pub fn read_selection_rows(
    path: &Path,
    on_row: impl FnMut(SelectionRow) -> Result<(), ShardsError>,
) -> Result<SelectionHead, ShardsError> {
    read_rows(path, true, on_row)
}

/// As [`read_selection_rows`]; without `with_scores` no score is decoded, and every row has none.
pub(super) fn read_rows(
    path: &Path,
    with_scores: bool,
    on_row: impl FnMut(SelectionRow) -> Result<(), ShardsError>,
) -> Result<SelectionHead, ShardsError> {
    let file = File::open(path).map_err(|source| StorageError::io("read", path, source))?;
    // Asserts of the Parquet decoder panic on some damaged files.
    let read = catch_unwind(AssertUnwindSafe(|| {
        read_file(path, file, with_scores, on_row)
    }));
    read.unwrap_or_else(|_| {
        Err(ShardsError::SelectionParquet {
            path: path.to_path_buf(),
            source: ParquetError::General("the decoder gave up".to_owned()),
        })
    })
}

fn read_file(
    path: &Path,
    file: File,
    with_scores: bool,
    mut on_row: impl FnMut(SelectionRow) -> Result<(), ShardsError>,
) -> Result<SelectionHead, ShardsError> {
    let parquet = |source| ShardsError::SelectionParquet {
        path: path.to_path_buf(),
        source,
    };
    let as_stored = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder =
        ParquetRecordBatchReaderBuilder::try_new_with_options(file, as_stored).map_err(parquet)?;
    let head = head_of(&builder);
    let mask = wanted_columns(path, &builder, with_scores && head.has_scores)?;
    let batches = builder
        .with_projection(mask)
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(parquet)?;
    for batch in batches {
        let batch = batch.map_err(|error| parquet(error.into()))?;
        let Some((seq_ids, kept, scores)) = columns_of(&batch) else {
            return Err(fault(path, "seq_id or kept has nulls".to_owned()));
        };
        let score = |i| {
            let scores = scores.filter(|scores| scores.is_valid(i))?;
            Some(scores.value(i))
        };
        for (i, (&seq_id, kept)) in seq_ids.values().iter().zip(kept.values()).enumerate() {
            let score = score(i);
            on_row(SelectionRow {
                seq_id,
                kept,
                score,
            })?;
        }
    }
    Ok(head)
}

fn head_of(builder: &ParquetRecordBatchReaderBuilder<File>) -> SelectionHead {
    let score = builder.schema().fields().find(SCORE);
    let entries = builder.metadata().file_metadata().key_value_metadata();
    let entries = entries.into_iter().flatten();
    SelectionHead {
        has_scores: score.is_some_and(|(_, field)| *field.data_type() == DataType::Float64),
        metadata: entries
            .map(|entry| (entry.key.clone(), entry.value.clone().unwrap_or_default()))
            .collect(),
    }
}

fn wanted_columns(
    path: &Path,
    builder: &ParquetRecordBatchReaderBuilder<File>,
    with_scores: bool,
) -> Result<ProjectionMask, ShardsError> {
    let mut wanted = vec![("seq_id", DataType::UInt64), ("kept", DataType::Boolean)];
    wanted.extend(with_scores.then_some((SCORE, DataType::Float64)));
    let mut roots = Vec::new();
    for (name, data_type) in wanted {
        let Some((root, field)) = builder.schema().fields().find(name) else {
            return Err(fault(path, format!("the column {name} is not there")));
        };
        if *field.data_type() != data_type {
            let got = field.data_type();
            let reason = format!("the column {name} is {got}, expected {data_type}");
            return Err(fault(path, reason));
        }
        roots.push(root);
    }
    Ok(ProjectionMask::roots(builder.parquet_schema(), roots))
}

type Columns<'a> = (&'a UInt64Array, &'a BooleanArray, Option<&'a Float64Array>);

/// The columns; `None` if `seq_id` or `kept` has nulls.
fn columns_of(batch: &RecordBatch) -> Option<Columns<'_>> {
    let seq_ids = batch
        .column_by_name("seq_id")?
        .as_primitive_opt::<UInt64Type>()?;
    let kept = batch.column_by_name("kept")?.as_boolean_opt()?;
    let scores = batch.column_by_name(SCORE);
    let scores = scores.and_then(|scores| scores.as_primitive_opt::<Float64Type>());
    (seq_ids.null_count() + kept.null_count() == 0).then_some((seq_ids, kept, scores))
}
