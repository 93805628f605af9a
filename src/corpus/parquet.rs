//! A Parquet file: one document per row, from one string column.
//!
//! Columns are read value by value, as slices of their page or dictionary: rows that share a long string in a
//! dictionary do not copy it until they are requested.

mod columns;

use self::columns::{Columns, Leaves, Row};
use super::MAX_DOCUMENT_BYTES;
use super::document::{CorpusOptions, Document, Tally};
use super::error::CorpusError;
use super::location::{Location, Position};
use crate::storage::{self, DecodeError, Source};
use ::parquet::arrow::parquet_to_arrow_schema;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use arrow_schema::{DataType, Fields};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Documents of one Parquet file.
pub(super) struct ParquetReader {
    file: SerializedFileReader<Source>,
    source: Source,
    path: Arc<Path>,
    options: CorpusOptions,
    leaves: Leaves,
    next_row_group: usize,
    columns: Option<Columns>,
    n_rows: u64,
    progress: Progress,
}

impl ParquetReader {
    /// Opens the file and finds its text column. `n_bytes` grows to the file's size as rows are read.
    pub(super) fn open(
        path: Arc<Path>,
        options: CorpusOptions,
        n_bytes: Arc<AtomicU64>,
    ) -> Result<Self, CorpusError> {
        let failed = |error| fault(&path, 0, error);
        // Read page by page at scattered offsets; for an object, from a local copy.
        let source = storage::with_copy(&path, Source::open)?;
        let file = source.decode(|| SerializedFileReader::new(source.clone()));
        let file = file.map_err(failed)?;
        let metadata = file.metadata().file_metadata();
        // Without the writer's Arrow schema, every kind of string column appears as plain Utf8.
        let schema = source.decode(|| parquet_to_arrow_schema(metadata.schema_descr(), None));
        let schema = schema.map_err(failed)?;
        check_text_column(schema.fields(), &path, &options.text_field)?;
        let leaves = Leaves::of(&file, schema.fields(), &options).ok_or_else(|| {
            let message = "the text column has no values".to_owned();
            failed(DecodeError::Parquet(ParquetError::General(message)))
        })?;
        let n_rows = u64::try_from(metadata.num_rows()).unwrap_or(0);
        let progress = Progress {
            n_bytes,
            file_bytes: source.n_bytes(),
            n_rows,
            n_counted: 0,
        };
        Ok(Self {
            file,
            source,
            path,
            options,
            leaves,
            next_row_group: 0,
            columns: None,
            n_rows: 0,
            progress,
        })
    }

    /// The next document with text; what is left out before it is added to `tally`.
    pub(super) fn next_document(
        &mut self,
        tally: &mut Tally,
    ) -> Result<Option<Document>, CorpusError> {
        while let Some(row) = self.next_row()? {
            let read = self.document(row);
            if let Some(document) = tally.kept(read, self.options.skip_bad_lines)? {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }

    /// The values of the next row; `None` at the end of the file.
    fn next_row(&mut self) -> Result<Option<Row>, CorpusError> {
        loop {
            if let Some(columns) = &mut self.columns {
                let row = self.source.decode(|| columns.next_row());
                let row = row.map_err(|error| fault(&self.path, self.n_rows, error))?;
                if row.is_some() {
                    self.n_rows += 1;
                    return Ok(row);
                }
            }
            self.progress.reached(self.n_rows);
            if self.next_row_group >= self.file.num_row_groups() {
                return Ok(None);
            }
            let opened = self
                .source
                .decode(|| self.open_row_group(self.next_row_group));
            let opened = opened.map_err(|error| fault(&self.path, self.n_rows, error))?;
            self.columns = Some(opened);
            self.next_row_group += 1;
        }
    }

    fn open_row_group(&self, idx: usize) -> Result<Columns, ParquetError> {
        Columns::open(self.file.get_row_group(idx)?.as_ref(), self.leaves)
    }

    /// The document of the last row taken.
    fn document(&self, Row { text, group, id }: Row) -> Result<Document, CorpusError> {
        let location = Location {
            path: Arc::clone(&self.path),
            position: Position::Row(self.n_rows - 1),
        };
        let Some(text) = text else {
            return Err(CorpusError::WrongType {
                location,
                field: self.options.text_field.clone(),
                got: "null",
            });
        };
        let bytes = text.data();
        if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
            return Err(CorpusError::TooLong {
                location,
                limit: MAX_DOCUMENT_BYTES,
            });
        }
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Document {
                text: text.to_owned(),
                location,
                group: group.and_then(|group| group.as_utf8().ok().map(str::to_owned)),
                id,
            }),
            Err(error) => Err(CorpusError::InvalidUtf8 {
                location,
                byte_offset: error.valid_up_to() as u64,
            }),
        }
    }
}

/// A failure near `row`.
fn fault(path: &Path, row: u64, error: DecodeError) -> CorpusError {
    error.or_damaged(|source| CorpusError::Parquet {
        path: path.to_path_buf(),
        row,
        source,
    })
}

fn check_text_column(fields: &Fields, path: &Path, field: &str) -> Result<(), CorpusError> {
    let Some((_, found)) = fields.find(field) else {
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
    let n = fields.iter().filter(|known| known.name() == field).count();
    if n > 1 {
        return Err(CorpusError::RepeatedColumn {
            path: path.to_path_buf(),
            field: field.to_owned(),
            n,
        });
    }
    match found.data_type() {
        DataType::Utf8 => Ok(()),
        other => Err(CorpusError::WrongColumnType {
            path: path.to_path_buf(),
            field: field.to_owned(),
            got: other.to_string(),
        }),
    }
}

/// Progress in bytes, in proportion to the rows read: a Parquet file is not read as one stream.
struct Progress {
    n_bytes: Arc<AtomicU64>,
    file_bytes: u64,
    n_rows: u64,
    n_counted: u64,
}

impl Progress {
    fn reached(&mut self, n_rows: u64) {
        let fraction = n_rows as f64 / self.n_rows.max(1) as f64;
        let reached = (self.file_bytes as f64 * fraction.min(1.0)) as u64;
        self.n_bytes
            .fetch_add(reached.saturating_sub(self.n_counted), Ordering::Relaxed);
        self.n_counted = self.n_counted.max(reached);
    }
}
