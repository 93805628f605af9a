//! Rows of a selection's file, for joining them with other data.

use super::format::{
    FILE_KEY, FILE_KIND, KEPT, N_KEPT_KEY, N_ROWS_KEY, SCORE, SEAL, SEQ_ID, SelectionHead,
    SelectionRow, fault,
};
use crate::shards::ShardsError;
use crate::shards::documents::{DOC_INDEX, DOCUMENT_SELECTION_KIND};
use crate::shards::place::open_selection;
use crate::shards::seal;
use crate::storage::{DecodeError, Source, StorageError, TableBuilder, open_table, table_metadata};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch};
use arrow_schema::{DataType, Field, Fields};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::ParquetError;
use std::fmt::Display;
use std::path::Path;

const BATCH_ROWS: usize = 1 << 16;

/// Calls `on_row` for every row of the selection at `path`, in file order, with its score if the file has one. `seq_id`
/// may be any integer type, as other programs write it; without a column `kept` every row is kept. Rows are not
/// compared with each other: [`crate::shards::Selection::read`] does that.
///
/// # Errors
/// A file that is missing, not Parquet, or not a selection; a part of labels; `seq_id` that is missing, not an integer,
/// null or negative; `kept` that is not a boolean or is null; errors of `on_row`.
pub fn read_selection_rows(
    path: &Path,
    on_row: impl FnMut(SelectionRow) -> Result<(), ShardsError>,
) -> Result<SelectionHead, ShardsError> {
    read_rows(path, true, on_row)
}

/// Like [`read_selection_rows`]; without `with_scores` no score is decoded, and rows have none.
pub(super) fn read_rows(
    path: &Path,
    with_scores: bool,
    mut on_row: impl FnMut(SelectionRow) -> Result<(), ShardsError>,
) -> Result<SelectionHead, ShardsError> {
    let source = open_selection(path)?;
    let undecoded = |error| seal::decode_error(path, error);
    let builder = open_table(&source).map_err(undecoded)?;
    let head = head_of(&builder);
    seal::check(path, &source, &head.metadata, &SEAL)?;
    check_is_selection(path, &head)?;
    let mask = wanted_columns(path, &builder, with_scores && head.has_scores)?;
    let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
    let mut batches = source.decode(|| builder.build()).map_err(undecoded)?;
    let mut counted = Counted::default();
    loop {
        let next = source.decode(|| Ok(batches.next().transpose()?));
        let Some(batch) = next.map_err(undecoded)? else {
            counted.check(path, &head)?;
            return Ok(head);
        };
        each_row(path, &batch, counted.n_rows, |row| {
            counted.n_kept += u64::from(row.kept);
            on_row(row)
        })?;
        counted.n_rows += batch.num_rows() as u64;
    }
}

/// Rows of a selection's file.
#[derive(Default)]
struct Counted {
    n_rows: u64,
    n_kept: u64,
}

impl Counted {
    /// Other programs carry metadata along when they write a selection anew: it then tells of rows that are
    /// not there any more.
    fn check(&self, path: &Path, head: &SelectionHead) -> Result<(), ShardsError> {
        for (key, what, got) in [
            (N_ROWS_KEY, "rows", self.n_rows),
            (N_KEPT_KEY, "kept sequences", self.n_kept),
        ] {
            match head.get(key) {
                Some(recorded) if recorded != got.to_string() => {
                    let reason = format!(
                        "it has {got} {what}, but its metadata says {recorded} ({key}), so it was edited after `saltworks select` wrote it (to use your own choice, write it without the metadata saltworks.*; in pyarrow, replace_schema_metadata(None))"
                    );
                    return Err(fault(path, reason));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a file is Parquet with the columns of a selection of sequences or documents.
///
/// # Errors
/// The file could not be read.
pub fn is_selection(source: &Source) -> Result<bool, StorageError> {
    let options = ArrowReaderOptions::default();
    match source.decode(|| ArrowReaderMetadata::load(source, options)) {
        Ok(footer) => {
            let has = |name| footer.schema().column_with_name(name).is_some();
            Ok(has(KEPT) && (has(SEQ_ID) || has(DOC_INDEX)))
        }
        Err(DecodeError::Read(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

fn each_row(
    path: &Path,
    batch: &RecordBatch,
    n_before: u64,
    mut on_row: impl FnMut(SelectionRow) -> Result<(), ShardsError>,
) -> Result<(), ShardsError> {
    let seq_ids = seq_ids_of(path, batch, n_before)?;
    let kept = kept_of(path, batch, n_before)?;
    let scores = batch.column_by_name(SCORE).map(score_values).transpose();
    let scores = scores.map_err(|source| ShardsError::SelectionParquet {
        path: path.to_path_buf(),
        source,
    })?;
    for (i, seq_id) in seq_ids.into_iter().enumerate() {
        let score = scores.as_ref().filter(|scores| scores.is_valid(i));
        on_row(SelectionRow {
            seq_id,
            kept: kept.is_none_or(|kept| kept.value(i)),
            score: score.map(|scores| scores.value(i)),
        })?;
    }
    Ok(())
}

fn head_of(builder: &TableBuilder) -> SelectionHead {
    let score = builder.schema().fields().find(SCORE);
    SelectionHead {
        has_scores: score.is_some_and(|(_, field)| is_float(field.data_type())),
        metadata: table_metadata(builder),
    }
}

/// Shards have a `seq_id` too, and would pass for a selection that keeps all their rows.
fn check_is_selection(path: &Path, head: &SelectionHead) -> Result<(), ShardsError> {
    match head.get(FILE_KEY) {
        None | Some(FILE_KIND) => Ok(()),
        Some(DOCUMENT_SELECTION_KIND) => {
            let reason = "it selects documents, not sequences (select without --by document)";
            Err(fault(path, reason.to_owned()))
        }
        Some(file) => {
            let reason = format!("it is a file of labels ({file}), not a selection");
            Err(fault(path, reason))
        }
    }
}

fn wanted_columns(
    path: &Path,
    builder: &TableBuilder,
    with_scores: bool,
) -> Result<ProjectionMask, ShardsError> {
    let fields = builder.schema().fields();
    let Some((seq_id, field)) = fields.find(SEQ_ID) else {
        let names: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
        let reason = format!(
            "the column seq_id is missing; there are only {}",
            names.join(", ")
        );
        return Err(fault(path, reason));
    };
    if !field.data_type().is_integer() {
        let got = field.data_type();
        let reason = format!("the column seq_id is {got}, expected integers (cast it to int64)");
        return Err(fault(path, reason));
    }
    refuse_repeated(path, fields, SEQ_ID)?;
    refuse_repeated(path, fields, KEPT)?;
    let mut roots = vec![seq_id];
    if let Some((kept, field)) = fields.find(KEPT) {
        if *field.data_type() != DataType::Boolean {
            let got = field.data_type();
            let reason = format!(
                "the column kept is {got}, expected Boolean (cast it to bool, or leave it out if every row is kept)"
            );
            return Err(fault(path, reason));
        }
        roots.push(kept);
    } else if let Some(field) = fields.iter().find(|field| looks_like_kept(field)) {
        let reason = format!(
            "there is no column kept, but a Boolean column {} (rename it to kept, or leave it out if every row is kept)",
            field.name()
        );
        return Err(fault(path, reason));
    }
    let score = fields.find(SCORE).filter(|_| with_scores);
    roots.extend(score.map(|(root, _)| root));
    Ok(ProjectionMask::roots(builder.parquet_schema(), roots))
}

/// Of two columns with one name, nobody can tell which is meant.
fn refuse_repeated(path: &Path, fields: &Fields, name: &str) -> Result<(), ShardsError> {
    match fields.iter().filter(|field| field.name() == name).count() {
        0 | 1 => Ok(()),
        n => {
            let reason =
                format!("there are {n} columns {name}, expected one (leave out the others)");
            Err(fault(path, reason))
        }
    }
}

/// A column that other programs would call `kept`, without which every row would be kept.
fn looks_like_kept(field: &Field) -> bool {
    let name = field.name().to_lowercase();
    *field.data_type() == DataType::Boolean
        && ["kept", "keep", "is_kept", "selected", "is_selected"].contains(&name.as_str())
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Scores as they are stored, or widened.
fn score_values(array: &ArrayRef) -> Result<Float64Array, ParquetError> {
    match array.data_type() {
        DataType::Float32 => Ok(array
            .as_primitive::<Float32Type>()
            .iter()
            .map(|score| score.map(f64::from))
            .collect()),
        DataType::Float64 => Ok(array.as_primitive::<Float64Type>().clone()),
        other => Err(ParquetError::General(format!(
            "the column score is {other}"
        ))),
    }
}

/// `kept` of every row; `None` if there is no such column, so that every row is kept.
fn kept_of<'a>(
    path: &Path,
    batch: &'a RecordBatch,
    n_before: u64,
) -> Result<Option<&'a BooleanArray>, ShardsError> {
    let Some(array) = batch.column_by_name(KEPT) else {
        return Ok(None);
    };
    refuse_nulls(path, KEPT, array, n_before)?;
    Ok(array.as_boolean_opt())
}

fn seq_ids_of(path: &Path, batch: &RecordBatch, n_before: u64) -> Result<Vec<u64>, ShardsError> {
    let Some(array) = batch.column_by_name(SEQ_ID) else {
        return Err(fault(path, "the column seq_id is missing".to_owned()));
    };
    refuse_nulls(path, SEQ_ID, array, n_before)?;
    match array.data_type() {
        DataType::Int8 => whole::<Int8Type>(path, array, n_before),
        DataType::Int16 => whole::<Int16Type>(path, array, n_before),
        DataType::Int32 => whole::<Int32Type>(path, array, n_before),
        DataType::Int64 => whole::<Int64Type>(path, array, n_before),
        DataType::UInt8 => whole::<UInt8Type>(path, array, n_before),
        DataType::UInt16 => whole::<UInt16Type>(path, array, n_before),
        DataType::UInt32 => whole::<UInt32Type>(path, array, n_before),
        _ => whole::<UInt64Type>(path, array, n_before),
    }
}

/// The values as `u64`; a negative one is refused.
fn whole<P: ArrowPrimitiveType>(
    path: &Path,
    array: &ArrayRef,
    n_before: u64,
) -> Result<Vec<u64>, ShardsError>
where
    P::Native: TryInto<u64> + Display,
{
    let values = array.as_primitive_opt::<P>().into_iter();
    let values = values.flat_map(|array| array.values().iter().copied());
    let value = |(i, value): (usize, P::Native)| {
        value.try_into().map_err(|_| {
            let row = n_before + i as u64;
            fault(path, format!("seq_id is {value} in row {row}, below 0"))
        })
    };
    values.enumerate().map(value).collect()
}

fn refuse_nulls(
    path: &Path,
    name: &str,
    array: &ArrayRef,
    n_before: u64,
) -> Result<(), ShardsError> {
    match (0..array.len()).find(|&i| array.is_null(i)) {
        None => Ok(()),
        Some(i) => {
            let row = n_before + i as u64;
            Err(fault(path, format!("{name} is null in row {row}")))
        }
    }
}
