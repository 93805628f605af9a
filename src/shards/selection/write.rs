//! Writes a selection's file, row by row.

use super::format::{
    FILE_KEY, FILE_KIND, SEAL, SELECTION_VERSION, SEQ_ID, SelectionColumn, SelectionRow,
    VERSION_KEY, describe_selection,
};
use crate::shards::ShardsError;
use crate::shards::properties::key_values;
use crate::shards::seal::{self, SealingSink, unsealed_entry};
use crate::shards::table::TableWriter;
use crate::storage::{FileHash, Partial, table_properties};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, UInt64Array};
use arrow_schema::{DataType, Field};
use parquet::basic::Encoding;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::path::Path;
use std::sync::Arc;

/// A row, with its rank if it is eligible.
type RankedRow = (SelectionRow, Option<u64>);

/// Writes a selection under a temporary name.
pub(crate) struct SelectionWriter(TableWriter<RankedRow, SealingSink>);

impl SelectionWriter {
    /// Starts the file for `path`, in the temporary `partial`.
    pub(crate) fn create(
        path: &Path,
        partial: Partial,
        metadata: Vec<(String, String)>,
    ) -> Result<Self, ShardsError> {
        let sink = SealingSink::new(partial);
        let table = TableWriter::create(path, sink, fields(), properties(metadata), columns_of)?;
        Ok(SelectionWriter(table))
    }

    /// Adds the next row, with its rank if it is eligible.
    pub(crate) fn push(&mut self, row: SelectionRow, rank: Option<u64>) -> Result<(), ShardsError> {
        self.0.push((row, rank))
    }

    /// Finishes the file and gives it its final name, replacing an earlier one.
    pub(crate) fn publish(self) -> Result<FileHash, ShardsError> {
        let (path, groups) = self.0.finish()?;
        seal::publish(&path, groups)
    }
}

fn columns_of(rows: &[RankedRow]) -> Vec<ArrayRef> {
    let rows = || rows.iter();
    vec![
        Arc::new(UInt64Array::from_iter_values(
            rows().map(|(row, _)| row.seq_id),
        )),
        Arc::new(Float64Array::from_iter(rows().map(|(row, _)| row.score))),
        Arc::new(UInt64Array::from_iter(rows().map(|(_, rank)| *rank))),
        Arc::new(BooleanArray::from_iter(
            rows().map(|(row, _)| Some(row.kept)),
        )),
    ]
}

fn fields() -> Vec<Field> {
    let field = |column: SelectionColumn| {
        let data_type = match column.item_type {
            "u64" => DataType::UInt64,
            "f64" => DataType::Float64,
            _ => DataType::Boolean,
        };
        Field::new(column.name, data_type, column.nullable)
    };
    describe_selection().into_iter().map(field).collect()
}

fn properties(metadata: Vec<(String, String)>) -> WriterProperties {
    let entries = [
        (VERSION_KEY.to_owned(), SELECTION_VERSION.to_string()),
        (FILE_KEY.to_owned(), FILE_KIND.to_owned()),
    ];
    let entries = entries
        .into_iter()
        .chain(metadata)
        .chain([unsealed_entry()]);
    table_properties(SEAL.created_by)
        .set_column_encoding(ColumnPath::from(SEQ_ID), Encoding::DELTA_BINARY_PACKED)
        .set_key_value_metadata(Some(key_values(entries)))
        .build()
}
