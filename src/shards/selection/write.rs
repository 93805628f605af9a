//! The selection's file, row after row.

use super::format::{
    FILE_KEY, FILE_KIND, SEAL, SELECTION_VERSION, SEQ_ID, SelectionColumn, SelectionRow,
    VERSION_KEY, describe_selection,
};
use crate::shards::ShardsError;
use crate::shards::encode_error::encode_error;
use crate::shards::seal::{SealingSink, unsealed_entry};
use crate::storage::{FileHash, Partial, RowGroupWriter, StorageError};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of a row group: what a writer holds, about 2 MiB.
const GROUP_ROWS: usize = 1 << 16;

/// Writes a selection under a temporary name.
pub(crate) struct SelectionWriter {
    path: PathBuf,
    groups: RowGroupWriter<SealingSink>,
    rows: Vec<(SelectionRow, Option<u64>)>,
}

impl SelectionWriter {
    /// Starts the file that will be `path`, in the temporary `partial`.
    pub(crate) fn create(
        path: &Path,
        partial: Partial,
        metadata: Vec<(String, String)>,
    ) -> Result<Self, ShardsError> {
        let properties = properties(metadata);
        let groups = RowGroupWriter::new(SealingSink::new(partial), schema(), properties);
        Ok(SelectionWriter {
            path: path.to_path_buf(),
            groups: groups.map_err(|error| encode_error(path, error))?,
            rows: Vec::new(),
        })
    }

    /// Adds the next row, with its rank where it may be taken.
    pub(crate) fn push(&mut self, row: SelectionRow, rank: Option<u64>) -> Result<(), ShardsError> {
        self.rows.push((row, rank));
        match self.rows.len() < GROUP_ROWS {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), ShardsError> {
        let rows = || self.rows.iter();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(
                rows().map(|(row, _)| row.seq_id),
            )),
            Arc::new(Float64Array::from_iter(rows().map(|(row, _)| row.score))),
            Arc::new(UInt64Array::from_iter(rows().map(|(_, rank)| *rank))),
            Arc::new(BooleanArray::from_iter(
                rows().map(|(row, _)| Some(row.kept)),
            )),
        ];
        self.rows.clear();
        self.groups
            .write(columns)
            .map_err(|error| encode_error(&self.path, error))
    }

    /// Ends the file and gives it its name, instead of an earlier one.
    pub(crate) fn publish(mut self) -> Result<FileHash, ShardsError> {
        if !self.rows.is_empty() {
            self.flush()?;
        }
        let SelectionWriter {
            path, mut groups, ..
        } = self;
        // The footer is held back until its checksum is known.
        groups
            .sink()
            .map(SealingSink::hold_back)
            .map_err(|error| encode_error(&path, error))?;
        let sink = groups
            .finish()
            .map_err(|error| encode_error(&path, error))?;
        let io = |source| StorageError::io("write", &path, source);
        let sealed = sink.finish().map_err(io)?.seal()?;
        let hash = sealed.hash.clone();
        sealed.replace()?;
        Ok(hash)
    }
}

fn schema() -> Arc<Schema> {
    let field = |column: SelectionColumn| {
        let data_type = match column.item_type {
            "u64" => DataType::UInt64,
            "f64" => DataType::Float64,
            _ => DataType::Boolean,
        };
        Field::new(column.name, data_type, column.nullable)
    };
    let fields: Vec<Field> = describe_selection().into_iter().map(field).collect();
    Arc::new(Schema::new(fields))
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
    let entries = entries.map(|(key, value)| KeyValue::new(key, value));
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(SEAL.created_by.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .set_column_encoding(ColumnPath::from(SEQ_ID), Encoding::DELTA_BINARY_PACKED)
        .set_key_value_metadata(Some(entries.collect()))
        .build()
}
