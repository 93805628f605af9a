//! A Parquet file: one document a row, from one string column.

use super::MAX_DOCUMENT_BYTES;
use super::documents::{CorpusOptions, Document, Tally};
use super::error::CorpusError;
use super::location::{Location, Position};
use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use ::parquet::errors::ParquetError;
use arrow_array::{Array, RecordBatch, StringArray};
use arrow_schema::DataType;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Text that a batch of rows should hold, bytes.
const BATCH_BYTES: u64 = 4 << 20;
const MAX_BATCH_ROWS: u64 = 1024;

/// The kept columns of some rows.
struct Batch {
    texts: StringArray,
    groups: Option<StringArray>,
}

/// Documents of one Parquet file.
pub(super) struct ParquetReader {
    batches: ParquetRecordBatchReader,
    path: Arc<Path>,
    options: CorpusOptions,
    batch: Option<Batch>,
    batch_row: usize,
    n_rows_before: u64,
    progress: Progress,
}

impl ParquetReader {
    /// Opens the file and finds its text column. `n_bytes` grows as rows are read, to the file's size.
    pub(super) fn open(
        path: Arc<Path>,
        options: CorpusOptions,
        n_bytes: Arc<AtomicU64>,
    ) -> Result<Self, CorpusError> {
        let io = |source| CorpusError::Io {
            path: path.to_path_buf(),
            source,
        };
        let parquet = |source| CorpusError::Parquet {
            path: path.to_path_buf(),
            row: 0,
            source,
        };
        let file = File::open(&path).map_err(io)?;
        let file_bytes = file.metadata().map_err(io)?.len();
        // Without the writer's Arrow schema, every kind of string column comes as plain Utf8.
        let as_stored = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, as_stored)
            .map_err(parquet)?;
        let column = text_column(&builder, &path, &options.text_field)?;
        let group = group_column(&builder, &options);
        let columns = std::iter::once(column).chain(group);
        let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
        let n_rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
        let batch_rows = batch_rows(&builder, &mask, n_rows);
        let batches = builder
            .with_projection(mask)
            .with_batch_size(batch_rows)
            .build()
            .map_err(parquet)?;
        let progress = Progress {
            n_bytes,
            file_bytes,
            n_rows,
            n_counted: 0,
        };
        Ok(Self {
            batches,
            path,
            options,
            batch: None,
            batch_row: 0,
            n_rows_before: 0,
            progress,
        })
    }

    /// The next document that has text; what is left out before it is added to `tally`.
    pub(super) fn next_document(
        &mut self,
        tally: &mut Tally,
    ) -> Result<Option<Document>, CorpusError> {
        while self.fill_batch()? {
            match self.take_row() {
                Ok(document) if document.is_empty() => tally.n_empty_documents += 1,
                Ok(document) => return Ok(Some(document)),
                Err(error) if self.options.skip_bad_lines && error.is_of_one_line() => {
                    tally.n_bad_lines += 1;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Makes sure that `self.batch` has a row at `self.batch_row`; false at the end of the file.
    fn fill_batch(&mut self) -> Result<bool, CorpusError> {
        while self
            .batch
            .as_ref()
            .is_none_or(|batch| self.batch_row >= batch.texts.len())
        {
            self.n_rows_before += self
                .batch
                .take()
                .map_or(0, |batch| batch.texts.len() as u64);
            self.progress.reached(self.n_rows_before);
            let Some(read) = self.batches.next() else {
                return Ok(false);
            };
            let batch = read.map_err(|error| self.fault(error.into()))?;
            self.batch = Some(self.columns_of(&batch)?);
            self.batch_row = 0;
        }
        Ok(true)
    }

    fn columns_of(&self, batch: &RecordBatch) -> Result<Batch, CorpusError> {
        let strings = |name: &str| {
            let column = batch.column_by_name(name);
            column.and_then(|column| column.as_any().downcast_ref::<StringArray>())
        };
        let texts = strings(&self.options.text_field).cloned().ok_or_else(|| {
            self.fault(ParquetError::General(
                "the text column is not in the batch".to_owned(),
            ))
        })?;
        let group_field = self.options.group_field.as_deref();
        Ok(Batch {
            texts,
            groups: group_field.and_then(strings).cloned(),
        })
    }

    fn take_row(&mut self) -> Result<Document, CorpusError> {
        let row = self.batch_row;
        self.batch_row += 1;
        let location = Location {
            path: Arc::clone(&self.path),
            position: Position::Row(self.n_rows_before + row as u64),
        };
        match &self.batch {
            Some(batch) if !batch.texts.is_null(row) => {
                let text = batch.texts.value(row);
                if text.len() as u64 > MAX_DOCUMENT_BYTES {
                    return Err(CorpusError::TooLong {
                        location,
                        limit: MAX_DOCUMENT_BYTES,
                    });
                }
                Ok(Document {
                    text: text.to_owned(),
                    location,
                    group: batch.group(row),
                })
            }
            _ => {
                let field = self.options.text_field.clone();
                Err(CorpusError::WrongType {
                    location,
                    field,
                    got: "null",
                })
            }
        }
    }

    fn fault(&self, source: ParquetError) -> CorpusError {
        CorpusError::Parquet {
            path: self.path.to_path_buf(),
            row: self.n_rows_before,
            source,
        }
    }
}

impl Batch {
    fn group(&self, row: usize) -> Option<String> {
        let groups = self.groups.as_ref().filter(|groups| !groups.is_null(row))?;
        Some(groups.value(row).to_owned())
    }
}

/// The column to keep beside the text, if there is one of strings.
fn group_column(
    builder: &ParquetRecordBatchReaderBuilder<File>,
    options: &CorpusOptions,
) -> Option<usize> {
    let (column, found) = builder
        .schema()
        .fields()
        .find(options.group_field.as_deref()?)?;
    (found.data_type() == &DataType::Utf8).then_some(column)
}

fn text_column(
    builder: &ParquetRecordBatchReaderBuilder<File>,
    path: &Path,
    field: &str,
) -> Result<usize, CorpusError> {
    let fields = builder.schema().fields();
    let Some((column, found)) = fields.find(field) else {
        let names: Vec<_> = fields
            .iter()
            .map(|field| format!("`{}`", field.name()))
            .collect();
        return Err(CorpusError::MissingColumn {
            path: path.to_path_buf(),
            field: field.to_owned(),
            columns: names.join(", "),
        });
    };
    match found.data_type() {
        DataType::Utf8 => Ok(column),
        other => Err(CorpusError::WrongColumnType {
            path: path.to_path_buf(),
            field: field.to_owned(),
            got: other.to_string(),
        }),
    }
}

/// Rows a batch, so that an average batch holds about [`BATCH_BYTES`] of text.
fn batch_rows(
    builder: &ParquetRecordBatchReaderBuilder<File>,
    mask: &ProjectionMask,
    n_rows: u64,
) -> usize {
    let groups = builder.metadata().row_groups().iter();
    let columns = groups.flat_map(|group| group.columns().iter().enumerate());
    let text_bytes: u64 = columns
        .filter(|(leaf, _)| mask.leaf_included(*leaf))
        .map(|(_, column)| u64::try_from(column.uncompressed_size()).unwrap_or(0))
        .fold(0, u64::saturating_add);
    let bytes_a_row = (text_bytes / n_rows.max(1)).max(1);
    (BATCH_BYTES / bytes_a_row).clamp(1, MAX_BATCH_ROWS) as usize
}

/// The file's bytes as a share of its rows: what is read of a Parquet file is not one stream.
struct Progress {
    n_bytes: Arc<AtomicU64>,
    file_bytes: u64,
    n_rows: u64,
    n_counted: u64,
}

impl Progress {
    fn reached(&mut self, n_rows: u64) {
        let share = n_rows as f64 / self.n_rows.max(1) as f64;
        let reached = (self.file_bytes as f64 * share.min(1.0)) as u64;
        self.n_bytes
            .fetch_add(reached.saturating_sub(self.n_counted), Ordering::Relaxed);
        self.n_counted = self.n_counted.max(reached);
    }
}
