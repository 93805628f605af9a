//! Writes a Parquet file to any sink, one row group at a time.

use super::StorageError;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::Schema;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

/// Writes row groups of one schema.
pub(crate) struct RowGroupWriter<W: Write + Send> {
    writer: ArrowWriter<Sink<W>>,
    schema: Arc<Schema>,
}

impl<W: Write + Send> RowGroupWriter<W> {
    /// Starts a file.
    pub(crate) fn new(sink: W, schema: Arc<Schema>, properties: WriterProperties) -> Result<Self> {
        // The Parquet types are sufficient; a stored Arrow schema would only add bytes that change with the library.
        let options = ArrowWriterOptions::new()
            .with_properties(properties)
            .with_skip_arrow_metadata(true);
        let sink = Sink(Some(sink));
        Ok(RowGroupWriter {
            writer: ArrowWriter::try_new_with_options(sink, schema.clone(), options)?,
            schema,
        })
    }

    /// Writes `columns` as one row group.
    pub(crate) fn write(&mut self, columns: Vec<ArrayRef>) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.writer.write(&batch)?;
        self.writer.flush()
    }

    /// Where the bytes go.
    pub(crate) fn sink(&mut self) -> Result<&mut W> {
        self.writer.inner_mut().0.as_mut().ok_or_else(finished)
    }

    /// Writes the footer and returns the sink.
    pub(crate) fn finish(mut self) -> Result<W> {
        self.writer.finish()?;
        self.writer.inner_mut().0.take().ok_or_else(finished)
    }
}

/// The encoding of every file of rows, to which callers add their own properties. Row groups end where the writer
/// flushes, so equal rows make equal bytes. `created_by` names the format, not the library: the bytes must not change
/// with a release.
pub(crate) fn table_properties(created_by: &str) -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(created_by.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
}

/// The error of a file at `path` that could not be encoded. An I/O failure inside the encoder stays an I/O failure;
/// `refused` wraps the encoder's own errors.
pub(crate) fn encode_error<E: From<StorageError>>(
    path: &Path,
    error: ParquetError,
    refused: impl FnOnce(ParquetError) -> E,
) -> E {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(source) => StorageError::io("write", path, *source).into(),
            Err(inner) => refused(ParquetError::External(inner)),
        },
        source => refused(source),
    }
}

fn finished() -> ParquetError {
    ParquetError::from(io::Error::other("the file was finished before"))
}

/// Allows taking the sink back after `ArrowWriter::finish`, which reports I/O errors as such; `ArrowWriter::into_inner`
/// turns them into text.
struct Sink<W>(Option<W>);

impl<W: Write> Write for Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(sink) => sink.write(bytes),
            None => Err(io::Error::other("the file was finished before")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.as_mut().map_or(Ok(()), Write::flush)
    }
}
