//! The selection's file, row after row.

use super::SelectError;
use crate::shards::{SELECTION_CREATED_BY, is_of_labels, seal, unsealed_entry};
use crate::storage::{self, DecodeError, FileHash, Partial, Source, StorageError};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows of a row group: what a writer holds, about 2 MiB.
const GROUP_ROWS: usize = 1 << 16;

/// One row of a selection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub(super) seq_id: u64,
    pub(super) score: Option<f64>,
    pub(super) rank: Option<u64>,
    pub(super) kept: bool,
}

/// Writes a selection under a temporary name.
pub(super) struct SelectionWriter {
    path: PathBuf,
    writer: ArrowWriter<Sink>,
    schema: Arc<Schema>,
    rows: Vec<Row>,
}

impl SelectionWriter {
    /// Starts the file that will be `path`, in the temporary `partial`.
    pub(super) fn create(
        path: &Path,
        partial: Partial,
        mut metadata: Vec<(String, String)>,
    ) -> Result<Self, SelectError> {
        metadata.push(unsealed_entry());
        let schema = schema();
        let options = ArrowWriterOptions::new()
            .with_properties(properties(metadata))
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Sink::new(partial), schema.clone(), options)
            .map_err(|error| encode_error(path, error))?;
        Ok(SelectionWriter {
            path: path.to_path_buf(),
            writer,
            schema,
            rows: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, row: Row) -> Result<(), SelectError> {
        self.rows.push(row);
        match self.rows.len() < GROUP_ROWS {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), SelectError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(
                self.rows.iter().map(|row| row.seq_id),
            )),
            Arc::new(Float64Array::from_iter(
                self.rows.iter().map(|row| row.score),
            )),
            Arc::new(UInt64Array::from_iter(self.rows.iter().map(|row| row.rank))),
            Arc::new(BooleanArray::from_iter(
                self.rows.iter().map(|row| Some(row.kept)),
            )),
        ];
        self.rows.clear();
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        batch
            .map_err(ParquetError::from)
            .and_then(|batch| self.writer.write(&batch))
            .and_then(|()| self.writer.flush())
            .map_err(|error| encode_error(&self.path, error))
    }

    /// Ends the file and gives it its name, in place of an earlier one.
    pub(super) fn publish(mut self) -> Result<FileHash, SelectError> {
        if !self.rows.is_empty() {
            self.flush()?;
        }
        self.writer.inner_mut().hold_back();
        let finished = self.writer.finish();
        finished.map_err(|error| encode_error(&self.path, error))?;
        let io = |source| StorageError::io("write", &self.path, source);
        let partial = self.writer.inner_mut().finish().map_err(io)?;
        let sealed = partial.seal()?;
        let hash = sealed.hash.clone();
        sealed.replace()?;
        Ok(hash)
    }
}

/// One column of a selection, as anybody reading the file needs to know it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SelectionColumn {
    /// Name.
    pub name: &'static str,
    /// `u64`, `f64` or `bool`.
    pub item_type: &'static str,
    /// Whether a row may have no value.
    pub nullable: bool,
    /// What the values are.
    pub meaning: &'static str,
}

/// The columns of a selection, in order.
pub fn describe_selection() -> Vec<SelectionColumn> {
    let column = |name, item_type, nullable, meaning| SelectionColumn {
        name,
        item_type,
        nullable,
        meaning,
    };
    vec![
        column(
            "seq_id",
            "u64",
            false,
            "number of the sequence in the view; rows are by rising seq_id, one for each labelled sequence",
        ),
        column(
            "score",
            "f64",
            true,
            "the policy's score, or the difference of two; null if there is none",
        ),
        column(
            "rank",
            "u64",
            true,
            "place in the policy's order, 0 the most wanted; null if the sequence may not be taken",
        ),
        column(
            "kept",
            "bool",
            false,
            "whether the sequence is in the selection: the first ranks are, up to the amount",
        ),
    ]
}

/// Refuses to write over anything but a selection: shards are Parquet too, and take hours. And over
/// the one in a directory of labels, which says what its rows are.
///
/// # Errors
/// [`SelectError::NotASelection`], [`SelectError::OfLabels`]; a path that names no file, or one that
/// cannot be read.
pub(super) fn check_replaceable(path: &Path) -> Result<(), SelectError> {
    storage::check_file_name(path)?;
    if is_of_labels(path) {
        return Err(SelectError::OfLabels {
            path: path.to_path_buf(),
        });
    }
    let source = match Source::open(path) {
        Ok(source) => source,
        // There is nothing to lose; what is wrong with the path, the writer says.
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) if error.is_refusal() => return Err(error.into()),
        Err(_) => {
            let path = path.to_path_buf();
            return Err(SelectError::NotASelection { path });
        }
    };
    let options = ArrowReaderOptions::default();
    let footer = source.decode(|| ArrowReaderMetadata::load(&source, options));
    let is_selection = match footer {
        Ok(footer) => {
            let column = |name| footer.schema().column_with_name(name).is_some();
            column("seq_id") && column("kept")
        }
        Err(DecodeError::Read(error)) => return Err(error.into()),
        Err(_) => false,
    };
    match is_selection {
        true => Ok(()),
        false => Err(SelectError::NotASelection {
            path: path.to_path_buf(),
        }),
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
    let entries = metadata.into_iter();
    let entries = entries.map(|(key, value)| KeyValue::new(key, value));
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(SELECTION_CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .set_column_encoding(ColumnPath::from("seq_id"), Encoding::DELTA_BINARY_PACKED)
        .set_key_value_metadata(Some(entries.collect()))
        .build()
}

/// An I/O failure inside the encoder is an I/O failure; the rest is the encoder's.
fn encode_error(path: &Path, error: ParquetError) -> SelectError {
    let path = path.to_path_buf();
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(source) => StorageError::io("write", &path, *source).into(),
            Err(inner) => SelectError::Encode {
                path,
                source: ParquetError::External(inner),
            },
        },
        source => SelectError::Encode { path, source },
    }
}

/// Lets the temporary be taken back after `ArrowWriter::finish`, with its checksum in the footer.
struct Sink {
    partial: Option<Partial>,
    /// Of what went through.
    hasher: blake3::Hasher,
    /// The end of the file with the footer, once that is to come.
    held_back: Option<Vec<u8>>,
}

impl Sink {
    fn new(partial: Partial) -> Self {
        Sink {
            partial: Some(partial),
            hasher: blake3::Hasher::new(),
            held_back: None,
        }
    }

    fn hold_back(&mut self) {
        self.held_back = Some(Vec::new());
    }

    /// Writes what was held back, with the checksum.
    fn finish(&mut self) -> io::Result<Partial> {
        let missing = |what: &'static str| io::Error::other(what);
        let partial = self.partial.take();
        let mut partial = partial.ok_or_else(|| missing("the file was finished before"))?;
        let mut tail = self.held_back.take().unwrap_or_default();
        if !seal(&self.hasher, &mut tail) {
            return Err(missing("the footer has no place for the checksum"));
        }
        partial.write_all(&tail)?;
        Ok(partial)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match (&mut self.held_back, &mut self.partial) {
            (Some(held_back), _) => held_back.write(bytes),
            (None, Some(partial)) => {
                let n = partial.write(bytes)?;
                self.hasher.update(&bytes[..n]);
                Ok(n)
            }
            (None, None) => Err(io::Error::other("the file was finished before")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.partial.as_mut().map_or(Ok(()), Partial::flush)
    }
}
