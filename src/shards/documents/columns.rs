//! The columns of documents: rows to arrays, and back, with every value checked.

use super::format::{DocumentRow, DocumentScore};
use crate::storage::{self, string_column};
use arrow_array::types::{Float64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field};
use std::sync::Arc;

pub(in crate::shards) const DOC_INDEX: &str = "doc_index";
const ID: &str = "id";
pub(super) const SOURCE: &str = "source";
const RECORD: &str = "record";
const N_TOKENS: &str = "n_tokens";
const N_TARGETS: &str = "n_targets";
const N_BYTES: &str = "n_bytes";

/// The columns, in order.
pub(super) fn document_fields() -> Vec<Field> {
    let field = |name: &str, data_type, nullable| Field::new(name, data_type, nullable);
    let mut fields = vec![
        field(DOC_INDEX, DataType::UInt64, false),
        field(ID, DataType::Utf8, true),
        field(SOURCE, DataType::Utf8, true),
        field(RECORD, DataType::UInt64, true),
        field(N_TOKENS, DataType::UInt64, true),
        field(N_TARGETS, DataType::UInt64, false),
        field(N_BYTES, DataType::UInt64, true),
    ];
    let score = |score: DocumentScore| field(score.name(), DataType::Float64, score.is_nullable());
    fields.extend(DocumentScore::ALL.map(score));
    fields
}

/// `rows` as arrays of those columns.
pub(super) fn document_arrays<'a>(
    rows: impl Iterator<Item = &'a DocumentRow> + Clone,
) -> Vec<ArrayRef> {
    let numbers = |value: fn(&DocumentRow) -> u64| {
        Arc::new(UInt64Array::from_iter_values(rows.clone().map(value))) as ArrayRef
    };
    let known = |value: fn(&DocumentRow) -> Option<u64>| {
        Arc::new(UInt64Array::from_iter(rows.clone().map(value))) as ArrayRef
    };
    let mut arrays = vec![
        numbers(|row| row.doc_index),
        Arc::new(StringArray::from_iter(
            rows.clone().map(|row| row.id.as_deref()),
        )),
        Arc::new(StringArray::from_iter(
            rows.clone().map(|row| row.source.as_deref()),
        )),
        known(|row| row.record),
        known(|row| row.n_tokens),
        numbers(|row| row.n_targets),
        known(|row| row.n_bytes),
    ];
    arrays.extend(DocumentScore::ALL.map(|score| {
        let values = rows.clone().map(|row| row.score(score));
        match score.is_nullable() {
            true => Arc::new(Float64Array::from_iter(values)) as ArrayRef,
            false => Arc::new(Float64Array::from_iter_values(
                values.map(|value| value.unwrap_or(f64::NAN)),
            )),
        }
    }));
    arrays
}

/// The rows of a batch with those columns, or what is wrong with them. `last_source` shares one copy of a repeated
/// path.
pub(super) fn document_rows(
    batch: &RecordBatch,
    last_source: &mut Option<Arc<str>>,
) -> Result<Vec<DocumentRow>, String> {
    let numbers = |name, nullable| storage::number_column::<UInt64Type>(batch, name, nullable);
    let floats = |score: DocumentScore| {
        storage::number_column::<Float64Type>(batch, score.name(), score.is_nullable())
    };
    let doc_indices = numbers(DOC_INDEX, false)?;
    let ids = string_column(batch, ID)?;
    let sources = string_column(batch, SOURCE)?;
    let records = numbers(RECORD, true)?;
    let n_tokens = numbers(N_TOKENS, true)?;
    let n_targets = numbers(N_TARGETS, false)?;
    let n_bytes = numbers(N_BYTES, true)?;
    let scores: Vec<&Float64Array> = DocumentScore::ALL
        .iter()
        .map(|&score| floats(score))
        .collect::<Result<_, _>>()?;
    let mut rows = Vec::with_capacity(batch.num_rows());
    for i in 0..batch.num_rows() {
        let row = DocumentRow {
            doc_index: doc_indices.value(i),
            id: text(ids, i).map(str::to_owned),
            source: text(sources, i).map(|source| shared(source, last_source)),
            record: number(records, i),
            n_tokens: number(n_tokens, i),
            n_targets: n_targets.value(i),
            n_bytes: number(n_bytes, i),
            scores: DocumentScore::ALL.map(|score| {
                let values = scores[score as usize];
                values.is_valid(i).then(|| values.value(i))
            }),
        };
        check(&row)?;
        rows.push(row);
    }
    Ok(rows)
}

/// Rows must come by increasing `doc_index`; `last` is that of the row before.
pub(super) fn check_order(doc_index: u64, last: &mut Option<u64>) -> Result<(), String> {
    match last.replace(doc_index).is_none_or(|last| last < doc_index) {
        true => Ok(()),
        false => Err(format!("document {doc_index} comes out of order")),
    }
}

fn shared(source: &str, last: &mut Option<Arc<str>>) -> Arc<str> {
    match last {
        Some(last) if **last == *source => Arc::clone(last),
        _ => Arc::clone(last.insert(Arc::from(source))),
    }
}

/// Scores are finite and in their valid range.
fn check(row: &DocumentRow) -> Result<(), String> {
    let doc = row.doc_index;
    if row.n_targets == 0 {
        return Err(format!("document {doc} has no target"));
    }
    for score in DocumentScore::ALL {
        let Some(value) = row.score(score) else {
            continue;
        };
        let (min, max) = match score {
            DocumentScore::LearnableFraction | DocumentScore::MeanTopkMass => (0.0, 1.0 + 1e-6),
            // f32 arithmetic may leave a log-probability a little above 0.
            DocumentScore::NllSum => (-1e-4 * row.n_targets as f64, f64::MAX),
            DocumentScore::BitsPerByte => (f64::MIN, f64::MAX),
            _ => (-1e-4, f64::MAX),
        };
        if !(min..=max).contains(&value) {
            let name = score.name();
            return Err(format!("{name} of document {doc} is {value}"));
        }
    }
    Ok(())
}

fn number(array: &UInt64Array, i: usize) -> Option<u64> {
    array.is_valid(i).then(|| array.value(i))
}

fn text(array: &StringArray, i: usize) -> Option<&str> {
    array.is_valid(i).then(|| array.value(i))
}
