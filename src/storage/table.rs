//! A Parquet file whose rows are read in order, in bounded memory.

use super::source::{DecodeError, Source};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray, RecordBatch, StringArray};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1 << 13;

/// A file whose footer is decoded.
pub(crate) type TableBuilder = ParquetRecordBatchReaderBuilder<Source>;

/// The rows of a file.
pub(crate) struct TableReader<R> {
    source: Source,
    batches: ParquetRecordBatchReader,
    ready: std::vec::IntoIter<R>,
}

/// Decodes the footer. Columns have their Parquet types, whatever Arrow schema is stored with them.
///
/// # Errors
/// [`DecodeError`].
pub(crate) fn open_table(source: &Source) -> Result<TableBuilder, DecodeError> {
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    source.decode(|| TableBuilder::try_new_with_options(source.clone(), options))
}

/// Key and value of every metadata entry in the footer, in file order.
pub(crate) fn table_metadata(table: &TableBuilder) -> Vec<(String, String)> {
    let entries = table.metadata().file_metadata().key_value_metadata();
    let entries = entries.into_iter().flatten();
    entries
        .map(|entry| (entry.key.clone(), entry.value.clone().unwrap_or_default()))
        .collect()
}

impl<R> TableReader<R> {
    /// The rows of `table`, which [`open_table`] made from `source`.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub(crate) fn new(source: Source, table: TableBuilder) -> Result<Self, DecodeError> {
        let batches = source.decode(|| table.with_batch_size(BATCH_ROWS).build())?;
        Ok(TableReader {
            source,
            batches,
            ready: Vec::new().into_iter(),
        })
    }

    /// The next row, or `None` at the end. `rows_of` makes the rows of a batch, and `undecoded` the error of a batch
    /// that cannot be decoded.
    ///
    /// # Errors
    /// Those of `rows_of` and of `undecoded`.
    pub(crate) fn next_row<E>(
        &mut self,
        undecoded: impl Fn(DecodeError) -> E,
        mut rows_of: impl FnMut(&RecordBatch) -> Result<Vec<R>, E>,
    ) -> Result<Option<R>, E> {
        while self.ready.len() == 0 {
            let batches = &mut self.batches;
            let next = || batches.next().transpose().map_err(ParquetError::from);
            let Some(batch) = self.source.decode(next).map_err(&undecoded)? else {
                return Ok(None);
            };
            self.ready = rows_of(&batch)?.into_iter();
        }
        Ok(self.ready.next())
    }
}

/// The numbers of the column `name`, or what is wrong with it.
///
/// # Errors
/// The column is missing, has another type, or has nulls where none are allowed.
pub(crate) fn number_column<'a, P: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
    nullable: bool,
) -> Result<&'a PrimitiveArray<P>, String> {
    let numbers = batch
        .column_by_name(name)
        .and_then(|column| column.as_primitive_opt::<P>());
    numbers
        .filter(|numbers| nullable || numbers.null_count() == 0)
        .ok_or_else(|| {
            let expected = P::DATA_TYPE.to_string().to_lowercase();
            let nulls = if nullable { "" } else { " without nulls" };
            format!("it has no column {name} of {expected}{nulls}")
        })
}

/// The strings of the column `name`, any of which may be null, or what is wrong with it.
///
/// # Errors
/// The column is missing or has another type.
pub(crate) fn string_column<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a StringArray, String> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_string_opt::<i32>())
        .ok_or_else(|| format!("it has no column {name} of strings"))
}
