//! A Parquet file: one document per row, from one string column.
//!
//! Columns are read value by value, as slices of the page or dictionary that they lie in: rows that
//! share a long string of a dictionary do not copy it until they are asked for.

use super::MAX_DOCUMENT_BYTES;
use super::document::{CorpusOptions, Document, Tally};
use super::error::CorpusError;
use super::location::{Location, Position};
use crate::storage::{self, DecodeError, Source};
use ::parquet::arrow::parquet_to_arrow_schema;
use ::parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use ::parquet::data_type::{ByteArray, ByteArrayType};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use arrow_schema::{DataType, Fields};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1024;

/// The text of a row and what is kept beside it; `None` is null.
type Row = (Option<ByteArray>, Option<ByteArray>);

/// Documents of one Parquet file.
pub(super) struct ParquetReader {
    file: SerializedFileReader<Source>,
    source: Source,
    path: Arc<Path>,
    options: CorpusOptions,
    /// Leaves of the text and of what is kept beside it.
    text_leaf: usize,
    group_leaf: Option<usize>,
    next_row_group: usize,
    texts: Option<Column>,
    groups: Option<Column>,
    n_rows: u64,
    progress: Progress,
}

impl ParquetReader {
    /// Opens the file and finds its text column. `n_bytes` grows as rows are read, to the file's size.
    pub(super) fn open(
        path: Arc<Path>,
        options: CorpusOptions,
        n_bytes: Arc<AtomicU64>,
    ) -> Result<Self, CorpusError> {
        let failed = |error| fault(&path, 0, error);
        // Read here and there, a page at a time: of an object, from a copy.
        let source = Source::open(&storage::local_copy(&path)?)?;
        let file = source.decode(|| SerializedFileReader::new(source.clone()));
        let file = file.map_err(failed)?;
        let metadata = file.metadata().file_metadata();
        // Without the writer's Arrow schema, every kind of string column shows as plain Utf8.
        let schema = source.decode(|| parquet_to_arrow_schema(metadata.schema_descr(), None));
        let schema = schema.map_err(failed)?;
        check_text_column(schema.fields(), &path, &options.text_field)?;
        let leaf = |field: &str| leaf_of(&file, schema.fields(), field);
        let text_leaf = leaf(&options.text_field).ok_or_else(|| {
            let message = "the text column has no values".to_owned();
            failed(DecodeError::Parquet(ParquetError::General(message)))
        })?;
        let group_leaf = options.group_field.as_deref().and_then(leaf);
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
            text_leaf,
            group_leaf,
            next_row_group: 0,
            texts: None,
            groups: None,
            n_rows: 0,
            progress,
        })
    }

    /// The next document that has text; what is left out before it is added to `tally`.
    pub(super) fn next_document(
        &mut self,
        tally: &mut Tally,
    ) -> Result<Option<Document>, CorpusError> {
        while let Some((text, group)) = self.next_row()? {
            match self.document(text, group) {
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

    /// The values of the next row; `None` at the end of the file.
    fn next_row(&mut self) -> Result<Option<Row>, CorpusError> {
        loop {
            if let Some(texts) = &mut self.texts {
                let groups = self.groups.as_mut();
                let row = self.source.decode(|| {
                    let group = groups.map(Column::next_value).transpose();
                    Ok((texts.next_value()?, group?))
                });
                let (text, group) = row.map_err(|error| fault(&self.path, self.n_rows, error))?;
                if let Some(text) = text {
                    self.n_rows += 1;
                    return Ok(Some((text, group.flatten().flatten())));
                }
            }
            self.progress.reached(self.n_rows);
            if self.next_row_group >= self.file.num_row_groups() {
                return Ok(None);
            }
            let opened = self
                .source
                .decode(|| self.open_row_group(self.next_row_group));
            (self.texts, self.groups) =
                opened.map_err(|error| fault(&self.path, self.n_rows, error))?;
            self.next_row_group += 1;
        }
    }

    fn open_row_group(&self, idx: usize) -> Result<(Option<Column>, Option<Column>), ParquetError> {
        let row_group = self.file.get_row_group(idx)?;
        let column = |leaf: usize| -> Result<Column, ParquetError> {
            let descriptor = row_group.metadata().column(leaf).column_descr_ptr();
            let reader = row_group.get_column_reader(leaf)?;
            Ok(Column {
                reader: get_typed_column_reader(reader),
                max_level: descriptor.max_def_level(),
                levels: Vec::new(),
                values: Vec::new(),
                next_level: 0,
                next_value: 0,
            })
        };
        let groups = self.group_leaf.map(column).transpose()?;
        Ok((Some(column(self.text_leaf)?), groups))
    }

    /// The document of the row that was taken last.
    fn document(
        &self,
        text: Option<ByteArray>,
        group: Option<ByteArray>,
    ) -> Result<Document, CorpusError> {
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
    let damaged = |source| CorpusError::Parquet {
        path: path.to_path_buf(),
        row,
        source,
    };
    match error {
        DecodeError::Read(error) => error.into(),
        DecodeError::Parquet(source) => damaged(source),
        DecodeError::Panic(message) => damaged(ParquetError::General(message)),
    }
}

/// The values of one column of one row group.
struct Column {
    reader: ColumnReaderImpl<ByteArrayType>,
    /// The level of a value that is there; 0 where none can be null.
    max_level: i16,
    levels: Vec<i16>,
    values: Vec<ByteArray>,
    next_level: usize,
    next_value: usize,
}

impl Column {
    /// The next row's value, or null; `None` at the end of the row group.
    fn next_value(&mut self) -> Result<Option<Option<ByteArray>>, ParquetError> {
        if self.next_level >= self.levels.len() {
            self.fill()?;
        }
        let Some(&level) = self.levels.get(self.next_level) else {
            return Ok(None);
        };
        self.next_level += 1;
        if level < self.max_level {
            return Ok(Some(None));
        }
        let value = self.values.get_mut(self.next_value).map(std::mem::take);
        self.next_value += 1;
        match value {
            Some(value) => Ok(Some(Some(value))),
            None => Err(ParquetError::General(
                "a page has too few values".to_owned(),
            )),
        }
    }

    fn fill(&mut self) -> Result<(), ParquetError> {
        self.levels.clear();
        self.values.clear();
        (self.next_level, self.next_value) = (0, 0);
        let levels = (self.max_level > 0).then_some(&mut self.levels);
        let (reader, values) = (&mut self.reader, &mut self.values);
        let (n_rows, ..) = reader.read_records(BATCH_ROWS, levels, None, values)?;
        if self.max_level == 0 {
            self.levels.resize(n_rows, 0);
        }
        Ok(())
    }
}

/// The leaf of a top-level column of strings, one value per row.
fn leaf_of(file: &SerializedFileReader<Source>, fields: &Fields, field: &str) -> Option<usize> {
    let (_, found) = fields.find(field)?;
    let columns = file.metadata().file_metadata().schema_descr().columns();
    let leaf = columns.iter().position(|column| {
        column.path().parts() == [field.to_owned()] && column.max_rep_level() == 0
    });
    leaf.filter(|_| found.data_type() == &DataType::Utf8)
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
    match found.data_type() {
        DataType::Utf8 => Ok(()),
        other => Err(CorpusError::WrongColumnType {
            path: path.to_path_buf(),
            field: field.to_owned(),
            got: other.to_string(),
        }),
    }
}

/// The file's bytes as a fraction of its rows: what is read of a Parquet file is not one stream.
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
