//! The rows of a selection.

use crate::experiment::report::error::ReportError;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt64Type};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use std::collections::HashMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// What a selection says.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct SelectionRows {
    /// By sequence: whether it is kept, and its score where there is one.
    pub(crate) rows: HashMap<u64, (bool, Option<f64>)>,
    /// Whether the file has scores at all.
    pub(crate) has_scores: bool,
    /// What the file says of how it was made: keys without `saltworks.`.
    pub(crate) facts: Vec<(String, String)>,
}

/// Reads the selection at `path`.
pub(crate) fn read_selection(path: &Path) -> Result<SelectionRows, ReportError> {
    // Asserts of the Parquet decoder panic on some damaged files.
    let read = catch_unwind(AssertUnwindSafe(|| read(path)));
    read.unwrap_or_else(|_| Err("the decoder gave up".to_owned()))
        .map_err(|reason| ReportError::Selection {
            path: path.into(),
            reason,
        })
}

fn read(path: &Path) -> Result<SelectionRows, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let as_stored = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, as_stored)
        .map_err(|error| error.to_string())?;
    let mut selection = SelectionRows {
        facts: facts(&builder),
        ..SelectionRows::default()
    };
    let names = ["seq_id", "kept", "score"];
    let roots: Vec<usize> = names
        .iter()
        .filter_map(|name| Some(builder.schema().fields().find(name)?.0))
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let batches = builder
        .with_projection(mask)
        .build()
        .map_err(|error| error.to_string())?;
    for batch in batches {
        push(&mut selection, &batch.map_err(|error| error.to_string())?)?;
    }
    Ok(selection)
}

fn facts(builder: &ParquetRecordBatchReaderBuilder<File>) -> Vec<(String, String)> {
    let entries = builder.metadata().file_metadata().key_value_metadata();
    let ours = entries.into_iter().flatten().filter_map(|entry| {
        let name = entry.key.strip_prefix("saltworks.")?;
        Some((name.to_owned(), entry.value.clone().unwrap_or_default()))
    });
    ours.collect()
}

fn push(selection: &mut SelectionRows, batch: &RecordBatch) -> Result<(), String> {
    let column = |name: &str| batch.column_by_name(name);
    let seq_ids = column("seq_id").and_then(|c| c.as_primitive_opt::<UInt64Type>());
    let kept = column("kept").and_then(|c| c.as_boolean_opt());
    let (Some(seq_ids), Some(kept)) = (seq_ids, kept) else {
        return Err("it has no columns seq_id (u64) and kept (bool)".to_owned());
    };
    let scores = column("score").and_then(|c| c.as_primitive_opt::<Float64Type>());
    selection.has_scores |= scores.is_some();
    for i in 0..batch.num_rows() {
        let score = scores
            .filter(|scores| scores.is_valid(i))
            .map(|scores| scores.value(i));
        let is_kept = kept.is_valid(i) && kept.value(i);
        selection.rows.insert(seq_ids.value(i), (is_kept, score));
    }
    Ok(())
}
