//! Parquet: copies the kept rows column by column, so that untouched columns are not decoded to rows.

use super::choices::{Chosen, Decision, FileChoices};
use super::columns::{Levels, copy_column, write_added};
use super::error::FilterError;
use super::options::FilterOptions;
use super::schema;
use crate::interrupt::Interrupt;
use crate::storage::{DecodeError, Source, StorageError};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{
    SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter,
};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A Parquet file to be filtered.
pub(super) struct RowFile<'a> {
    path: &'a Path,
    source: Source,
    file: SerializedFileReader<Source>,
    options: &'a FilterOptions,
}

/// A row group of the input, and which of its rows are kept.
struct Piece {
    row_group: usize,
    is_kept: Vec<bool>,
}

/// Rows that will become one row group.
#[derive(Default)]
struct Pending {
    pieces: Vec<Piece>,
    n_rows: usize,
    /// What is added to each row, if anything is.
    added: Vec<Option<Chosen>>,
}

impl<'a> RowFile<'a> {
    /// Opens a file, and checks that it can be written according to `options`.
    pub(super) fn open(path: &'a Path, options: &'a FilterOptions) -> Result<Self, FilterError> {
        let source = Source::open(path)?;
        let file = source.decode(|| SerializedFileReader::new(source.clone()));
        let file = file.map_err(|error| read_fault(path, error))?;
        schema::check(path, file.metadata(), options)?;
        Ok(Self {
            path,
            source,
            file,
            options,
        })
    }

    /// Copies what is chosen to `sink`, which will become `output`; `on_share` is called with the fraction of rows
    /// read.
    pub(super) fn copy<W: Write + Send>(
        &self,
        choices: &mut FileChoices,
        sink: &mut W,
        output: &Path,
        interrupt: &Interrupt,
        on_share: &mut dyn FnMut(f64),
    ) -> Result<(), FilterError> {
        let sink = NotedSink::new(sink);
        let failure = Arc::clone(&sink.failure);
        let copied = self.copy_to(choices, sink, interrupt, on_share);
        match taken(&failure) {
            Some(source) => Err(StorageError::io("write", output, source).into()),
            None => copied,
        }
    }

    fn copy_to<W: Write + Send>(
        &self,
        choices: &mut FileChoices,
        sink: W,
        interrupt: &Interrupt,
        on_share: &mut dyn FnMut(f64),
    ) -> Result<(), FilterError> {
        let fault = |error| read_fault(self.path, error);
        let mut writer = self.source.decode(|| self.writer(sink)).map_err(fault)?;
        let (n_rows, max_rows) = self.row_counts();
        let mut pending = Pending::default();
        let mut n_read = 0;
        for row_group in 0..self.file.num_row_groups() {
            let next = self.choose(row_group, n_read, choices)?;
            n_read += self.group_rows(row_group);
            if pending.n_rows > 0 && pending.n_rows + next.n_rows > max_rows {
                self.write(&mut writer, &pending, interrupt)?;
                pending = Pending::default();
            }
            pending.append(next);
            on_share(n_read as f64 / n_rows.max(1) as f64);
        }
        if pending.n_rows > 0 {
            self.write(&mut writer, &pending, interrupt)?;
        }
        self.source.decode(|| writer.finish()).map_err(fault)?;
        Ok(())
    }

    fn writer<W: Write + Send>(&self, sink: W) -> ParquetResult<SerializedFileWriter<W>> {
        let metadata = self.file.metadata();
        let schema = schema::schema(metadata, self.options)?;
        let properties = schema::properties(metadata, &schema, self.options)?;
        SerializedFileWriter::new(sink, schema, Arc::new(properties))
    }

    /// Rows of the file, and rows of its largest row group.
    fn row_counts(&self) -> (u64, usize) {
        let groups = 0..self.file.num_row_groups();
        let counts = || groups.clone().map(|row_group| self.group_rows(row_group));
        let max_rows = counts().max().unwrap_or(0);
        (
            counts().sum(),
            usize::try_from(max_rows).unwrap_or(usize::MAX),
        )
    }

    fn group_rows(&self, row_group: usize) -> u64 {
        let group = self.file.metadata().row_group(row_group);
        u64::try_from(group.num_rows()).unwrap_or(0)
    }

    /// What happens to the rows of a row group, the first of which has number `first`.
    fn choose(
        &self,
        row_group: usize,
        first: u64,
        choices: &mut FileChoices,
    ) -> Result<Pending, FilterError> {
        let n_rows = self.group_rows(row_group);
        let mut is_kept = Vec::new();
        let mut added = Vec::new();
        let adds = self.options.adds();
        for row in first..first + n_rows {
            let decision = choices.decide(row, false)?;
            is_kept.push(decision != Decision::Drop);
            match decision {
                Decision::Write(chosen) if adds => added.push(Some(chosen)),
                Decision::Pass if adds => added.push(None),
                _ => {}
            }
        }
        let n_rows = is_kept.iter().filter(|is_kept| **is_kept).count();
        Ok(Pending {
            pieces: vec![Piece { row_group, is_kept }],
            n_rows,
            added,
        })
    }

    /// Writes one row group.
    fn write<W: Write + Send>(
        &self,
        writer: &mut SerializedFileWriter<W>,
        pending: &Pending,
        interrupt: &Interrupt,
    ) -> Result<(), FilterError> {
        let written = self.source.decode(|| {
            let mut group = writer.next_row_group()?;
            let n_columns = self
                .file
                .metadata()
                .file_metadata()
                .schema_descr()
                .num_columns();
            for column in 0..n_columns {
                self.write_column(&mut group, column, pending, interrupt)?;
            }
            for added in schema::added_columns(self.options) {
                let mut column = next_column(&mut group)?;
                write_added(column.untyped(), added, &pending.added)?;
                column.close()?;
            }
            group.close()
        });
        match written {
            Err(_) if interrupt.is_requested() => Err(FilterError::Interrupted),
            written => written
                .map(drop)
                .map_err(|error| read_fault(self.path, error)),
        }
    }

    fn write_column<W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        column: usize,
        pending: &Pending,
        interrupt: &Interrupt,
    ) -> ParquetResult<()> {
        let descriptor = self
            .file
            .metadata()
            .file_metadata()
            .schema_descr()
            .column(column);
        let levels = Levels {
            definition: descriptor.max_def_level(),
            repetition: descriptor.max_rep_level(),
        };
        let mut writer = next_column(group)?;
        for piece in &pending.pieces {
            if interrupt.is_requested() {
                return Err(ParquetError::General("interrupted".to_owned()));
            }
            let reader = self.file.get_row_group(piece.row_group)?;
            let reader = reader.get_column_reader(column)?;
            copy_column(reader, writer.untyped(), levels, &piece.is_kept)?;
        }
        writer.close()
    }
}

impl Pending {
    fn append(&mut self, next: Pending) {
        if next.n_rows > 0 {
            self.pieces.extend(next.pieces);
            self.n_rows += next.n_rows;
            self.added.extend(next.added);
        }
    }
}

/// Keeps the error of a failed write, since decoding gives errors of the same type.
struct NotedSink<W> {
    out: W,
    failure: Arc<Mutex<Option<io::Error>>>,
}

impl<W> NotedSink<W> {
    fn new(out: W) -> Self {
        let failure = Arc::default();
        Self { out, failure }
    }

    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            if kind == io::ErrorKind::Interrupted {
                // The write will be repeated.
                return error;
            }
            let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert(error);
            kind.into()
        })
    }
}

impl<W: Write> Write for NotedSink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.noted(flushed)
    }
}

fn taken(failure: &Mutex<Option<io::Error>>) -> Option<io::Error> {
    let mut failure = failure.lock().unwrap_or_else(PoisonError::into_inner);
    failure.take()
}

fn next_column<'a, W: Write + Send>(
    group: &'a mut SerializedRowGroupWriter<'_, W>,
) -> ParquetResult<SerializedColumnWriter<'a>> {
    let missing = || ParquetError::General("the schema has too few columns".to_owned());
    group.next_column()?.ok_or_else(missing)
}

fn read_fault(path: &Path, error: DecodeError) -> FilterError {
    error.or_damaged(|source| FilterError::Damaged {
        path: path.to_path_buf(),
        source,
    })
}
