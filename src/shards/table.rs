//! A file of rows being written, one row group at a time.

use super::ShardsError;
use crate::storage::RowGroupWriter;
use arrow_array::ArrayRef;
use arrow_schema::{Field, Schema};
use parquet::file::properties::WriterProperties;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows per row group: what a writer holds.
const GROUP_ROWS: usize = 1 << 16;

/// Writes rows under a temporary name.
pub(super) struct TableWriter<R, W: Write + Send> {
    path: PathBuf,
    groups: RowGroupWriter<W>,
    /// Converts rows to columns, in field order.
    columns_of: fn(&[R]) -> Vec<ArrayRef>,
    rows: Vec<R>,
}

impl<R, W: Write + Send> TableWriter<R, W> {
    /// Starts the file for `path`, in `sink`.
    pub(super) fn create(
        path: &Path,
        sink: W,
        fields: Vec<Field>,
        properties: WriterProperties,
        columns_of: fn(&[R]) -> Vec<ArrayRef>,
    ) -> Result<Self, ShardsError> {
        let groups = RowGroupWriter::new(sink, Arc::new(Schema::new(fields)), properties);
        Ok(TableWriter {
            path: path.to_path_buf(),
            groups: groups.map_err(|error| ShardsError::of_encoder(path, error))?,
            columns_of,
            rows: Vec::new(),
        })
    }

    /// Adds the next row.
    pub(super) fn push(&mut self, row: R) -> Result<(), ShardsError> {
        self.rows.push(row);
        match self.rows.len() < GROUP_ROWS {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), ShardsError> {
        let columns = (self.columns_of)(&self.rows);
        self.rows.clear();
        self.groups
            .write(columns)
            .map_err(|error| ShardsError::of_encoder(&self.path, error))
    }

    /// Called after the last row; the footer is still to be written.
    pub(super) fn finish(mut self) -> Result<(PathBuf, RowGroupWriter<W>), ShardsError> {
        if !self.rows.is_empty() {
            self.flush()?;
        }
        Ok((self.path, self.groups))
    }
}
